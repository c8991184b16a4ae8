// What the search for causes came to: explanations of wrong logits, the likeliest first, and what looking has cost.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checker/causes/cause.h"

namespace pkv::check {

// What may have gone wrong, and how well it reproduces the wrong logits.
struct Explanation {
  std::vector<Supposition> what;  // one cause, or two at once
  std::string cause;              // their names: "top-left-mask + position-restarted"
  std::string statement;          // a sentence without its full stop
  std::string look_at, reference;
  std::string evidence;  // "reproduces 12 of 12 rows of logits bit for bit"
  bool confirmed = false;
  std::int64_t rows = 0, same_rows = 0;  // of logits: compared, and reproduced; 0 where other evidence tells
  double explained = 0;                  // share of the difference, at most 1; below 0 when it makes things worse

  bool is(CauseId id) const { return what.size() == 1 && what[0].cause == id; }
};

struct Causes {
  std::vector<Explanation> causes;  // the likeliest first; empty when nothing differs or nothing explains it
  std::int64_t causes_tried = 0;    // causes, and pairs of them, whose logits could be had
  std::int64_t explaining_feeds = 0, explaining_tokens = 0;  // what looking for them has cost
};

// One cause or two as a report gives them, all but the evidence for them.
Explanation explanation_of(std::vector<Supposition> what);

// The cause confirmed by something else than logits that were computed.
Explanation found_by(CauseId id, std::string evidence);

// Whether that cause, alone, is certain.
bool confirmed(const Causes& causes, CauseId id);

// Adds the cause as found_by() gives it, unless it is certain already.
void add_found(Causes& causes, CauseId id, std::string evidence);

// Leaves out what is not certain, where anything is.
void keep_confirmed(Causes& causes);

// What to say when causes were tried and none is left.
std::string unknown_cause(const Causes& causes);

// "24 causes tried with 40 feeds of 512 tokens"; of recordings "24 causes tried, as recorded"
std::string cost_of_explaining(const Causes& causes);

}  // namespace pkv::check
