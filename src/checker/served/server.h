// A server of a language model as its checker sees it: it is asked for the next token of a prompt and says how likely
// the candidates are. What it speaks over the wire is servers/servers.h; tests play one in memory.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace pkv::served {

// What a server says of the next token: by id where it names ids, by bytes where it does not.
struct Candidate {
  std::optional<std::int32_t> id = {};
  std::string token = {};
  double logprob = 0;  // natural; finite and not positive, or Reply::findings says so

  bool same_token(const Candidate& other) const { return id && other.id ? *id == *other.id : token == other.token; }
};

struct Reply {
  std::vector<Candidate> candidates = {};    // of the first new token, the most likely first
  std::vector<double> prompt_logprobs = {};  // of the prompt's tokens, where they were asked for and given
  std::optional<std::int64_t> reused = {};   // tokens of the prompt that it took from a cache; none: it does not say
  std::optional<std::int64_t> prompt_tokens = {};  // in all
  std::vector<std::int32_t> ids = {};              // that it wrote; empty where it names none
  std::string text = {};                           // that it wrote
  double seconds = 0;                              // from the request to the whole reply
  std::optional<double> first_seconds = {};        // to its first token, where it came by itself
  std::vector<std::string> findings = {};          // what no reply should hold: "a log-probability of 0.3"
};

// Where the past of a prompt may come from.
enum class Past : std::uint8_t {
  none,  // the server is made to compute the whole prompt, as far as it can be made to
  any,   // whatever it has kept
};

struct Question {
  std::vector<std::int32_t> ids = {};
  std::string text = {};  // instead of ids, of a server that takes none
  Past past = Past::none;
  // Pasts kept under one key are used for that key alone, where the server has such a thing (vLLM's cache_salt).
  std::string key = {};
  int new_tokens = 1;
  bool prompt_logprobs = false;
  bool stream = false;  // tokens shall come as they are made, so that the first can be timed; nothing else is read then
};

// What the server can do, found by asking.
struct Abilities {
  bool ids = false;              // takes token ids, so that every prefix is possible
  bool logprobs = false;         // names candidates with their log-probabilities
  bool cold = false;             // can be made to compute a whole prompt
  bool reports_reuse = false;    // says how many tokens it reused
  bool saves = false;            // can save a past and restore it
  bool prompt_logprobs = false;  // gives those of the prompt, too
  bool streams = false;          // sends tokens as they are made
};

struct About {
  std::string url;  // without keys
  std::string api;  // "llama.cpp"
  std::string version = {};
  std::string model = {};
  std::string cold = {};  // how a prompt is computed anew: "cache_prompt: false"
  std::optional<std::int64_t> context = {};
  std::optional<std::int64_t> vocab = {};
  std::int64_t slots = 0;  // requests at once, where it says; 0: unknown
  Abilities can = {};
  std::vector<std::string> notes = {};
};

class Server {
 public:
  Server() = default;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  virtual ~Server() = default;

  virtual const About& about() const = 0;
  // Only where it takes ids.
  virtual std::vector<std::int32_t> tokenize(const std::string& text) = 0;
  // One reply a question, all asked at the same time. Error::load when one is not answered.
  virtual std::vector<Reply> ask(std::span<const Question> questions) = 0;
  // Only where it saves: the past of the last question goes to the server's disk and comes back, elsewhere in its
  // memory if it has room. What was kept and restored, in tokens.
  virtual std::pair<std::int64_t, std::int64_t> save_and_restore() = 0;
  // Questions that were asked.
  std::int64_t requests() const { return requests_; }

 protected:
  std::int64_t requests_ = 0;
};

}  // namespace pkv::served
