#include "checker/recorded/probes.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "checker/compare/columns.h"
#include "checker/recorded/probed.h"
#include "checker/recorded/uses.h"
#include "checker/run/evidence.h"

namespace pkv::check {
namespace {

// "3" of "later.3"; -1 where there is no such number.
std::int64_t number_after(std::string_view name, std::string_view start) {
  if (!name.starts_with(start)) return -1;
  std::int64_t number = -1;
  std::from_chars(name.data() + start.size(), name.data() + name.size(), number);
  return number;
}

bool is_wide(std::string_view name) { return name == "wide_without" || name == "wide_with"; }

std::int64_t rows_of_run(const Recording& r, std::string_view name) {
  if (const auto at = r.probes->at.find(name); at != r.probes->at.end()) return std::ssize(at->second);
  if (name == "whole_again") return std::ssize(r.ids);
  if (name == "one_and_two") return 3;
  if (const std::int64_t first = number_after(name, "later."); first >= 0) return first;
  return probed_rows(r);
}

void require_shape(const Recording& r, const std::string& name, const Logits& logits, std::int64_t rows) {
  if (logits.vocab == r.logits.vocab && logits.rows() == rows) return;
  fail_load({.what = "not a recording: a probe has the wrong shape",
             .where = fmt::format("{}: '{}'", r.description.name, name),
             .expected = fmt::format("[{}, {}]", rows, r.logits.vocab),
             .found = fmt::format("[{}, {}]", logits.rows(), logits.vocab)});
}

void require_token(const Recording& r, const std::string& name, std::string_view start, std::int64_t end) {
  const std::int64_t token = number_after(name, start);
  if (!name.starts_with(start) || (token >= 0 && token < end)) return;
  fail_load({.what = "not a recording: a probe of a token that is not there",
             .where = fmt::format("{}: 'probe.{}'", r.description.name, name),
             .expected = fmt::format("{}0 .. {}{}", start, start, end - 1)});
}

Difference compared(const Probed& p, const Logits& rows) {
  Difference d;
  if (p.tie) return d;
  const Precision& format = logits_precision(p.with.description);
  const Logits right = p.right();
  for (std::int64_t r = 0; r < rows.rows(); ++r) {
    d.add(compare_row(right.row(r), rows.row(r), format), {p.probes.past, p.probes.past + r}, p.tolerance);
  }
  return d;
}

void add_control(Runs& runs, const Probed& p) {
  const Logits* whole = p.run("whole_again");
  if (whole == nullptr) return;
  Difference twice;
  for (std::int64_t r = 0; r < whole->rows(); ++r) {
    const std::int64_t place = p.place_of("whole_again", r), row = p.without.row_of(place);
    if (row < 0) continue;
    twice.add(compare_row(p.without.logits.row(row), whole->row(r), logits_precision(p.without.description)),
              {0, place}, p.tolerance);
  }
  runs.evidence.noise = twice.max_abs;
  runs.evidence.control = control_finding(twice);
}

std::string apart_words(double apart, const Runs& runs) {
  return fmt::format("{} apart, where rounding could explain {:.2g}", show::short_number(apart), runs.bound.value);
}

// The recorded call, made again after another text was fed: a fault that shows in one of two equal calls.
void add_repeats(Runs& runs, const Probed& p) {
  const Logits* again = p.seen();
  if (again == nullptr || !p.recorded_so() || p.tie) return;
  const Logits first = p.recorded(), right = p.right();
  const double apart = largest_distance(first, *again), bound = runs.bound.value;
  if (!std::isfinite(apart)) return;
  Finding& found = runs.evidence.repeats;
  found = {Answer::yes, "the same call after the same past gives the same logits again"};
  if (apart <= bound) return;
  const bool first_right = largest_distance(first, right) <= bound,
             again_right = largest_distance(*again, right) <= bound;
  if (again_right) {
    found = {Answer::no,
             "only the first call went wrong: the same call after the same past, made again, gives the "
             "right logits"};
  } else if (first_right) {
    found = {Answer::no,
             "only the second call went wrong: after another text was fed, the same call after the same "
             "past no longer gives the right logits"};
  } else {
    found = {Answer::no,
             "two equal calls after equal pasts, another text between them, are " + apart_words(apart, runs)};
  }
}

void add_used(Runs& runs, const Probed& p) {
  const Logits *alone = p.alone(), *other = p.run("other_past"), *faulty = p.seen();
  if (alone == nullptr || other == nullptr || faulty == nullptr) return;
  runs.evidence.influences = {{p.probes.past, largest_distance(*faulty, *alone), largest_distance(*faulty, *other)}};
  runs.evidence.used = used_finding(runs.evidence.influences, runs.bound.value);
}

// A past that says to be unchanged by its use is one that may be used again.
void add_second_use(Runs& runs, const Probed& p) {
  const Logits* twice = p.run("twice");
  if (twice == nullptr) return;
  runs.evidence.again = taken_finding();
  if (p.claims_unchanged()) {
    runs.results.push_back(
        {"one past used twice", "the same past is handed over a second time", 1, compared(p, *twice), {}});
  } else if (!p.probes.twice_lengths.empty()) {
    runs.notes.push_back(
        fmt::format("A past holds {} after its first use: it is changed in place, so whoever wants "
                    "to use it twice has to copy it first.",
                    show::counted(p.probes.twice_lengths[0], "token")));
  }
}

// Heads of a layer that give something else at a row of the probed call, by more than rounding explains; none where
// that is not known.
std::vector<std::int64_t> heads_parted(const Recording& with, std::int64_t layer, std::int64_t row) {
  const States& apart = with.probes->heads_apart;
  std::vector<std::int64_t> heads;
  if (layer < 0 || layer >= std::ssize(apart.layers)) return heads;
  Description until = with.description;
  until.values_format = "fp32";  // or wider
  until.layers = layer + 1;
  const float* at = &apart.layers[static_cast<std::size_t>(layer)][static_cast<std::size_t>(row * apart.width)];
  const std::int64_t all = apart.width / 2;
  for (std::int64_t h = 0; h < all; ++h) {
    if (!(at[h] <= rounding_bound(until, at[all + h]).value)) heads.push_back(h);
  }
  return heads;
}

}  // namespace

void require_places(const Recording& r, const std::string& name, const Places& at, std::int64_t tokens) {
  std::int64_t least = 0;
  for (const std::int64_t place : at) {
    if (place < least || place >= tokens) {
      fail_load({.what = "not a recording: rows of positions that are not in the text, or not in order",
                 .where = fmt::format("{}: '{}'", r.description.name, name),
                 .expected = fmt::format("{} .. {}", least, tokens - 1),
                 .found = fmt::format("{}", place)});
    }
    least = place + 1;
  }
}

void require_sound_probes(const Recording& r) {
  if (!r.probes) return;
  const Probes& p = *r.probes;
  if (p.past < 1 || p.past >= std::ssize(r.ids)) {
    fail_load({.what = "not a recording: the probes' past is not within the text",
               .where = r.description.name,
               .expected = fmt::format("1 .. {}", std::ssize(r.ids) - 1),
               .found = fmt::format("{}", p.past)});
  }
  for (const std::int64_t last = p.past + probed_rows(r); const std::int64_t place : {p.past, last - 1}) {
    if (r.row_of(place) >= 0 && r.row_of(last - 1) - r.row_of(p.past) == last - 1 - p.past) continue;
    fail_load({.what = "not a recording: the logits of a probed token are missing",
               .where = r.description.name,
               .expected = fmt::format("rows {} .. {}", p.past, last - 1)});
  }
  const auto require_distances = [&](const States& apart, std::string_view name, bool odd) {
    for (const auto& layer : apart.layers) {
      if (!odd && std::ssize(layer) == apart.width * probed_rows(r)) continue;
      fail_load({.what = "not a recording: distances of states have the wrong shape",
                 .where = fmt::format("{}: 'probe.{}'", r.description.name, name),
                 .expected = fmt::format("[layers{}, {}, {}]", name == "states_apart" ? " + 1" : "", probed_rows(r),
                                         name == "states_apart" ? "2" : "2 * heads"),
                 .found = fmt::format("[.., {}, {}]", std::ssize(layer) / std::max<std::int64_t>(apart.width, 1),
                                      apart.width)});
    }
  };
  require_distances(p.states_apart, "states_apart", p.states_apart.width != 2);
  require_distances(p.heads_apart, "heads_apart", p.heads_apart.width % 2 != 0);
  for (const auto& [name, at] : p.at) require_places(r, "rows.probe." + name, at, std::ssize(r.ids));
  for (const auto& [name, logits] : p.runs) {
    require_token(r, name, "changed.", p.past);
    require_token(r, name, "changed_whole.", p.past);
    require_token(r, name, "later.", std::ssize(r.ids));
    const bool of_all = is_wide(name) && logits.rows() == std::ssize(r.ids);
    require_shape(r, "probe." + name, logits, of_all ? std::ssize(r.ids) : rows_of_run(r, name));
  }
  for (const auto& [name, states] : p.states) {
    const std::int64_t expected = rows_of_run(r, name) * r.states.width;
    for (const auto& layer : states.layers) {
      if (std::ssize(layer) == expected) continue;
      fail_load({.what = "not a recording: states of a probe have the wrong shape",
                 .where = fmt::format("{}: 'probe.{}.hidden'", r.description.name, name),
                 .expected = fmt::format("{} values a layer", expected),
                 .found = fmt::format("{}", layer.size())});
    }
  }
  for (const auto& [name, logits] : p.supposed) require_shape(r, "suppose." + name, logits, probed_rows(r));
}

WideRuns wide_runs(const Recording& without, const Recording& with, const std::optional<RouterTie>& tie) {
  if (!with.probes) return {};
  const Probed p{without, with, *with.probes, {}, 0};
  const Logits *right = p.run("wide_without"), *other = p.run("wide_with"), *again = p.seen();
  if (right == nullptr || other == nullptr || right->rows() != other->rows()) return {};
  WideRuns runs{.format = p.probes.wide_format.empty() ? "a wider format" : p.probes.wide_format};
  // All rows of the text, in the pieces that were recorded; or those of the probed call.
  const bool of_text = p.probes.at.contains("wide_without") || right->rows() == std::ssize(with.ids);
  const std::int64_t first = of_text ? 0 : p.past(), first_past = with.pieces.empty() ? 0 : with.pieces.front();
  std::int64_t covered = 0;
  for (std::int64_t r = 0; r < right->rows(); ++r) {
    const std::int64_t place = first + p.place_of("wide_without", r), row = without.row_of(place);
    if (row < 0 || with.row_of(place) < 0) continue;
    const bool judged = !tie || with.past_tokens + place < tie->token;
    const auto add = [&](std::span<const float> narrow) {
      judged ? add_row(runs, without.logits.row(row), narrow, right->row(r), other->row(r))
             : add_wide_row(runs, without.logits.row(row), right->row(r), other->row(r));
    };
    if (of_text || p.recorded_so()) add(with.logits.row(with.row_of(place))), covered += place >= first_past ? 1 : 0;
    const std::int64_t in_call = place - p.past();
    if (again != nullptr && in_call >= 0 && in_call < again->rows()) add(again->row(in_call));
  }
  std::int64_t had_past = 0;
  for (std::int64_t i = first_past; i < std::ssize(with.ids); ++i) had_past += with.row_of(i) >= 0 ? 1 : 0;
  runs.every_row = covered == had_past;
  runs.rows = right->rows();
  set_bounds(runs, with.description);
  return runs;
}

std::optional<Inside> inside_as_measured(const Recording& with) {
  const Probes& p = *with.probes;
  const auto layers = std::ssize(p.states_apart.layers),
             rows = layers > 0 ? std::ssize(p.states_apart.layers[0]) / 2 : 0;
  const auto at = [&](std::int64_t layer, std::int64_t row) {
    const auto& all = p.states_apart.layers[static_cast<std::size_t>(layer)];
    return LayerDistance{all[static_cast<std::size_t>(2 * row)], all[static_cast<std::size_t>(2 * row + 1)]};
  };
  const auto parts_at = [&](std::int64_t layer, std::int64_t row) {
    Description until = with.description;
    until.values_format = "fp32";  // or wider
    until.layers = std::max<std::int64_t>(layer, 1);
    return !(at(layer, row).max_abs <= rounding_bound(until, at(layer, row).largest).value);
  };
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t layer = 0;
    while (layer < layers && !parts_at(layer, row)) ++layer;
    if (layer == layers) continue;
    Inside inside;
    for (std::int64_t l = 0; l < layers; ++l) {
      LayerDistance all;
      for (std::int64_t r = 0; r < rows; ++r) {
        all = {std::max(all.max_abs, at(l, r).max_abs), std::max(all.largest, at(l, r).largest)};
      }
      inside.layers.push_back(all);
    }
    Parting parting{.past = p.past, .position = p.past + row, .layer = layer - 1, .embedded = layer == 0};
    const std::vector<std::int64_t> heads = heads_parted(with, layer - 1, row);
    if (!heads.empty()) parting.head = heads.front();
    const std::string where = layer == 0 ? "as it is embedded, before the first layer"
                                         : fmt::format("in layer {} of {}", layer - 1, layers - 1) +
                                               heads_words(heads, p.heads_apart.width / 2);
    parting.sentence = fmt::format("after a past of {} the token at position {} parts {}",
                                   show::counted(p.past, "token"), parting.position, where);
    inside.parting = parting;
    return inside;
  }
  return std::nullopt;
}

Probed probed(const Runs& runs, const Recording& without, const Recording& with) {
  const Probes& probes = *with.probes;
  const bool tie = runs.tie && runs.tie->token < with.past_tokens + probes.past + probed_rows(with);
  Probed p{without, with, probes, runs.tolerance(), runs.wide.bound, tie};
  if (!runs.wide.known()) {
    WideRuns none{.largest_logit = largest_logit(p.right().values)};
    set_bounds(none, with.description);
    p.wide_noise = none.bound;
  }
  return p;
}

void add_probes(Runs& runs, const Recording& without, const Recording& with) {
  if (!with.probes) return;
  const Probed p = probed(runs, without, with);
  add_control(runs, p);
  add_repeats(runs, p);
  add_used(runs, p);
  if (const Logits* again = p.run("again")) {
    runs.results.push_back({"after another text",
                            "the last piece once more, after a past of all before it; another text was fed first",
                            1,
                            compared(p, *again),
                            {}});
  }
  add_second_use(runs, p);
  add_uses(runs, p);
}

}  // namespace pkv::check
