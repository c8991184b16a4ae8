#include "checker/recorded/uses.h"

#include <fmt/format.h>

#include <algorithm>

#include "checker/compare/columns.h"
#include "checker/run/evidence.h"

namespace pkv::check {
namespace {

struct Use {
  std::string_view run;             // the logits of this text in that use
  std::string_view expected = {};   // the run that they should be those of; empty: the run without past
  std::string_view other_run = {};  // those of the other text; empty: it has none
  std::string_view name, sentence;
  CauseId cause;                   // what it is called where it goes wrong
  std::string_view reproduced_by;  // the supposition that shows it to be so; empty: that it goes wrong shows it
  bool only_swapped = false;       // that one text gets the other's logits shows it
  std::string_view evidence;
};

constexpr Use kUses[] = {
    {.run = "beside_another",
     .other_run = "other_past",
     .name = "two pasts at once",
     .sentence = "a past of this text, then one of another; then both are gone on from",
     .cause = CauseId::past_shared,
     .reproduced_by = {},
     .evidence = "alone, a past gives the right logits; while another text's is alive, it does not"},
    {.run = "batched_past",
     .other_run = "batched_other_past",
     .name = "two texts in a batch",
     .sentence = "this text and another in one batch, with a past for each",
     .cause = CauseId::batch_rows_mixed,
     .reproduced_by = {},
     .only_swapped = true,
     .evidence = "alone, a past gives the right logits; beside another text's in a batch, it does not"},
    {.run = "reordered",
     .other_run = "reordered_other",
     .name = "a batch reordered",
     .sentence = "this text and another in one batch, whose rows are reordered in the past, as after a beam search",
     .cause = CauseId::rows_not_reordered,
     .reproduced_by = {},
     .only_swapped = true,
     .evidence = "in a batch a past gives the right logits; once its rows were reordered, it does not"},
    {.run = "forked",
     .expected = "forked_whole",
     .name = "a copy of a past",
     .sentence = "a copy of the past is gone on from, then the original with another text, then the copy again",
     .cause = CauseId::past_changed_in_place,
     .reproduced_by = "past-changed-in-place",
     .evidence = "a copy of a past gives the logits of one that holds what the original was fed"},
    {.run = "cropped",
     .name = "a past cut back",
     .sentence = "the past is made with other tokens behind it and cut back; then the rest is fed",
     .cause = CauseId::past_not_rewound,
     .reproduced_by = "past-not-rewound",
     .evidence = "a past that was cut back gives the logits of one that still holds what was taken back"},
};

bool apart(const Probed& p, const Logits& a, const Logits& b) { return !(largest_distance(a, b) <= p.bound_of_uses()); }

// What the other text's logits are without a past, where they were run in the format of the recorded runs.
const Logits* right_of_other(const Probed& p) {
  const bool wide = p.probes.supposed_for.starts_with("wide");
  return wide && !p.uses_wide() ? nullptr : p.suppose("past-of-another-text");
}

const Logits* other_run(const Probed& p, const Use& use) {
  return use.other_run.empty() || right_of_other(p) == nullptr ? nullptr : p.run(use.other_run);
}

Logits expected(const Probed& p, const Use& use) {
  const Logits* own = p.run(use.expected);
  return own == nullptr ? p.right_of_uses() : *own;
}

Difference difference_of(const Probed& p, const Use& use) {
  Difference sum;
  const Precision& format = logits_precision(p.with.description);
  const Tolerance tolerance{false, p.bound_of_uses()};
  const auto add = [&](const Logits& right, const Logits& rows) {
    for (std::int64_t r = 0; r < rows.rows(); ++r) {
      sum.add(compare_row(right.row(r), rows.row(r), format), {p.past(), p.past() + r}, tolerance);
    }
  };
  add(expected(p, use), *p.run(use.run));
  if (const Logits* other = other_run(p, use)) add(*right_of_other(p), *other);
  return sum;
}

bool goes_wrong(const Probed& p, const Use& use) {
  const Logits *other = other_run(p, use), *own = p.run(use.run);
  return own != nullptr &&
         (apart(p, expected(p, use), *own) || (other != nullptr && apart(p, *right_of_other(p), *other)));
}

// The right logits, every time that the past was used alone; and a batch without a past that gives them, too.
bool right_alone(const Probed& p) {
  const auto off = [&](const Logits& logits) { return !(largest_distance(p.right(), logits) <= p.tolerance.bound); };
  const Logits *again = p.seen(), *batched = p.run("batched");
  if (again == nullptr || (!p.tie && (off(*again) || (p.recorded_so() && off(p.recorded()))))) return false;
  if (p.uses_wide()) {  // then alone, too, it has to be right there
    const Logits *with = p.run("wide_with"), *once_more = p.run("wide_again");
    if (with != nullptr && apart(p, p.right_of_uses(), p.of_call(*with, "wide_with"))) return false;
    if (once_more != nullptr && apart(p, p.right_of_uses(), *once_more)) return false;
  }
  return batched == nullptr || !apart(p, p.right_of_uses(), *batched);
}

bool batch_goes_wrong(const Probed& p) {
  return std::ranges::any_of(kUses, [&](const Use& u) { return u.run == "batched_past" && goes_wrong(p, u); });
}

// Whether one of the two texts gets what is the other's.
bool gives_the_others(const Probed& p, const Use& use) {
  const Logits *right = right_of_other(p), *other = other_run(p, use);
  if (right == nullptr || !apart(p, p.right_of_uses(), *right)) return false;
  return !apart(p, *right, *p.run(use.run)) || (other != nullptr && !apart(p, p.right_of_uses(), *other));
}

// Whether this text gets its own logits, and the other text this one's: its past was taken for this one's.
bool gives_this_texts(const Probed& p, const Use& use) {
  const Logits* other = other_run(p, use);
  return other != nullptr && !apart(p, expected(p, use), *p.run(use.run)) && !apart(p, p.right_of_uses(), *other);
}

// The last tokens of the past, each fed alone.
void add_singly(Runs& runs, const Probed& p) {
  const Logits* rows = p.run("singly");
  if (rows == nullptr || (p.tie && !p.uses_wide())) return;
  const Logits* wide = p.uses_wide() ? p.run("wide_without") : nullptr;
  Difference sum;
  for (std::int64_t r = 0; r < rows->rows(); ++r) {
    const std::int64_t place = p.place_of("singly", r);
    const std::int64_t row = wide == nullptr ? p.without.row_of(place) : p.row_in("wide_without", place);
    if (row < 0) continue;
    sum.add(compare_row((wide == nullptr ? p.without.logits : *wide).row(row), rows->row(r),
                        logits_precision(p.with.description)),
            {place, place}, {false, p.bound_of_uses()});
  }
  runs.results.push_back({"one at a time", "the last tokens of the past, each fed alone", 1, sum, {}});
}

}  // namespace

void add_uses(Runs& runs, const Probed& p) {
  for (const Use& use : kUses) {
    if (p.run(use.run) == nullptr) continue;
    runs.results.push_back({std::string(use.name), std::string(use.sentence), 1, difference_of(p, use), {}});
  }
  add_singly(runs, p);
  const std::int64_t said = p.probes.cropped_length;
  if (said >= 0 && said != p.past()) {
    runs.notes.push_back(
        fmt::format("A past that was cut back to {} says that it holds {}.", show::counted(p.past(), "token"), said));
  }
}

void add_causes_of_uses(Causes& found, const Probed& p) {
  if (!right_alone(p)) return;
  for (const Use& use : kUses) {
    if (!goes_wrong(p, use)) continue;
    if (use.cause == CauseId::rows_not_reordered && batch_goes_wrong(p)) continue;
    const Logits* supposed = p.suppose(use.reproduced_by);
    if (!use.reproduced_by.empty() && (supposed == nullptr || apart(p, *supposed, *p.run(use.run)))) continue;
    if (gives_this_texts(p, use)) {
      add_found(
          found, CauseId::past_of_another_text,
          "a past of another text, made and gone on from while this one's is alive, gives the logits of this one's");
      continue;
    }
    const bool swapped = gives_the_others(p, use);
    if (use.cause == CauseId::past_shared && !apart(p, expected(p, use), *p.run(use.run))) {
      if (!swapped) continue;  // the first past kept what it had
      add_found(found, CauseId::past_of_another_text,
                "the past of a text that was fed second gives the logits of the first text's past");
      continue;
    }
    if (use.only_swapped && !swapped) continue;
    add_found(found, use.cause, std::string(use.evidence) + (swapped ? ": those of one text are the other's" : ""));
  }
}

}  // namespace pkv::check
