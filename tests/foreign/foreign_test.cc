// Every fault of the bench, recorded and judged: fault x format x probes -> right, unknown, wrong, missed. Splits take
// turns; PKV_MANY_FAULTS=1 tries all of them.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/file.h"
#include "base/json_node.h"
#include "checker/check/document.h"
#include "foreign/faults.h"
#include "foreign/recorder.h"
#include "show/document.h"
#include "support/places.h"

namespace pkv::foreign {
namespace {

// Hidden: said to be well, and smaller than what the report says that it does not see.
enum class Judged { right, unknown, hidden, missed, wrong };

const char* name_of(Judged j) {
  constexpr const char* names[] = {"right", "unknown", "hidden", "missed", "wrong"};
  return names[static_cast<int>(j)];
}

struct Told {
  Judged judged = Judged::right;
  std::vector<std::string> certain;  // causes named with certainty
  check::Outcome outcome = check::Outcome::empty;
  double moved = 0, blind = 0;  // the largest |Δ| of a logit, and what the report says would not show
};

// A healthy program may differ by rounding; a fault must be said to be one, under its own name or none.
Told told_of(const Planted& planted, const check::Report& report) {
  Told told{
      .outcome = report.verdict.outcome, .moved = report.total.max_abs, .blind = check::blind_spot(report).value_or(0)};
  for (const check::Explanation& e : report.causes) {
    if (e.confirmed) told.certain.push_back(e.cause);
  }
  const bool misnamed = std::ranges::any_of(told.certain, [&](const std::string& name) {
    return std::ranges::find(planted.right, name) == planted.right.end();
  });
  if (planted.healthy) {
    told.judged = misnamed || !report.verdict.holds() ? Judged::wrong : Judged::right;
  } else if (misnamed) {
    told.judged = Judged::wrong;
  } else if (report.verdict.holds()) {
    told.judged = 0 < told.moved && told.moved <= told.blind ? Judged::hidden : Judged::missed;
  } else {
    told.judged = told.certain.empty() ? Judged::unknown : Judged::right;
  }
  return told;
}

Ids text_of(const Shape& shape, int tokens, unsigned seed) {
  std::mt19937 dice(seed);
  Ids ids;
  for (int i = 0; i < tokens; ++i)
    ids.push_back(static_cast<std::int32_t>(dice() % static_cast<unsigned>(shape.vocab)));
  return ids;
}

using Pieces = std::vector<std::int64_t>;

struct Cell {
  std::string fault, format, pieces;
  bool probes = false;
  Told told;
};

std::string place_of(const Cell& c) {
  return fmt::format("{} | {} | {} | {}", c.fault, c.format, c.pieces, c.probes ? "probes" : "no probes");
}

// Whether any call after a past is one in which the fault shows.
bool shows(const Planted& planted, const Pieces& pieces) {
  return planted.shows_in == Planted::Rows::any || std::any_of(pieces.begin() + 1, pieces.end(), [&](auto rows) {
           return (rows == 1) == (planted.shows_in == Planted::Rows::one);
         });
}

// Whether a name is listed, as it is or by a star: "later.*".
bool listed(const std::string& name, const std::vector<std::string>& names) {
  return std::ranges::any_of(names, [&](const std::string& x) {
    return x == name || (x.ends_with("*") && name.starts_with(x.substr(0, x.size() - 1)));
  });
}

std::vector<std::string> names_of(const char* list) {
  const std::filesystem::path file = support::source() / "tools" / "recorded_names.json";
  const Json document = parse_json(read_file(file, 1 << 20), file.string());
  std::vector<std::string> names;
  for (const JsonNode& name : JsonNode(document, file.string()).at(list).elements()) names.push_back(name.text());
  return names;
}

// By the list that tools/record_transformers.py holds its names against, too.
void expect_names_of_the_script(const check::Probes& probes) {
  static const std::vector<std::string> runs = names_of("runs"), supposed = names_of("suppose");
  for (const auto& [name, logits] : probes.runs) EXPECT_TRUE(listed(name, runs)) << name;
  for (const auto& [names, logits] : probes.supposed) {
    std::istringstream list(names);
    for (std::string one; std::getline(list, one, '+');) {
      const std::string cause = one.substr(0, one.find('='));
      EXPECT_TRUE(listed(cause, supposed)) << names;
      EXPECT_NE(check::find_cause(cause), nullptr) << cause;
    }
  }
}

std::vector<Cell> judged_cells(bool probes) {
  const std::vector<std::pair<std::string, Pieces>> splits{
      {"last", {23, 1}}, {"pieces", {10, 8, 6}}, {"single", Pieces(24, 1)}};
  std::size_t turn = 0;
  std::vector<Cell> cells;
  const char* only = std::getenv("PKV_FAULT");
  for (const Planted& planted : all_faults()) {
    if (only != nullptr && planted.name.find(only) == std::string::npos) continue;
    if (planted.needs_probes && !probes) continue;
    for (const std::string& format : planted.formats) {
      const bool every_split = std::getenv("PKV_MANY_FAULTS") != nullptr && format == planted.formats[0];
      for (std::size_t i = 0; i < (every_split ? splits.size() : 1); ++i) {
        const auto& [name, pieces] = splits[turn++ % splits.size()];
        if (!shows(planted, pieces)) continue;
        Program program(planted.shape, format, planted.fault);
        const Recorded r = record(program, text_of(planted.shape, 24, 11), pieces, probes);
        if (r.with.probes) expect_names_of_the_script(*r.with.probes);
        const check::Report report = check::compare_recordings(r.without, r.with);
        cells.push_back({planted.name, format, name, probes, told_of(planted, report)});
        if (only != nullptr) fmt::print("{}\n{}\n", place_of(cells.back()), show::as_text(check::document(report)));
      }
    }
  }
  return cells;
}

void print(const std::vector<Cell>& cells) {
  std::map<std::string, std::map<std::string, std::string>> rows;
  std::map<Judged, int> sums;
  std::vector<std::string> order;
  for (const Cell& c : cells) {
    if (!rows.contains(c.fault)) order.push_back(c.fault);
    std::string& cell = rows[c.fault][c.format];
    cell += std::string(1, c.pieces[0]) +
            std::string(1, name_of(c.told.judged)[0] == 'r' ? '.' : name_of(c.told.judged)[0]);
    sums[c.told.judged]++;
  }
  fmt::print("{:<44} {:<6} {:<6} {:<6}   . right  u unknown  h hidden  m missed  w wrong; of last, pieces, single\n",
             "fault", "fp32", "bf16", "fp16");
  for (const std::string& fault : order) {
    auto& row = rows[fault];
    fmt::print("{:<44} {:<6} {:<6} {:<6}\n", fault, row["fp32"], row["bf16"], row["fp16"]);
  }
  fmt::print("of {}: right {}, unknown {}, hidden {}, missed {}, wrong {}\n", cells.size(), sums[Judged::right],
             sums[Judged::unknown], sums[Judged::hidden], sums[Judged::missed], sums[Judged::wrong]);
  if (std::getenv("PKV_CELLS") == nullptr) return;
  for (const Cell& c : cells) {
    fmt::print("{} | {} | {} | {}\n", place_of(c), name_of(c.told.judged), check::name_of(c.told.outcome),
               fmt::join(c.told.certain, ", "));
  }
}

// Cells that fail and are known to: "FAULT | FORMAT | PIECES | PROBES | wrong". PKV_APPROVE=1 writes them anew.
std::filesystem::path known_file(bool probes) {
  return support::source() / "tests" / "foreign" / (probes ? "known.txt" : "known_without_probes.txt");
}

std::set<std::string> known(bool probes) {
  std::set<std::string> lines;
  std::ifstream file(known_file(probes));
  for (std::string line; std::getline(file, line);) lines.insert(line);
  return lines;
}

void hold_against_known(const std::vector<Cell>& cells, bool probes, const std::set<Judged>& fail) {
  std::vector<std::string> failing, unknown;
  const std::set<std::string> listed = known(probes);
  for (const Cell& c : cells) {
    if (!fail.contains(c.told.judged)) continue;
    failing.push_back(fmt::format("{} | {}", place_of(c), name_of(c.told.judged)));
    if (listed.contains(failing.back())) continue;
    unknown.push_back(fmt::format("{}: {} [{}], moved by {:.3g}, blind below {:.3g}", failing.back(),
                                  check::name_of(c.told.outcome), fmt::join(c.told.certain, ", "), c.told.moved,
                                  c.told.blind));
  }
  if (std::getenv("PKV_APPROVE") != nullptr) {
    std::ofstream file(known_file(probes));
    for (const std::string& line : failing) file << line << '\n';
    return;
  }
  EXPECT_TRUE(unknown.empty()) << fmt::format("{}", fmt::join(unknown, "\n"));
}

TEST(Foreign, TheLayerWhereAFaultBeginsIsSaid) {
  for (const char* format : {"fp32", "bf16"}) {
    for (const Planted& planted : all_faults()) {
      if (planted.name != "one layer ignores the past" && planted.name != "past ignored") continue;
      Program program(planted.shape, format, planted.fault);
      const Recorded r = record(program, text_of(planted.shape, 24, 11), {18, 6}, true);
      const check::Report report = check::compare_recordings(r.without, r.with);
      ASSERT_TRUE(report.parting) << planted.name;
      EXPECT_EQ(report.parting->layer, planted.name == "past ignored" ? 0 : 1) << report.parting->sentence;
      EXPECT_EQ(report.parting->position, 18) << report.parting->sentence;
      EXPECT_EQ(report.layers.size(), 4u);
    }
  }
}

TEST(Foreign, WithProbesNoFaultIsMisnamedOrMissed) {
  const std::vector<Cell> cells = judged_cells(true);
  print(cells);
  hold_against_known(cells, true, {Judged::wrong, Judged::missed, Judged::hidden});
}

TEST(Foreign, WithoutProbesNoFaultIsMisnamedAndWhatIsMissedIsBelowTheBlindSpot) {
  const std::vector<Cell> cells = judged_cells(false);
  print(cells);
  hold_against_known(cells, false, {Judged::wrong, Judged::missed});
}

}  // namespace
}  // namespace pkv::foreign
