#include "checker/measure/document.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "checker/measure/charts.h"
#include "checker/measure/numbers.h"
#include "show/columns.h"

namespace pkv::measure {
namespace {

using show::Align;
using show::Cell;

constexpr show::Readers data_only = 0, told_at_length = show::plain | show::browser;

// A generation with its past, or without.
struct Variant {
  const Generation* generation;
  bool past;

  const Samples& totals() const { return past ? generation->with_total : generation->without_total; }
  const Curve& curve() const { return past ? generation->with_past : generation->without_past; }
  std::string about() const { return !past && generation->sampled() ? "~" : ""; }
};

std::vector<Variant> variants_of(const Generation& g) { return {{&g, true}, {&g, false}}; }

Cell total_of(const Variant& v) { return show::words(v.about() + spread_text(spread_of(v.totals()))); }

Cell rate_of(const Variant& v) {
  const double seconds = spread_of(v.totals()).median;
  return show::words(v.about() + rate_text(static_cast<double>(v.generation->new_tokens) / seconds));
}

// Median seconds of new token `position`, where it was timed.
Cell token_of(const Variant& v, std::int64_t position) {
  const auto& positions = v.curve().positions;
  const auto at = std::find(positions.begin(), positions.end(), position);
  if (at == positions.end()) return {};
  return show::words(time_text(median_of(v.curve().seconds[static_cast<std::size_t>(at - positions.begin())])));
}

Cell with_past_only(const Variant& v, const std::string& text) { return show::words(v.past ? text : ""); }

const show::ColumnOf<Variant> kVariantColumns[] = {
    {{.name = "prompt", .align = Align::words, .readers = told_at_length},
     [](const Variant& v) { return show::words(prompt_text(*v.generation)); }},
    {{.align = Align::words}, [](const Variant& v) { return show::words(v.past ? "with past" : "without past"); }},
    {{"total"}, total_of},
    {{"tokens/s"}, rate_of},
    {{"first token"}, [](const Variant& v) { return token_of(v, 0); }},
    {{.name = "middle token", .readers = show::terminal},
     [](const Variant& v) { return token_of(v, v.generation->new_tokens / 2); }},
    {{"last token"}, [](const Variant& v) { return token_of(v, v.generation->new_tokens - 1); }},
    {{.name = "times faster", .readers = told_at_length},
     [](const Variant& v) { return with_past_only(v, times_text(v.generation->faster())); }},
    {{.name = "share of read rate", .readers = told_at_length},
     [](const Variant& v) { return with_past_only(v, share_text(v.generation->read_share)); }},
    {{.name = "prompt: share of FMA rate", .readers = told_at_length},
     [](const Variant& v) { return with_past_only(v, share_text(v.generation->fma_share)); }},
};

// A terminal has a table for each generation, which says in its heading what others say in columns.
show::Block for_terminal(const Generation& g) {
  show::Table table = show::table_of<Variant>(kVariantColumns, variants_of(g));
  for (show::Column& c : table.columns) {
    if (c.name.empty()) c.brief = fmt::format("prompt {}", prompt_text(g));
    if (c.name == "middle token") c.brief = fmt::format("token {}", show::grouped(g.new_tokens / 2 + 1));
    if (c.name == "last token") c.brief = fmt::format("token {}", show::grouped(g.new_tokens));
  }
  return {table, show::terminal};
}

show::Block of_all(const std::vector<Generation>& generations) {
  std::vector<Variant> variants;
  for (const Generation& g : generations) {
    for (const Variant& v : variants_of(g)) variants.push_back(v);
  }
  return {show::table_of<Variant>(kVariantColumns, variants), told_at_length};
}

using Blocks = std::vector<show::Block>;

show::Block paragraph(std::string text, show::Readers readers, bool close = false) {
  return {show::Paragraph{.text = std::move(text), .close = close}, readers};
}

void add_generation(Blocks& body, const Generation& g) {
  body.push_back(for_terminal(g));
  const std::string faster = fmt::format("{} times faster; {}", times_text(g.faster()), passes_text(g));
  body.push_back(paragraph(faster, show::terminal, true));
  const std::string heading = fmt::format("{} after {}", show::counted(g.new_tokens, "new token"), prompt_text(g));
  body.push_back({show::Heading{heading, 2}, told_at_length});
  body.push_back(paragraph(fmt::format("{}. A token reads {} and takes {}FLOP. The logits' hash is {}.", faster,
                                       bytes_text(g.bytes_per_token), large_text(g.flop_per_token), hash_text(g.hash)),
                           told_at_length));
  if (g.new_tokens > 1) body.insert(body.end(), {{token_chart(g)}, {total_chart(g)}});
}

void add_generations(Blocks& body, const Result& r) {
  if (r.generation.empty()) return;
  body.push_back({show::Heading{"Generation"}, told_at_length});
  body.push_back(of_all(r.generation));
  for (const Generation& g : r.generation) add_generation(body, g);
}

void add_way(show::Row& row, const Reuse& u, Reuse::Way way) {
  const bool measured = !u.seconds[way].empty();
  const Spread seconds = measured ? spread_of(u.seconds[way]) : Spread{};
  row.cells.push_back(measured ? Cell{.shown = spread_text(seconds), .brief = time_text(seconds.median)} : Cell{});
  if (way == Reuse::recomputed) return;
  const Ratio faster = measured ? u.faster(way) : Ratio{};
  row.cells.push_back(measured ? Cell{.shown = times_text(faster), .brief = rate_text(faster.times) + " x"} : Cell{});
}

show::Table reuse_table(const std::vector<Reuse>& reuse) {
  show::Table table{.columns = {{.name = "prefix", .align = Align::words}}, .close = true};
  for (int way = 0; way < Reuse::ways; ++way) {
    table.columns.push_back({.name = std::string(name_of(static_cast<Reuse::Way>(way)))});
    if (way > 0) table.columns.push_back({.name = "times", .brief = ""});
  }
  table.columns.push_back({.name = "saved past", .brief = "saved"});
  table.columns.push_back({.name = "hash of the logits", .readers = show::plain});
  for (const Reuse& u : reuse) {
    show::Row& row = table.rows.emplace_back();
    row.cells.push_back(show::words(show::grouped(u.prefix)));
    for (int way = 0; way < Reuse::ways; ++way) add_way(row, u, static_cast<Reuse::Way>(way));
    row.cells.push_back(show::words(u.saved_bytes > 0 ? bytes_text(static_cast<double>(u.saved_bytes)) : ""));
    row.cells.push_back(show::words(hash_text(u.hash)));
  }
  return table;
}

std::vector<std::string> hashes_of(const std::vector<Reuse>& reuse) {
  std::vector<std::string> hashes;
  for (const Reuse& u : reuse) {
    hashes.push_back(fmt::format("{} (prefix {})", hash_text(u.hash), show::grouped(u.prefix)));
  }
  return hashes;
}

void add_reuse(Blocks& body, const Result& r) {
  if (r.reuse.empty()) return;
  body.push_back({show::Heading{"Reuse of a prefix"}, told_at_length});
  body.push_back(paragraph("Time to the first token after a prefix:", show::terminal));
  body.push_back({reuse_table(r.reuse)});
  for (const std::string& sentence : worth_sentences(r)) {
    body.push_back(paragraph(sentence, show::all_readers, true));
  }
  body.push_back(
      paragraph(fmt::format("Hashes of the logits: {}.", fmt::join(hashes_of(r.reuse), ", ")), show::browser));
  body.push_back({reuse_chart(r.reuse)});
}

const show::ColumnOf<Generation> kShareColumns[] = {
    {{.name = "share of it reached", .align = Align::words},
     [](const Generation& g) { return show::words(fmt::format("prompt {}", prompt_text(g))); }},
    {{"bytes/token"}, [](const Generation& g) { return show::words(bytes_text(g.bytes_per_token)); }},
    {{"FLOP/token"}, [](const Generation& g) { return show::words(large_text(g.flop_per_token)); }},
    {{"reading"}, [](const Generation& g) { return show::words(share_text(g.read_share)); }},
    {{"prompt: multiply-adds"}, [](const Generation& g) { return show::words(share_text(g.fma_share)); }},
};

// Others are told hashes in tables.
std::string memory_and_hashes(const Result& r) {
  std::string facts;
  if (r.peak_memory > 0) facts = fmt::format("Peak memory {}. ", bytes_text(static_cast<double>(r.peak_memory)));
  std::vector<std::string> hashes;
  for (const Generation& g : r.generation) {
    hashes.push_back(fmt::format("{} (prompt {})", hash_text(g.hash), prompt_text(g)));
  }
  for (std::string& hash : hashes_of(r.reuse)) hashes.push_back(std::move(hash));
  if (!hashes.empty()) facts += fmt::format("Hash of the logits: {}.", fmt::join(hashes, ", "));
  return facts;
}

void add_machine(Blocks& body, const Result& r) {
  const std::string memory = bytes_text(static_cast<double>(r.peak_memory));
  if (!r.read_rate.empty()) {
    const std::string reads = bytes_text(median_of(r.read_rate)), adds = large_text(median_of(r.fma_rate));
    body.push_back({show::Heading{"The machine, in the same run"}, show::browser});
    const show::Facts facts{
        "", {{"reads", reads + " per second"}, {"multiply-adds", adds + " per second"}, {"peak memory", memory}}};
    body.push_back({facts, show::browser});
    body.push_back(paragraph(fmt::format("The machine, in the same run: reads {} per second, {} multiply-adds per "
                                         "second.",
                                         reads, adds),
                             show::terminal | show::plain));
    show::Table shares = show::table_of<Generation>(kShareColumns, r.generation);
    shares.close = true;
    if (!r.generation.empty()) body.push_back({shares, show::terminal});
  }
  const std::string facts = memory_and_hashes(r);
  if (!facts.empty()) body.push_back(paragraph(facts, show::terminal, !r.read_rate.empty()));
  if (r.peak_memory > 0) body.push_back(paragraph(fmt::format("Peak memory {}.", memory), show::plain));
}

// A line of CSV: what was timed.
struct Timed {
  const Result* result;
  std::string variant;
  std::int64_t depth, prompt, new_tokens;
  const Samples* seconds;
  std::size_t timed_tokens;
  std::optional<Ratio> faster;
  const Generation* work;  // null where that is not told
  std::uint64_t hash;
};

Cell datum(double value) { return {.data = show::data(value)}; }
Cell datum(std::uint64_t value) { return {.data = fmt::format("{}", value)}; }
Cell share(const Timed& t, Samples Generation::*shares) {
  return t.work == nullptr || (t.work->*shares).empty() ? Cell{} : datum(median_of(t.work->*shares));
}

const show::ColumnOf<Timed> kTimedColumns[] = {
    {{.key = "model"}, [](const Timed& t) { return show::words(t.result->subject.name); }},
    {{.key = "format"}, [](const Timed& t) { return show::words(t.result->subject.format); }},
    {{.key = "past_format"}, [](const Timed& t) { return show::words(t.result->subject.past_format); }},
    {{.key = "variant"}, [](const Timed& t) { return show::words(t.variant); }},
    {{.key = "depth"}, [](const Timed& t) { return show::count(t.depth); }},
    {{.key = "prompt"}, [](const Timed& t) { return show::count(t.prompt); }},
    {{.key = "new_tokens"}, [](const Timed& t) { return show::count(t.new_tokens); }},
    {{.key = "repetitions"}, [](const Timed& t) { return show::count(spread_of(*t.seconds).count); }},
    {{.key = "median_s"}, [](const Timed& t) { return datum(spread_of(*t.seconds).median); }},
    {{.key = "deviation_s"}, [](const Timed& t) { return datum(spread_of(*t.seconds).deviation); }},
    {{.key = "min_s"}, [](const Timed& t) { return datum(spread_of(*t.seconds).least); }},
    {{.key = "max_s"}, [](const Timed& t) { return datum(spread_of(*t.seconds).most); }},
    {{.key = "tokens_per_s"},
     [](const Timed& t) { return datum(static_cast<double>(t.new_tokens) / median_of(*t.seconds)); }},
    {{.key = "timed_tokens"}, [](const Timed& t) { return datum(std::uint64_t{t.timed_tokens}); }},
    {{.key = "times_faster"}, [](const Timed& t) { return t.faster ? datum(t.faster->times) : Cell{}; }},
    {{.key = "times_faster_error"},
     [](const Timed& t) { return t.faster && t.faster->error ? datum(*t.faster->error) : Cell{}; }},
    {{.key = "bytes_per_token"}, [](const Timed& t) { return t.work ? datum(t.work->bytes_per_token) : Cell{}; }},
    {{.key = "flop_per_token"}, [](const Timed& t) { return t.work ? datum(t.work->flop_per_token) : Cell{}; }},
    {{.key = "share_of_read_rate"}, [](const Timed& t) { return share(t, &Generation::read_share); }},
    {{.key = "prompt_share_of_fma_rate"}, [](const Timed& t) { return share(t, &Generation::fma_share); }},
    {{.key = "logits_hash"}, [](const Timed& t) { return show::words(hash_text(t.hash)); }},
    {{.key = "peak_memory_bytes"},
     [](const Timed& t) { return t.result->peak_memory > 0 ? datum(t.result->peak_memory) : Cell{}; }},
};

show::Block for_programs(const Result& r) {
  std::vector<Timed> all;
  for (const Generation& g : r.generation) {
    all.push_back({&r, "with past", g.depth, g.prompt, g.new_tokens, &g.with_total, g.with_past.positions.size(),
                   g.faster(), &g, g.hash});
    all.push_back({&r,
                   "without past",
                   g.depth,
                   g.prompt,
                   g.new_tokens,
                   &g.without_total,
                   g.without_past.positions.size(),
                   {},
                   nullptr,
                   g.hash});
  }
  for (const Reuse& u : r.reuse) {
    for (int i = 0; i < Reuse::ways; ++i) {
      const auto way = static_cast<Reuse::Way>(i);
      if (u.seconds[way].empty()) continue;
      const auto faster = way == Reuse::recomputed ? std::optional<Ratio>{} : u.faster(way);
      all.push_back(
          {&r, fmt::format("prefix {}", name_of(way)), u.prefix, 1, 1, &u.seconds[way], 1, faster, nullptr, u.hash});
    }
  }
  return {show::table_of<Timed>(kTimedColumns, all), data_only};
}

std::string formats_of(const session::Description& d) {
  return d.past_format == d.format ? d.format : fmt::format("{}, past {}", d.format, d.past_format);
}

show::Answer answer(const Result& r) {
  const Generation* g = longest_generation(r);
  const std::string title =
      !r.holds()     ? "No speed-up: another answer"
      : g == nullptr ? "The same answer"
                     : fmt::format("{}{} times faster", g->sampled() ? "About " : "", times_text(g->faster()));
  return {.conclusion = {r.holds() ? show::Tone::good : show::Tone::bad, "", headline(r)},
          .headline = title,
          .first = true};
}

}  // namespace

// The figure could as well be half of it.
static bool too_noisy(const Ratio& faster) { return faster.error && *faster.error > faster.times / 2; }

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
  if (g != nullptr && too_noisy(g->faster())) text += "The runs scatter too much to say how many times: repeat them. ";
  return text + fmt::format("The same logits bit for bit in every variant: {} compared.",
                            show::counted(r.rows_compared, "row"));
}

show::Document document(const Result& r, const show::Environment& environment, std::string command) {
  const session::Description& d = r.subject;
  show::Document all{.name = d.name,
                     .title = d.name + ": what the past gains",
                     .about = {d.family, formats_of(d), d.system},
                     .extent = fmt::format("{} in turn after {}", show::counted(r.repetitions, "repetition"),
                                           show::counted(r.warmup, "untimed round")),
                     .answer = answer(r),
                     .notes = r.notes,
                     .environment = environment,
                     .command = std::move(command)};
  add_generations(all.body, r);
  add_reuse(all.body, r);
  add_machine(all.body, r);
  all.body.push_back(for_programs(r));
  return all;
}

}  // namespace pkv::measure
