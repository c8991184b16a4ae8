// Everything that the check of a server found, as data. How it is told stands in document.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_writer.h"
#include "checker/served/plan.h"
#include "checker/served/replies.h"
#include "show/environment.h"

namespace pkv::served {

enum class Kind : std::uint8_t {
  control,        // computed anew twice: what the server itself does not repeat
  prefix,         // a past of the first tokens was left, then the prompt asked
  continuation,   // the same, where the past goes on with other tokens for long
  edited,         // the past is of the prompt, which is then asked with one token changed
  cut,            // the same with tokens taken out: what follows them stands elsewhere
  other_text,     // the past is of the prompt, and another text is asked
  again,          // the prompt was asked before, and nothing can make the server forget
  fed_back,       // the prompt and the reply that the server wrote
  evicted,        // other prompts were asked in between, as many as may push the past out
  restored,       // the past was saved and restored
  companions,     // computed anew while other requests run
  prompt_scores,  // log-probabilities of the prompt itself, computed anew and with a past
};
std::string_view name_of(Kind kind);  // "prefix"

// One comparison with the reply to the same question, computed anew.
struct Experiment {
  Kind kind;
  std::string name;                           // "16 tokens kept"
  std::optional<std::int64_t> wanted = {};    // tokens of the past left for it that it begins with
  std::optional<std::int64_t> possible = {};  // the most that it shares at its beginning with anything asked before
  std::optional<std::int64_t> reused = {};    // as the server said
  std::optional<Distance> distance = {};      // none where it gives no log-probabilities
  bool same_text = true;                      // what it wrote
  double seconds = 0, cold_seconds = 0;       // from request to reply, of one new token
  std::string left_out = {};                  // why it was not done

  bool same() const { return same_text && (!distance || distance->same); }
};

enum class Outcome : std::uint8_t {
  identical,      // every digit that the server printed
  within_digits,  // no further apart than a step of the last printed digit
  alike,          // of two servers: no further apart than rounding explains
  differs,
  not_deterministic,  // it does not repeat itself when nothing is reused
  empty,              // nothing was reused, or nothing can be told from what it answers
};
std::string_view name_of(Outcome outcome);  // "identical", "equal to the printed digits", ...

// What can be told from outside of why answers differ.
struct Finding {
  std::string name;       // "depends-on-length"
  std::string statement;  // a sentence
  std::string look_at;    // what to do about it
};

struct Verdict {
  Outcome outcome = Outcome::empty;
  std::string sentence;
  std::vector<std::string> reasons = {};

  bool holds() const {
    return outcome == Outcome::identical || outcome == Outcome::within_digits || outcome == Outcome::alike;
  }
};

struct Report {
  About about;
  Plan plan;
  std::int64_t tokens = 0;    // of the prompt; 0 where the server takes only text
  std::int64_t requests = 0;  // that were sent
  int answer_tokens = 1;      // of an answer: more where there are no log-probabilities to compare
  std::string text = {};
  std::vector<std::int32_t> ids = {};
  std::vector<Experiment> experiments;
  bool comparable = true;                  // at least one answer had a text, ids or log-probabilities
  std::vector<std::string> oddities = {};  // what no reply should hold, each once
  double step = 0;                         // of the digits printed
  double seen = 1;                         // least probability that the candidates of a reply cover
  double cold_seconds = 0;                 // median of the replies that were computed anew
  Verdict verdict = {};
  std::vector<Finding> causes = {};
  show::Environment environment = {};
  std::string command = {};
};

// What reports in JSON have in common: a member "server", the members of a verdict, and a value, null without one.
void write_about(JsonWriter& writer, const About& about);
void write_verdict(JsonWriter& writer, const Verdict& verdict);
void write_distance(JsonWriter& writer, const std::optional<Distance>& distance);

// JUnit's XML of one suite. A case without a failure holds.
struct JunitCase {
  std::string name, failure;
};
std::string junit(std::string_view suite, std::string_view type, const std::vector<JunitCase>& cases);

}  // namespace pkv::served
