#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "checker/measure/numbers.h"
#include "checker/measure/report.h"
#include "show/columns.h"

namespace pkv::measure {
namespace {

using Row = std::vector<std::string>;

std::string coloured(const std::string& text, int code, bool colour) {
  return colour ? fmt::format("\033[1;{}m{}\033[0m", code, text) : text;
}

// Median seconds of new token `position`, where it was timed.
std::string token_cell(const Curve& curve, std::int64_t position) {
  const auto at = std::find(curve.positions.begin(), curve.positions.end(), position);
  if (at == curve.positions.end()) return "";
  return time_text(median_of(curve.seconds[static_cast<std::size_t>(at - curve.positions.begin())]));
}

Row line_of(const Generation& g, bool past) {
  const Spread total = spread_of(past ? g.with_total : g.without_total);
  const Curve& curve = past ? g.with_past : g.without_past;
  const std::string about = !past && g.sampled() ? "~" : "";
  return {past ? "with past" : "without past",
          about + spread_text(total),
          about + rate_text(static_cast<double>(g.new_tokens) / total.median),
          token_cell(curve, 0),
          token_cell(curve, g.new_tokens / 2),
          token_cell(curve, g.new_tokens - 1)};
}

std::string block_of(const Generation& g) {
  std::vector<Row> rows{{fmt::format("prompt {}", prompt_text(g)), "total", "tokens/s", "first token",
                         fmt::format("token {}", show::grouped(g.new_tokens / 2 + 1)),
                         fmt::format("token {}", show::grouped(g.new_tokens))}};
  rows.push_back(line_of(g, true));
  rows.push_back(line_of(g, false));
  return show::aligned(rows, 2) +
         show::wrapped("  ", fmt::format("{} times faster; {}", times_text(g.faster()), passes_text(g))) + "\n";
}

std::string reuse_of(const Result& r) {
  if (r.reuse.empty()) return "";
  std::vector<Row> rows{{"prefix"}};
  for (int way = 0; way < Reuse::ways; ++way) {
    rows[0].emplace_back(name_of(static_cast<Reuse::Way>(way)));
    if (way > 0) rows[0].emplace_back("");
  }
  rows[0].emplace_back("saved");
  for (const Reuse& u : r.reuse) {
    Row row{show::grouped(u.prefix)};
    for (int way = 0; way < Reuse::ways; ++way) {
      const bool measured = !u.seconds[way].empty();
      row.push_back(measured ? time_text(median_of(u.seconds[way])) : "");
      if (way > 0) row.push_back(measured ? rate_text(u.faster(static_cast<Reuse::Way>(way)).times) + " x" : "");
    }
    row.push_back(u.saved_bytes > 0 ? bytes_text(static_cast<double>(u.saved_bytes)) : "");
    rows.push_back(row);
  }
  std::string text = "  Time to the first token after a prefix:\n" + show::aligned(rows, 2);
  for (const std::string& sentence : worth_sentences(r)) text += show::wrapped("  ", sentence);
  return text + "\n";
}

std::string machine_of(const Result& r) {
  std::string text;
  if (!r.read_rate.empty()) {
    text += show::wrapped("  ",
                          fmt::format("The machine, in the same run: reads {} per second, {} multiply-adds per second.",
                                      bytes_text(median_of(r.read_rate)), large_text(median_of(r.fma_rate))));
    std::vector<Row> rows{{"share of it reached", "bytes/token", "FLOP/token", "reading", "prompt: multiply-adds"}};
    for (const Generation& g : r.generation) {
      rows.push_back({fmt::format("prompt {}", prompt_text(g)), bytes_text(g.bytes_per_token),
                      large_text(g.flop_per_token), share_text(g.read_share), share_text(g.fma_share)});
    }
    if (!r.generation.empty()) text += show::aligned(rows, 2);
  }
  std::string facts;
  if (r.peak_memory > 0) facts = fmt::format("Peak memory {}. ", bytes_text(static_cast<double>(r.peak_memory)));
  std::vector<std::string> hashes;
  for (const Generation& g : r.generation)
    hashes.push_back(fmt::format("{} (prompt {})", hash_text(g.hash), prompt_text(g)));
  for (const Reuse& u : r.reuse)
    hashes.push_back(fmt::format("{} (prefix {})", hash_text(u.hash), show::grouped(u.prefix)));
  if (!hashes.empty()) facts += fmt::format("Hash of the logits: {}.", fmt::join(hashes, ", "));
  return facts.empty() ? text : text + show::wrapped("  ", facts);
}

}  // namespace

std::string headline(const Result& r) {
  if (!r.holds()) {
    const Disagreement& d = r.disagreements.front();
    const std::string why = r.subject.no_past.empty() ? "" : fmt::format(" ({})", r.subject.no_past);
    return fmt::format("no speed-up, for the answer changes: {}, the logits after {} are not those with past{}.",
                       d.variant, show::counted(d.tokens, "token"), why);
  }
  const Generation* g = longest_generation(r);
  std::string text;
  if (g != nullptr) {
    const std::string depth = g->depth > 0 ? fmt::format(" and a past of {}", show::grouped(g->depth)) : "";
    text = fmt::format("{}{} times faster with the past ({} after {}{}). ", g->sampled() ? "about " : "",
                       times_text(g->faster()), show::counted(g->new_tokens, "new token"), show::grouped(g->prompt),
                       depth);
  }
  for (const Reuse::Way way : {Reuse::disk, Reuse::memory}) {
    if (r.reuse.empty() || r.reuse.back().seconds[way].empty()) continue;
    const Reuse& longest = r.reuse.back();
    text += fmt::format("After a prefix of {}, {} times faster to the first token with its past {}. ",
                        show::counted(longest.prefix, "token"), times_text(longest.faster(way)),
                        way == Reuse::disk ? "from the disk" : "in memory");
    break;
  }
  return text + fmt::format("The same logits bit for bit in every variant: {} compared.",
                            show::counted(r.rows_compared, "row"));
}

std::string report_text(const Result& r, bool colour) {
  const session::Description& d = r.subject;
  const std::string past = d.past_format == d.format ? "" : ", past " + d.past_format;
  std::string text =
      show::printable(fmt::format("{} · {} · {}{} · {}", d.name, d.family, d.format, past, d.system)) + "\n";
  text += fmt::format("{} in turn after {}\n\n", show::counted(r.repetitions, "repetition"),
                      show::counted(r.warmup, "untimed round"));
  std::string finding = show::wrapped(r.holds() ? "✓ " : "✗ ", headline(r));
  const std::size_t mark = finding.find(' ');
  text += coloured(finding.substr(0, mark), r.holds() ? 32 : 31, colour) + finding.substr(mark) + "\n";
  for (const Generation& g : r.generation) text += block_of(g);
  text += reuse_of(r) + machine_of(r);
  if (!r.notes.empty()) text += "\n";
  for (const std::string& note : r.notes) text += show::wrapped("  ", note);
  return text;
}

}  // namespace pkv::measure
