#include "checker/served/document.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "checker/measure/numbers.h"
#include "show/columns.h"

namespace pkv::served {
namespace {

using show::Cell;
using show::Tone;

Tone tone_of(Outcome outcome) {
  if (outcome == Outcome::identical || outcome == Outcome::within_digits) return Tone::good;
  return outcome == Outcome::empty ? Tone::unsure : Tone::bad;
}

Cell optional_count(const std::optional<std::int64_t>& n) { return n ? show::count(*n) : Cell{.shown = "?"}; }

Cell time_cell(double seconds) { return {.shown = measure::time_text(seconds), .data = show::data(seconds)}; }

std::string top_of(const Experiment& e) {
  if (!e.distance) return e.same_text ? "same text" : "other text";
  return e.distance->top_same && e.same_text ? "same" : "other";
}

// A value of the distance where there is one.
template <class Show>
Cell seen(const Experiment& e, const Show& how) {
  return e.distance ? how(*e.distance) : Cell{};
}

const show::ColumnOf<Experiment> kColumns[] = {
    {{"past", "experiment", show::Align::words}, [](const Experiment& e) { return show::words(e.name); }},
    {{.key = "kind", .readers = 0}, [](const Experiment& e) { return show::words(std::string(name_of(e.kind))); }},
    {{.key = "wanted", .readers = 0}, [](const Experiment& e) { return e.wanted ? show::count(*e.wanted) : Cell{}; }},
    {{"reused", "reused"},
     [](const Experiment& e) { return e.kind == Kind::control ? Cell{} : optional_count(e.reused); }},
    {{"max |Δ|", "max_abs"},
     [](const Experiment& e) { return seen(e, [](const Distance& d) { return show::number(d.max_abs); }); }},
    {{"KL", "kl"},
     [](const Experiment& e) { return seen(e, [](const Distance& d) { return show::number(d.kl, 2); }); }},
    {{"top token", "top", show::Align::tag}, [](const Experiment& e) { return show::words(top_of(e)); }},
    {{.name = "worst token", .key = "worst", .align = show::Align::words, .readers = show::plain | show::browser},
     [](const Experiment& e) { return seen(e, [](const Distance& d) { return show::words(d.worst); }); }},
    {{.name = "seen", .key = "seen", .readers = show::plain | show::browser},
     [](const Experiment& e) {
       return seen(e, [](const Distance& d) {
         return Cell{.shown = fmt::format("{:.1f} %", 100 * d.seen), .data = show::data(d.seen)};
       });
     }},
    {{"time", "seconds"}, [](const Experiment& e) { return time_cell(e.seconds); }},
    {{.name = "anew", .key = "cold_seconds", .readers = show::plain | show::browser},
     [](const Experiment& e) { return time_cell(e.cold_seconds); }},
};

show::Table experiments(const Report& r) {
  show::Table table = show::table_of<Experiment>(kColumns, r.experiments);
  for (std::size_t i = 0; i < r.experiments.size(); ++i) table.rows[i].left_out = r.experiments[i].left_out;
  return table;
}

const Experiment* all_kept(const Report& r) {
  const Experiment* best = nullptr;
  for (const Experiment& e : r.experiments) {
    if (e.kind == Kind::prefix || (e.kind == Kind::again && best == nullptr)) best = &e;
  }
  return best;
}

// What the cache gains: the time of an answer with the whole past against one computed anew.
std::string gain(const Report& r) {
  const Experiment* best = all_kept(r);
  if (best == nullptr || !(best->seconds > 0) || !(r.cold_seconds > 0)) return {};
  const std::string kept =
      best->reused ? fmt::format("with {} reused", show::counted(*best->reused, "token")) : std::string("asked again");
  const double times = r.cold_seconds / best->seconds;
  return fmt::format("an answer took {} computed anew, {} {}: {}", measure::time_text(r.cold_seconds),
                     measure::time_text(best->seconds), kept,
                     times > 1 ? show::short_number(times, 2) + " times faster" : std::string("no faster"));
}

std::vector<std::string> about(const Report& r) {
  std::vector<std::string> all{r.about.api + (r.about.version.empty() ? "" : " " + r.about.version)};
  all.push_back(r.about.url);
  if (r.about.slots > 0) all.push_back(show::counted(r.about.slots, "slot"));
  return all;
}

show::Answer answer(const Report& r) {
  const Verdict& v = r.verdict;
  const Tone tone = tone_of(v.outcome);
  const char* reply = tone == Tone::good ? "Yes" : tone == Tone::bad ? "No" : "Not shown";
  show::Answer answer{.conclusion = {tone, std::string(name_of(v.outcome)), v.sentence},
                      .headline = fmt::format("{}: {}", reply, name_of(v.outcome)),
                      .reasons = v.reasons};
  for (const Finding& f : r.causes) {
    answer.entries.push_back(
        {.label = "cause", .name = f.name, .statement = f.statement, .facts = {{"look at", f.look_at}}});
  }
  if (v.holds()) {
    answer.gist.push_back(fmt::format("{} of {}", show::counted(r.requests, "request"),
                                      r.tokens > 0 ? show::counted(r.tokens, "token") : std::string("the text")));
    if (const std::string line = gain(r); !line.empty()) answer.gist.push_back(line);
    answer.gist.insert(answer.gist.end(), v.reasons.begin(), v.reasons.end());
  }
  return answer;
}

show::Facts capabilities(const Report& r) {
  const Abilities& can = r.about.can;
  show::Facts facts{.heading = "What the server can be asked"};
  facts.items = {
      {"prompts", can.ids ? "token ids, so that every prefix can be kept" : "text only"},
      {"answers",
       can.logprobs ? fmt::format("log-probabilities{}",
                                  r.step > 0 ? fmt::format(", printed in steps of {}", show::short_number(r.step)) : "")
                    : std::string("text only")},
      {"computed anew", can.cold ? r.about.cold : "it cannot be made to"},
      {"says what it reused", can.reports_reuse ? "yes" : "no"}};
  if (r.about.vocab) facts.items.emplace_back("vocabulary", show::grouped(*r.about.vocab));
  if (r.about.context) facts.items.emplace_back("context", show::counted(*r.about.context, "token"));
  return facts;
}

constexpr const char* kQuestion =
    "A server keeps what it computed for a prompt and reuses it for the next one that begins alike. That is right "
    "where "
    "the answer is the one that it would have given had it computed everything anew. Here the same prompt was asked "
    "with and without something to reuse, and the log-probabilities of the next token were compared.";

std::string columns_mean(const Report& r) {
  return fmt::format(
      "reused: tokens of the prompt that the server says it took from its cache. max |Δ|: the largest difference of a "
      "log-probability from the answer computed anew, in nats. KL: Kullback-Leibler divergence of what was seen. time: "
      "from the request to the reply, of {}.",
      show::counted(r.answer_tokens, "token"));
}

}  // namespace

show::Document document(const Report& r) {
  show::Document d{.name = r.about.model.empty() ? r.about.url : r.about.model,
                   .title = fmt::format("Does a cache hit change an answer? {}", r.about.url),
                   .about = about(r),
                   .extent = r.tokens > 0 ? show::counted(r.tokens, "token") : std::string(),
                   .sample = r.text,
                   .answer = answer(r),
                   .question = kQuestion};
  d.body.push_back({show::Heading{"The same prompt, with other pasts"}, show::browser});
  d.body.push_back({experiments(r)});
  d.body.push_back({show::Paragraph{columns_mean(r)}, show::browser | show::plain});
  if (const std::string line = gain(r); !line.empty()) d.body.push_back({show::Paragraph{show::capital(line) + "."}});
  d.body.push_back({capabilities(r), show::browser | show::plain});
  d.notes = r.about.notes;
  d.environment = r.environment;
  d.command = r.command;
  return d;
}

}  // namespace pkv::served
