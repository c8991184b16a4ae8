// JUnit's XML as Jenkins, GitLab and GitHub's actions read it: a suite per model, a test per experiment and proof. A
// test fails only where the verdict does, and where the verdict does, the first test fails.
#include <fmt/format.h>

#include "checker/causes/causes.h"
#include "checker/check/document.h"
#include "checker/compare/columns.h"
#include "show/html/pieces.h"

namespace pkv::check {
namespace {

using show::html::escaped;

struct Suite {
  std::string cases;
  int tests = 0, failures = 0, errors = 0, skipped = 0;
};

std::string element(const char* name, std::string_view message, std::string_view type, std::string_view inside) {
  return fmt::format("      <{0} message=\"{1}\" type=\"{2}\">{3}</{0}>\n", name, escaped(message), escaped(type),
                     escaped(inside));
}

void add(Suite& suite, std::string_view model, std::string_view name, const std::string& inside) {
  suite.tests++;
  const std::string head = fmt::format("    <testcase classname=\"pkv.{}\" name=\"{}\"", escaped(model), escaped(name));
  suite.cases += inside.empty() ? head + "/>\n" : head + ">\n" + inside + "    </testcase>\n";
}

void add_skipped(Suite& suite, const Report& r, std::string_view name, std::string_view why) {
  suite.skipped++;
  add(suite, r.subject.name, name, fmt::format("      <skipped message=\"{}\"/>\n", escaped(why)));
}

// Fails where it is broken and the verdict is, too.
void add_test(Suite& suite, const Report& r, std::string_view name, bool broken, const std::string& message,
              const std::string& inside) {
  const bool fails = broken && !r.verdict.holds();
  suite.failures += fails ? 1 : 0;
  add(suite, r.subject.name, name, fails ? element("failure", message, name_of(r.verdict.outcome), inside) : "");
}

std::string causes(const Report& r) {
  std::string all;
  for (const Explanation& e : r.causes) {
    all += fmt::format("cause: {}{}: {}\n  evidence: {}\n  look at:  {}\n", e.cause,
                       e.confirmed ? "" : " (not certain)", e.statement, e.evidence, e.look_at);
    if (!e.reference.empty()) all += "  seen in:  " + e.reference + "\n";
  }
  if (r.causes.empty() && r.causes_tried > 0) all += "cause: " + unknown_cause(r) + "\n";
  if (r.causes_tried > 0) all += "cost: " + cost_of_explaining(r) + "\n";
  return all;
}

std::string verdict(const Report& r) {
  std::string all = r.verdict.sentence + "\n";
  for (const auto& reason : r.verdict.reasons) all += reason + "\n";
  if (r.parting) all += "where: " + r.parting->sentence + "\n";
  all += causes(r);
  return r.command.empty() ? all : all + "repeat with: " + r.command + "\n";
}

void add_result(Suite& suite, const Report& r, const Result& result) {
  if (!result.left_out.empty()) return add_skipped(suite, r, result.name, result.left_out);
  const Difference& d = result.difference;
  const std::string message =
      fmt::format("max |Δ| {} ({} ULP) at position {}, {} of {} flip", distance_cell(d), show::short_count(d.ulps),
                  place_cell(d.worst), show::grouped(d.top_flips), show::counted(d.positions, "position"));
  const std::string cause = r.causes.empty() ? "" : "\ncause: " + r.causes.front().cause;
  add_test(suite, r, result.name, d.first || d.not_finite > 0, message,
           result.sentence + "\n" + r.verdict.sentence + cause + "\n");
}

void add_finding(Suite& suite, const Report& r, std::string_view name, Answer shown, const std::string& sentence) {
  if (shown == Answer::unknown) return add_skipped(suite, r, name, sentence);
  add_test(suite, r, name, shown == Answer::no, sentence, sentence + "\n" + r.verdict.sentence + "\n");
}

Suite suite_of(const Report& r) {
  Suite suite;
  add_test(suite, r, "the past can be reused", true, r.verdict.sentence, verdict(r));
  for (const Result& result : r.results) add_result(suite, r, result);
  const Evidence& e = r.evidence;
  add_finding(suite, r, "a past exists", e.exists.shown, e.exists.sentence);
  add_finding(suite, r, "the past has the right length", e.length.shown, e.length.sentence);
  add_finding(suite, r, "the past is used", e.used.shown, e.used.sentence);
  add_finding(suite, r, "the same run twice is the same", e.control.shown, e.control.sentence);
  add_finding(suite, r, "a past that was used before is taken again", e.again.shown, e.again.sentence);
  if (!r.causality.sentence.empty()) {
    add_finding(suite, r, "later tokens change no earlier logits", r.causality.holds, r.causality.sentence);
  }
  return suite;
}

std::string property(const char* name, std::string_view value) {
  if (value.empty()) return {};
  return fmt::format("      <property name=\"{}\" value=\"{}\"/>\n", name, escaped(value));
}

std::string properties(const Report& r) {
  return "    <properties>\n" + property("family", r.subject.family) + property("format", formats_cell(r.subject)) +
         property("system", r.subject.system) + property("program", r.environment.program) +
         property("processor", r.environment.processor) + property("os", r.environment.system) +
         property("compiler", r.environment.compiler) + property("command", r.command) + "    </properties>\n";
}

std::string element_of(const Suite& suite, std::string_view name, std::string_view timestamp,
                       const std::string& properties) {
  // The schema wants a time without its zone.
  const std::string time = timestamp.empty() ? "" : fmt::format(" timestamp=\"{}\"", escaped(timestamp.substr(0, 19)));
  return fmt::format(
      "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"{}>\n{}{}  </testsuite>\n",
      escaped(name), suite.tests, suite.failures, suite.errors, suite.skipped, time, properties, suite.cases);
}

Suite suite_of(const NotChecked& other) {
  Suite suite{.errors = 1};
  add(suite, other.model, "the past can be reused",
      element("error", other.message.substr(0, other.message.find('\n')), "not checked", other.message));
  return suite;
}

}  // namespace

std::string report_junit(const Report& report) { return review_junit({&report, 1}, {}); }

std::string review_junit(std::span<const Report> reports, std::span<const NotChecked> others) {
  std::string suites;
  Suite total;
  const auto count = [&](const Suite& suite) {
    total.tests += suite.tests, total.failures += suite.failures, total.errors += suite.errors;
    total.skipped += suite.skipped;
  };
  for (const Report& r : reports) {
    const Suite suite = suite_of(r);
    count(suite);
    suites += element_of(suite, r.subject.name, r.environment.time, properties(r));
  }
  for (const NotChecked& other : others) {
    const Suite suite = suite_of(other);
    count(suite);
    suites += element_of(suite, other.model, "", "");
  }
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuites name=\"pkv\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n{}</testsuites>\n",
      total.tests, total.failures, total.errors, total.skipped, suites);
}

}  // namespace pkv::check
