// JSON of the time to a server's first token, as docs/schema/pkv-server-bench-1.json describes it.
#include "base/json_writer.h"
#include "checker/served/report.h"
#include "checker/served/timing.h"

namespace pkv::served {
namespace {

void write_kept(JsonWriter& w, const Prompt& p, const Kept& k) {
  w.object([&] {
    w.member("past", k.name);
    w.member("kept_tokens", k.wanted);
    w.member("reused_tokens", k.reused());
    const measure::Spread spread = k.spread();
    w.member("median_seconds", spread.median);
    w.member("deviation_seconds", spread.deviation);
    const measure::Ratio faster = p.faster(k);
    w.member("times_faster", faster.times);
    w.member("times_faster_error", faster.error);
    w.array("samples", [&] {
      for (const FirstToken& sample : k.samples) {
        w.object([&] {
          w.member("seconds", sample.seconds);
          w.member("reused_tokens", sample.reused);
        });
      }
    });
  });
}

}  // namespace

std::string report_json(const Timing& t) {
  JsonWriter w;
  w.object([&] {
    w.member("schema", "pkv-server-bench/1");
    w.member("model", t.about.model);
    w.member("holds", t.holds());
    w.member("finding", headline(t));
    write_about(w, t.about);
    w.member("first_token_timed", t.streamed);
    w.member("repetitions", t.repetitions);
    w.member("requests", t.requests);
    w.array("prompts", [&] {
      for (const Prompt& p : t.prompts) {
        w.object([&] {
          w.member("prompt", p.name);
          w.member("tokens", p.tokens);
          w.key("computed_anew");
          write_kept(w, p, p.anew);
          w.array("kept", [&] {
            for (const Kept& k : p.kept) write_kept(w, p, k);
          });
        });
      }
    });
    w.member("answers_compared", t.compared);
    w.member("other_answers", t.other_answers);
    w.member("notes", t.notes);
    w.member("environment", t.environment);
    w.member("command", t.command);
  });
  return std::move(w).text() + "\n";
}

}  // namespace pkv::served
