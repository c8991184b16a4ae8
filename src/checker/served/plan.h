// What a server will be asked, before the first question: the prefixes whose past it may reuse, and how many requests
// all experiments cost at most.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checker/served/server.h"

namespace pkv::served {

struct Options {
  std::int64_t most_requests = 200;
  std::vector<std::int64_t> prefixes = {};  // their lengths; empty: chosen by `prefixes_of`
  std::vector<int> companions = {};         // other requests at the same time, one experiment for each number
  int new_tokens = 8;                       // of the reply that is fed back
  int flood = 8;                            // other prompts, asked to push the past out; 0: not tried
  std::string mark = "pkv";                 // begins texts that the server can't have seen; of this run alone
};

struct Plan {
  std::vector<std::int64_t> prefixes;  // rising; the last is the whole prompt
  std::int64_t left_out = 0;           // prefixes that most_requests leaves no room for
  std::int64_t requests = 0;           // at most, in all
  std::int64_t longest = 0;            // tokens of the longest prompt
};

// 1, the powers of two and their neighbours (blocks and pages are such), half, all but one and all of `tokens`.
std::vector<std::int64_t> prefixes_of(std::int64_t tokens);

// Sorts `prefixes`. Error::usage where one is none of a prompt of `tokens`.
void require_prefixes(std::vector<std::int64_t>& prefixes, std::int64_t tokens);

// Leaves prefixes out, each of which costs `per_prefix` requests, until the plan keeps to `most`. Error::usage when
// that does not do.
void fit(Plan& plan, std::int64_t tokens, std::int64_t most, std::int64_t per_prefix);

// Error::usage when a prefix asked for is none of the prompt's, or not even the controls fit into most_requests.
Plan plan(const About& about, std::int64_t tokens, const Options& options);

}  // namespace pkv::served
