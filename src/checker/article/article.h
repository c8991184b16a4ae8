// The article that pkv grew out of ("Past Key Values and Large Language Models", a blog post of 30 June 2023) and its
// seven runs, told again: what it printed, what had happened, and what a correct implementation gives. Here are the
// post's published figures and the telling; models are loaded and run by the program.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checker/check/report.h"

namespace pkv::article {

// The post's only text.
inline constexpr std::string_view post_text = "I like to eat";

// Of the last position's logits, as the post printed them.
struct Figures {
  double mean_without, mean_with, mean_abs, max_abs, max_relative, std_without, min_without, max_without;
};

// As the post's table has them. Its columns without past and of the difference suffice, but for one mean.
Figures figures_of(const check::Table& table);

struct PublishedModel {
  std::string_view key;                       // "mpt"
  std::string_view family;                    // "MPT", as in Description
  std::string_view bundled;                   // stands for it where it is not given: "tiny-mpt"
  std::int64_t layers, inner, hidden, vocab;  // inner: width of the MLP
};

struct PublishedRun {
  enum class Conclusion : std::uint8_t { can, cannot, none };  // none: the post shows that it differs, no more

  std::string_view name;  // "MPT-7B 4-bit"
  const PublishedModel* model;
  std::string_view load_in;  // what was asked for: "fp32", "fp4", "int8"
  std::string_view remark;   // on how it was loaded; empty where that is plain
  Conclusion conclusion;
  Figures figures;
};

std::span<const PublishedRun> published_runs();  // in the post's order

// How far rounding could have moved the post's own logits.
check::Bound published_bound(const PublishedRun& run);

struct RetoldRun {
  const PublishedRun* published = nullptr;
  bool real = false;   // the post's own model, by its shape; otherwise another stands for it
  check::Report then;  // run as the libraries of 2023 did
  check::Report now;   // by a correct implementation
};

// "top-left-mask + position-restarted"; "nothing wrong"; "unknown".
std::string what_happened(const RetoldRun& run);

// The reasons why a past was wrong then are known, and now it is right, or the model attends both ways.
bool explained(const RetoldRun& run);

}  // namespace pkv::article
