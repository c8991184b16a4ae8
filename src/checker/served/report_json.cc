// JSON of a server's check, as docs/schema/pkv-server-1.json describes it, and JUnit's XML: a test an experiment.
#include <fmt/format.h>

#include "base/json_writer.h"
#include "checker/served/document.h"
#include "show/columns.h"
#include "show/html/pieces.h"

namespace pkv::served {

void write_about(JsonWriter& w, const About& a) {
  w.object("server", [&] {
    w.member("url", a.url);
    w.member("api", a.api);
    w.member("version", a.version);
    w.member("computed_anew_by", a.cold);
    w.member("context", a.context);
    w.member("vocab", a.vocab);
    w.member("slots", a.slots);
    w.object("can", [&] {
      w.member("take_ids", a.can.ids);
      w.member("give_logprobs", a.can.logprobs);
      w.member("compute_anew", a.can.cold);
      w.member("report_reuse", a.can.reports_reuse);
      w.member("save", a.can.saves);
      w.member("give_prompt_logprobs", a.can.prompt_logprobs);
      w.member("stream", a.can.streams);
    });
    w.member("notes", a.notes);
  });
}

void write_verdict(JsonWriter& w, const Verdict& v) {
  w.member("outcome", name_of(v.outcome));
  w.member("holds", v.holds());
  w.member("sentence", v.sentence);
  w.member("reasons", v.reasons);
}

void write_distance(JsonWriter& w, const std::optional<Distance>& distance) {
  if (!distance) return w.null();
  const Distance& d = *distance;
  w.object([&] {
    w.member("same", d.same);
    w.member("max_abs", d.max_abs);
    w.member("kl", d.kl);
    w.member("top_same", d.top_same);
    w.member("seen", d.seen);
    w.member("candidates_in_both", d.common);
    w.member("candidates_in_one", d.only_one);
    w.member("worst_token", d.worst);
  });
}

namespace {

void write_experiment(JsonWriter& w, const Experiment& e) {
  w.object([&] {
    w.member("name", e.name);
    w.member("kind", name_of(e.kind));
    w.member("wanted", e.wanted);
    w.member("possible", e.possible);
    w.member("reused", e.reused);
    w.member("same", e.same());
    w.member("same_text", e.same_text);
    w.key("distance");
    write_distance(w, e.distance);
    w.member("seconds", e.seconds);
    w.member("cold_seconds", e.cold_seconds);
    w.member("left_out", e.left_out);
  });
}

}  // namespace

std::string report_json(const Report& r) {
  JsonWriter w;
  w.object([&] {
    w.member("schema", "pkv-server/1");
    w.member("model", r.about.model);
    w.object("verdict", [&] { write_verdict(w, r.verdict); });
    w.array("causes", [&] {
      for (const Finding& f : r.causes) {
        w.object([&] {
          w.member("cause", f.name);
          w.member("statement", f.statement);
          w.member("look_at", f.look_at);
        });
      }
    });
    write_about(w, r.about);
    w.member("text", r.text);
    w.member("ids", r.ids);
    w.member("requests", r.requests);
    w.member("answer_tokens", r.answer_tokens);
    w.member("printed_step", r.step);
    w.member("seen", r.seen);
    w.member("cold_seconds", r.cold_seconds);
    w.array("experiments", [&] {
      for (const Experiment& e : r.experiments) write_experiment(w, e);
    });
    w.member("prefixes_left_out", r.plan.left_out);
    w.member("environment", r.environment);
    w.member("command", r.command);
  });
  return std::move(w).text() + "\n";
}

std::string junit(std::string_view suite, std::string_view type, const std::vector<JunitCase>& cases) {
  using show::html::escaped;
  std::string lines;
  int failures = 0;
  for (const JunitCase& c : cases) {
    const std::string head = fmt::format("    <testcase classname=\"pkv.server\" name=\"{}\"", escaped(c.name));
    if (c.failure.empty()) {
      lines += head + "/>\n";
      continue;
    }
    failures++;
    lines += head + fmt::format(">\n      <failure message=\"{}\" type=\"{}\"/>\n    </testcase>\n", escaped(c.failure),
                                escaped(type));
  }
  const std::string counts =
      fmt::format("tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\"", cases.size(), failures);
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"pkv\" {0}>\n  <testsuite name=\"{1}\" {0}>\n{2}"
      "  </testsuite>\n</testsuites>\n",
      counts, escaped(suite), lines);
}

std::string report_junit(const Report& r) {
  const bool fails = !r.verdict.holds();
  std::vector<JunitCase> cases{{"a cache hit changes no answer", fails ? r.verdict.sentence : ""}};
  for (const Experiment& e : r.experiments) {
    if (!e.left_out.empty()) continue;
    const std::string apart = e.distance ? fmt::format("max |Δ| {}", show::short_number(e.distance->max_abs)) : "";
    const bool broken = fails && !e.same();
    cases.push_back({e.name, broken ? "another answer than the one computed anew; " + apart : ""});
  }
  return junit(r.about.url, name_of(r.verdict.outcome), cases);
}

}  // namespace pkv::served
