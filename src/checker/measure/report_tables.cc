// Markdown and CSV: the same rows in two forms.
#include <fmt/format.h>

#include "checker/measure/numbers.h"
#include "checker/measure/report.h"
#include "show/columns.h"

namespace pkv::measure {
namespace {

using Row = std::vector<std::string>;

std::string generation_table(const Result& r) {
  if (r.generation.empty()) return "";
  std::vector<Row> rows{{"prompt", "new tokens", "with past", "tokens/s", "without past", "tokens/s", "times faster",
                         "2 × from", "10 × from", "first token", "bytes/token", "FLOP/token", "share of read rate",
                         "prompt, share of FMA rate", "hash of the logits"}};
  const auto from = [](std::optional<std::int64_t> n) { return n ? show::grouped(*n) : std::string(); };
  for (const Generation& g : r.generation) {
    const Spread with = spread_of(g.with_total), without = spread_of(g.without_total);
    const auto n = static_cast<double>(g.new_tokens);
    const std::string about = g.sampled() ? "~" : "";
    rows.push_back({prompt_text(g), show::grouped(g.new_tokens), spread_text(with), rate_text(n / with.median),
                    about + spread_text(without), about + rate_text(n / without.median), about + times_text(g.faster()),
                    from(g.passes(2)), from(g.passes(10)), spread_text(spread_of(g.with_past.seconds.front())),
                    bytes_text(g.bytes_per_token), large_text(g.flop_per_token), share_text(g.read_share),
                    share_text(g.fma_share), hash_text(g.hash)});
  }
  return show::markdown_table(rows) + "\n";
}

std::string reuse_table(const Result& r) {
  if (r.reuse.empty()) return "";
  std::vector<Row> rows{{"prefix", "recomputed", "in memory", "times", "page cache", "times", "disk", "times",
                         "saved past", "hash of the logits"}};
  for (const Reuse& u : r.reuse) {
    Row row{show::grouped(u.prefix)};
    for (int way = 0; way < Reuse::ways; ++way) {
      const bool measured = !u.seconds[way].empty();
      row.push_back(measured ? spread_text(spread_of(u.seconds[way])) : "");
      if (way > 0) row.push_back(measured ? times_text(u.faster(static_cast<Reuse::Way>(way))) : "");
    }
    row.push_back(u.saved_bytes > 0 ? bytes_text(static_cast<double>(u.saved_bytes)) : "");
    row.push_back(hash_text(u.hash));
    rows.push_back(row);
  }
  std::string text = show::markdown_table(rows) + "\n";
  for (const std::string& sentence : worth_sentences(r)) text += sentence + "\n\n";
  return text;
}

std::string number(double value) { return fmt::format("{:.9g}", value); }

Row times_of(const Samples& samples) {
  const Spread s = spread_of(samples);
  return {fmt::format("{}", s.count), number(s.median), number(s.deviation), number(s.least), number(s.most)};
}

Row ratio_cells(const Ratio& r) { return {number(r.times), r.error ? number(*r.error) : ""}; }

Row joined(std::initializer_list<Row> parts) {
  Row all;
  for (const Row& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace

std::string report_markdown(const Result& r) {
  const session::Description& d = r.subject;
  std::string text =
      fmt::format("## {}\n\n{}, {}, past {}, {}; {} in turn\n\n**{}**\n\n", show::printable(d.name), show::printable(d.family),
                  d.format, d.past_format, d.system, show::counted(r.repetitions, "repetition"), headline(r));
  text += generation_table(r) + reuse_table(r);
  if (!r.read_rate.empty()) {
    text += fmt::format("The machine, in the same run: reads {} per second, {} multiply-adds per second.\n",
                        bytes_text(median_of(r.read_rate)), large_text(median_of(r.fma_rate)));
  }
  if (r.peak_memory > 0) text += fmt::format("\nPeak memory {}.\n", bytes_text(static_cast<double>(r.peak_memory)));
  for (const std::string& note : r.notes) text += "\n" + note + "\n";
  return text;
}

std::string report_csv(const Result& r) {
  std::string text =
      "model,format,past_format,variant,depth,prompt,new_tokens,repetitions,median_s,deviation_s,min_s,max_s,"
      "tokens_per_s,timed_tokens,times_faster,times_faster_error,bytes_per_token,flop_per_token,share_of_read_rate,"
      "prompt_share_of_fma_rate,logits_hash,peak_memory_bytes\n";
  const Row name{r.subject.name, r.subject.format, r.subject.past_format};
  const std::string peak = r.peak_memory > 0 ? fmt::format("{}", r.peak_memory) : "";
  const auto share = [](const Samples& samples) { return samples.empty() ? "" : number(median_of(samples)); };
  for (const Generation& g : r.generation) {
    const Row work{number(g.bytes_per_token), number(g.flop_per_token), share(g.read_share), share(g.fma_share)};
    const Row what{fmt::format("{}", g.depth), fmt::format("{}", g.prompt), fmt::format("{}", g.new_tokens)};
    const auto add = [&](const char* variant, const Samples& total, const Curve& curve, const Row& faster,
                         const Row& past_only) {
      text += show::csv_line(joined(
          {name,
           {variant},
           what,
           times_of(total),
           {number(static_cast<double>(g.new_tokens) / median_of(total)), fmt::format("{}", curve.positions.size())},
           faster,
           past_only,
           {hash_text(g.hash), peak}}));
    };
    add("with past", g.with_total, g.with_past, ratio_cells(g.faster()), work);
    add("without past", g.without_total, g.without_past, {"", ""}, Row(work.size()));
  }
  for (const Reuse& u : r.reuse) {
    for (int way = 0; way < Reuse::ways; ++way) {
      if (u.seconds[way].empty()) continue;
      const auto w = static_cast<Reuse::Way>(way);
      text += show::csv_line(joined({name,
                               {fmt::format("prefix {}", name_of(w))},
                               {fmt::format("{}", u.prefix), "1", "1"},
                               times_of(u.seconds[way]),
                               {number(1 / median_of(u.seconds[way])), "1"},
                               way == 0 ? Row{"", ""} : ratio_cells(u.faster(w)),
                               Row(4),
                               {hash_text(u.hash), peak}}));
    }
  }
  return text;
}

}  // namespace pkv::measure
