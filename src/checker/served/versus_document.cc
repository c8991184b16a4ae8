// A comparison of two servers told: a Document, JSON and JUnit.
#include <fmt/format.h>

#include "base/json_writer.h"
#include "checker/measure/numbers.h"
#include "checker/served/document.h"
#include "checker/served/versus.h"
#include "show/columns.h"
#include "show/html/pieces.h"

namespace pkv::served {
namespace {

using show::Cell;

template <class Show>
Cell of_distance(const std::optional<Distance>& d, const Show& how) {
  return d ? how(*d) : Cell{};
}

Cell far(const std::optional<Distance>& d) {
  return of_distance(d, [](const Distance& x) { return show::number(x.max_abs); });
}

Cell said(const Pair& p, int i) { return p.reused[i] ? show::count(*p.reused[i]) : Cell{.shown = p.kept ? "?" : ""}; }

Cell took(const Pair& p, int i) {
  return {.shown = measure::time_text(p.seconds[i]), .data = show::data(p.seconds[i])};
}

constexpr show::Readers kAtLength = show::plain | show::browser;

const show::ColumnOf<Pair> kPairs[] = {
    {{"prompt", "prompt", show::Align::words}, [](const Pair& p) { return show::words(p.name); }},
    {{.key = "tokens", .readers = 0}, [](const Pair& p) { return show::count(p.tokens); }},
    {{.key = "kept", .readers = 0}, [](const Pair& p) { return p.kept ? show::count(*p.kept) : Cell{}; }},
    {{"max |Δ|", "max_abs"}, [](const Pair& p) { return far(p.apart); }},
    {{"KL", "kl"},
     [](const Pair& p) { return of_distance(p.apart, [](const Distance& d) { return show::number(d.kl, 2); }); }},
    {{"top token", "top", show::Align::tag},
     [](const Pair& p) {
       if (!p.apart) return show::words(p.same_text ? "same text" : "other text");
       return show::words(p.apart->top_same && p.same_text ? "same" : "other");
     }},
    {{.name = "worst token", .key = "worst", .align = show::Align::words, .readers = kAtLength},
     [](const Pair& p) { return of_distance(p.apart, [](const Distance& d) { return show::words(d.worst); }); }},
    {{.name = "seen", .key = "seen", .readers = kAtLength},
     [](const Pair& p) {
       return of_distance(p.apart, [](const Distance& d) {
         return Cell{.shown = fmt::format("{:.1f} %", 100 * d.seen), .data = show::data(d.seen)};
       });
     }},
    {{.name = "A reused", .key = "a_reused"}, [](const Pair& p) { return said(p, 0); }},
    {{.name = "B reused", .key = "b_reused"}, [](const Pair& p) { return said(p, 1); }},
    {{.name = "A moved", .key = "a_moved"}, [](const Pair& p) { return far(p.moved[0]); }},
    {{.name = "B moved", .key = "b_moved"}, [](const Pair& p) { return far(p.moved[1]); }},
    {{.name = "A time", .key = "a_seconds", .readers = 0}, [](const Pair& p) { return took(p, 0); }},
    {{.name = "B time", .key = "b_seconds", .readers = 0}, [](const Pair& p) { return took(p, 1); }},
};

std::string called(const About& a) {
  return fmt::format("{}{} at {}{}", a.api, a.version.empty() ? "" : " " + a.version, a.url,
                     a.model.empty() ? "" : ": " + a.model);
}

show::Tone tone_of(const Versus& v) {
  return v.verdict.holds()                     ? show::Tone::good
         : v.verdict.outcome == Outcome::empty ? show::Tone::unsure
                                               : show::Tone::bad;
}

show::Answer answer(const Versus& v) {
  const show::Tone tone = tone_of(v);
  const char* reply = tone == show::Tone::good ? "Yes" : tone == show::Tone::bad ? "No" : "Not shown";
  show::Answer answer{.conclusion = {tone, std::string(name_of(v.verdict.outcome)), v.verdict.sentence},
                      .headline = fmt::format("{}: {}", reply, name_of(v.verdict.outcome)),
                      .reasons = v.verdict.reasons};
  if (v.verdict.holds()) answer.gist = v.verdict.reasons;
  return answer;
}

constexpr const char* kAsked =
    "Two servers of one model should give the same answers, but for rounding. Both were asked the same prompts, "
    "computed anew and with a part of the prompt kept, and the log-probabilities of the next token were compared.";

constexpr const char* kMeant =
    "max |Δ|: the largest difference of a log-probability between A and B, in nats. KL: Kullback-Leibler divergence of "
    "what both showed. A moved, B moved: the largest difference of each from its own answer to the same prompt, "
    "computed anew.";

}  // namespace

show::Document document(const Versus& v) {
  show::Document d{.name = v.about[0].model.empty() ? v.about[0].url : v.about[0].model,
                   .title = fmt::format("Do two servers give the same answers? {}", v.about[0].url),
                   .about = {"A: " + called(v.about[0]), "B: " + called(v.about[1])},
                   .extent = v.tokens > 0 ? show::counted(v.tokens, "token") : std::string(),
                   .sample = v.text,
                   .answer = answer(v),
                   .question = kAsked};
  d.body.push_back({show::Heading{"The same prompts"}, show::browser});
  d.body.push_back({show::table_of<Pair>(kPairs, v.pairs)});
  d.body.push_back({show::Paragraph{kMeant}, kAtLength});
  for (const int i : {0, 1}) {
    for (const std::string& note : v.about[i].notes) d.notes.push_back(fmt::format("{}: {}", i == 0 ? "A" : "B", note));
  }
  d.environment = v.environment;
  d.command = v.command;
  return d;
}

std::string report_json(const Versus& v) {
  JsonWriter w;
  const auto distance_of = [&](const char* name, const std::optional<Distance>& d) {
    w.key(name);
    write_distance(w, d);
  };
  w.object([&] {
    w.member("schema", "pkv-servers/1");
    w.object("verdict", [&] { write_verdict(w, v.verdict); });
    w.array("servers", [&] {
      for (const int i : {0, 1}) {
        w.object([&] {
          w.member("model", v.about[i].model);
          w.member("requests", v.requests[i]);
          write_about(w, v.about[i]);
        });
      }
    });
    w.member("text", v.text);
    w.member("ids", v.ids);
    w.key("same_tokens");  // null: not seen
    if (v.tokens_checked) {
      w.value(v.tokens_apart.empty());
    } else {
      w.null();
    }
    w.member("tolerance", v.tolerance);
    w.member("printed_step", v.step);
    w.member("seen", v.seen);
    w.array("pairs", [&] {
      for (const Pair& p : v.pairs) {
        w.object([&] {
          w.member("prompt", p.name);
          w.member("tokens", p.tokens);
          w.member("kept", p.kept);
          w.member("same", p.same());
          w.member("same_text", p.same_text);
          w.member("parts_at", p.parts_at);
          distance_of("apart", p.apart);
          for (const int i : {0, 1}) {
            w.object(i == 0 ? "a" : "b", [&] {
              w.member("reused", p.reused[i]);
              w.member("wrote", p.wrote[i]);
              w.member("seconds", p.seconds[i]);
              distance_of("moved", p.moved[i]);
            });
          }
        });
      }
    });
    w.member("lengths_left_out", v.left_out);
    w.member("environment", v.environment);
    w.member("command", v.command);
  });
  return std::move(w).text() + "\n";
}

std::string report_junit(const Versus& v) {
  const bool fails = !v.verdict.holds();
  std::vector<JunitCase> cases{{"the two servers give the same answers", fails ? v.verdict.sentence : ""}};
  for (const Pair& p : v.pairs) {
    const bool far_apart = fails && (p.apart ? p.apart->kl > v.tolerance : !p.same_text);
    const std::string how = p.apart ? fmt::format("a divergence of {} nats", show::short_number(p.apart->kl)) : "";
    cases.push_back({p.name, far_apart ? "another answer; " + how : ""});
  }
  return junit(v.about[0].url, name_of(v.verdict.outcome), cases);
}

}  // namespace pkv::served
