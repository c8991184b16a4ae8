#include "checker/perplexity/document.h"

#include <fmt/format.h>

#include <cmath>

#include "base/json_writer.h"
#include "checker/compare/columns.h"
#include "show/columns.h"

namespace pkv::perplexity {
namespace {

using session::Description;
using show::Cell;

constexpr show::Readers data_only = 0;
constexpr double kTail = 0.99;

// "3.45123 ± 0.041"; without the error where one value has none.
std::string with_error(double value, double error, int digits = 6) {
  const std::string text = fmt::format("{:.{}g}", value, digits);
  return std::isnan(error) ? text : fmt::format("{} ± {:.2g}", text, error);
}

double share_same_top(const AgainstReference& a) {
  return static_cast<double>(a.same_top) / static_cast<double>(a.kl.count());
}

std::string windows_line(const Result& p) {
  const std::string size = p.bytes == 0 ? "" : " of " + show::counted(static_cast<std::int64_t>(p.bytes), "byte");
  const std::string stride =
      p.windows.stride == p.windows.context ? "" : fmt::format(", every {}", show::grouped(p.windows.stride));
  return fmt::format("{}{}, {} predicted in {} of up to {}{}", show::counted(p.tokens, "token"), size,
                     show::grouped(p.predicted()), show::counted(p.window_count, "window"),
                     show::grouped(p.windows.context), stride);
}

show::Facts figures(const Result& p) {
  show::Facts facts;
  facts.items = {{"perplexity", with_error(perplexity_of(p.nll), perplexity_error(p.nll))},
                 {"nats per token", with_error(p.nll.mean(), p.nll.standard_error())}};
  if (p.bytes > 0) facts.items.emplace_back("bits per byte", fmt::format("{:.6g}", p.bits_per_byte()));
  return facts;
}

show::Facts figures(const AgainstReference& a) {
  const auto of = fmt::format("{} of {}", show::grouped(a.same_top), show::grouped(a.kl.count()));
  return {fmt::format("against {}", check::formats_cell(a.reference)),
          {{"its perplexity", with_error(perplexity_of(a.nll), perplexity_error(a.nll))},
           {"nats per token above that", with_error(a.difference.mean(), a.difference.standard_error(), 3)},
           {"KL divergence from it, mean", with_error(a.kl.mean(), a.kl.standard_error(), 3)},
           {"99th percentile", show::short_number(a.kl_bins.quantile(kTail))},
           {"maximum", show::short_number(a.kl_bins.largest())},
           {"same most likely token", fmt::format("{:.4g} %, {}", 100 * share_same_top(a), of)}}};
}

// Empty where it is not known.
Cell datum(double value) { return std::isnan(value) ? Cell{} : Cell{.data = show::data(value)}; }

// Empty without a reference.
Cell against(const Result& p, double (*of)(const AgainstReference&)) {
  return p.against ? datum(of(*p.against)) : Cell{};
}

const show::ColumnOf<Result> kColumns[] = {
    {{.key = "model"}, [](const Result& p) { return show::words(p.subject.name); }},
    {{.key = "format"}, [](const Result& p) { return show::words(check::formats_cell(p.subject)); }},
    {{.key = "system"}, [](const Result& p) { return show::words(p.subject.system); }},
    {{.key = "context"}, [](const Result& p) { return show::count(p.windows.context); }},
    {{.key = "stride"}, [](const Result& p) { return show::count(p.windows.stride); }},
    {{.key = "tokens"}, [](const Result& p) { return show::count(p.tokens); }},
    {{.key = "predicted"}, [](const Result& p) { return show::count(p.predicted()); }},
    {{.key = "perplexity"}, [](const Result& p) { return datum(perplexity_of(p.nll)); }},
    {{.key = "perplexity_error"}, [](const Result& p) { return datum(perplexity_error(p.nll)); }},
    {{.key = "nll"}, [](const Result& p) { return datum(p.nll.mean()); }},
    {{.key = "nll_error"}, [](const Result& p) { return datum(p.nll.standard_error()); }},
    {{.key = "bits_per_byte"}, [](const Result& p) { return p.bytes == 0 ? Cell{} : datum(p.bits_per_byte()); }},
    {{.key = "against"},
     [](const Result& p) { return p.against ? show::words(check::formats_cell(p.against->reference)) : Cell{}; }},
    {{.key = "reference_perplexity"},
     [](const Result& p) { return against(p, [](auto& a) { return perplexity_of(a.nll); }); }},
    {{.key = "reference_perplexity_error"},
     [](const Result& p) { return against(p, [](auto& a) { return perplexity_error(a.nll); }); }},
    {{.key = "nll_above"}, [](const Result& p) { return against(p, [](auto& a) { return a.difference.mean(); }); }},
    {{.key = "nll_above_error"},
     [](const Result& p) { return against(p, [](auto& a) { return a.difference.standard_error(); }); }},
    {{.key = "kl"}, [](const Result& p) { return against(p, [](auto& a) { return a.kl.mean(); }); }},
    {{.key = "kl_error"}, [](const Result& p) { return against(p, [](auto& a) { return a.kl.standard_error(); }); }},
    {{.key = "kl_p99"}, [](const Result& p) { return against(p, [](auto& a) { return a.kl_bins.quantile(kTail); }); }},
    {{.key = "kl_max"}, [](const Result& p) { return against(p, [](auto& a) { return a.kl_bins.largest(); }); }},
    {{.key = "share_same_top"}, [](const Result& p) { return against(p, share_same_top); }},
    {{.key = "same_top"}, [](const Result& p) { return p.against ? show::count(p.against->same_top) : Cell{}; }},
};

void write_mean(JsonWriter& w, std::string_view name, const RunningMean& m) {
  w.object(name, [&] {
    w.member("mean", m.mean());
    w.member("standard_error", m.standard_error());
  });
}

void write_perplexity(JsonWriter& w, std::string_view name, const RunningMean& nll) {
  w.object(name, [&] {
    w.member("value", perplexity_of(nll));
    w.member("standard_error", perplexity_error(nll));
  });
}

void write_subject(JsonWriter& w, std::string_view name, const Description& d) {
  w.object(name, [&] {
    w.member("name", d.name);
    w.member("family", d.family);
    w.member("system", d.system);
    w.member("format", d.format);
    w.key("past_format");
    d.past_format.empty() ? w.null() : w.value(d.past_format);
  });
}

void write_json(JsonWriter& w, const AgainstReference& a) {
  w.object([&] {
    write_subject(w, "reference", a.reference);
    write_perplexity(w, "reference_perplexity", a.nll);
    write_mean(w, "reference_nats_per_token", a.nll);
    write_mean(w, "nats_per_token_above", a.difference);
    w.object("kl_divergence", [&] {
      w.member("mean", a.kl.mean());
      w.member("standard_error", a.kl.standard_error());
      w.member("p99", a.kl_bins.quantile(kTail));
      w.member("max", a.kl_bins.largest());
    });
    w.member("same_top", a.same_top);
    w.member("share_same_top", share_same_top(a));
  });
}

}  // namespace

show::Document document(const Result& p) {
  const Description& d = p.subject;
  show::Document all{.name = d.name,
                     .about = {d.family, check::formats_cell(d), d.system},
                     .extent = windows_line(p),
                     .body = {{figures(p)}}};
  if (p.against) all.body.push_back({figures(*p.against)});
  all.body.push_back({show::table_of<Result>(kColumns, {&p, 1}), data_only});
  return all;
}

std::string report_json(const Result& p) {
  JsonWriter w;
  w.object([&] {
    w.member("schema", "pkv-perplexity/1");
    w.member("model", p.subject.name);
    write_subject(w, "subject", p.subject);
    w.member("context", p.windows.context);
    w.member("stride", p.windows.stride);
    w.member("chunk", p.windows.chunk);
    w.member("windows", p.window_count);
    w.member("bytes", p.bytes);
    w.member("tokens", p.tokens);
    w.member("predicted", p.predicted());
    write_perplexity(w, "perplexity", p.nll);
    write_mean(w, "nats_per_token", p.nll);
    w.key("bits_per_byte");
    p.bytes == 0 ? w.null() : w.value(p.bits_per_byte());
    w.key("against");
    p.against ? write_json(w, *p.against) : w.null();
  });
  return std::move(w).text() + "\n";
}

}  // namespace pkv::perplexity
