// A server of a language model, played: a model whose next token depends on every token before it, a cache of what it
// was asked, and faults as switches. What it answers over the wire is in http_play.h.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace pkv::support {

using Ids = std::vector<std::int32_t>;

// What goes wrong, each seen in the wild.
struct ServerFaults {
  std::function<bool(std::int64_t reused)> other_numbers = {};  // when so many tokens were reused
  std::function<bool(std::int64_t reused)> other_token = {};    // the most likely token, too
  bool drifts = false;                                          // no two answers are alike
  bool drifts_with_company = false;                             // other numbers when asked among others
  bool keeps_nothing = false;
  bool collides = false;  // takes any past for any prompt
  bool shifts = false;    // reuses what stands behind a change, at another place
  bool says_nothing_reused = false;
  bool does_not_say = false;
  bool place_matters = false;    // other numbers for every past that was not left by the last question
  bool does_not_forget = false;  // although it says so
  bool no_logprobs = false;
  bool loses_logprobs = false;  // when something was reused
  bool another_model = false;
  std::size_t keeps = 100'000;  // pasts, the last ones
  int decimals = 17;
  int block = 1;  // only whole blocks are reused
};

struct Played {
  std::vector<std::pair<std::int32_t, double>> candidates;  // id and log-probability, the most likely first
  Ids ids;                                                  // written
  std::int64_t reused = 0;
};

class Play {
 public:
  static constexpr std::int32_t vocab = 61;

  ServerFaults faults;

  // `among`: other questions are asked at the same time.
  Played answer(const Ids& ids, bool anew, const std::string& key, int new_tokens, bool among);
  void forget();

  // Letters and blanks are tokens.
  static Ids tokens_of(const std::string& text);
  static std::string text_of(std::int32_t id);

 private:
  std::vector<double> logprobs(const Ids& ids, std::int64_t reused, bool among);

  std::mutex mutex_;
  std::vector<std::pair<std::string, Ids>> kept_;  // keys, and what was asked under each
  std::int64_t answers_ = 0;
};

}  // namespace pkv::support
