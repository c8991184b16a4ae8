#include <fmt/format.h>

#include <algorithm>

#include "checker/measure/numbers.h"
#include "checker/served/timing.h"
#include "show/columns.h"
#include "show/vega.h"

namespace pkv::served {
namespace {

using measure::spread_text;
using measure::time_text;
using show::Cell;

// A row of the table: a prompt, computed anew or with a part of it kept.
struct Line {
  const Timing* timing;
  const Prompt* prompt;
  const Kept* kept;

  bool anew() const { return kept == &prompt->anew; }
};

std::vector<Line> lines_of(const Timing& t, const Prompt& p) {
  std::vector<Line> lines{{&t, &p, &p.anew}};
  for (const Kept& kept : p.kept) lines.push_back({&t, &p, &kept});
  return lines;
}

Cell datum(double value) { return {.data = show::data(value)}; }

constexpr show::Readers data_only = 0;

const show::ColumnOf<Line> kLines[] = {
    {{"past", "", show::Align::words}, [](const Line& l) { return show::words(l.kept->name); }},
    {{"reused"},
     [](const Line& l) {
       const auto reused = l.kept->reused();
       return l.anew() && !reused ? Cell{} : reused ? show::count(*reused) : Cell{.shown = "?"};
     }},
    {{"first token"}, [](const Line& l) { return show::words(spread_text(l.kept->spread())); }},
    {{"fastest"}, [](const Line& l) { return show::words(time_text(l.kept->spread().least)); }},
    {{"times faster"},
     [](const Line& l) { return l.anew() ? Cell{} : show::words(times_text(l.prompt->faster(*l.kept))); }},
};

const show::ColumnOf<Line> kData[] = {
    {{.key = "prompt_tokens"}, [](const Line& l) { return datum(static_cast<double>(l.prompt->tokens)); }},
    {{.key = "past"}, [](const Line& l) { return show::words(l.kept->name); }},
    {{.key = "kept_tokens"}, [](const Line& l) { return l.kept->wanted ? show::count(*l.kept->wanted) : Cell{}; }},
    {{.key = "reused_tokens"},
     [](const Line& l) { return l.kept->reused() ? show::count(*l.kept->reused()) : Cell{}; }},
    {{.key = "repetitions"}, [](const Line& l) { return datum(static_cast<double>(l.kept->spread().count)); }},
    {{.key = "median_s"}, [](const Line& l) { return datum(l.kept->spread().median); }},
    {{.key = "deviation_s"}, [](const Line& l) { return datum(l.kept->spread().deviation); }},
    {{.key = "min_s"}, [](const Line& l) { return datum(l.kept->spread().least); }},
    {{.key = "max_s"}, [](const Line& l) { return datum(l.kept->spread().most); }},
    {{.key = "times_faster"}, [](const Line& l) { return l.anew() ? Cell{} : datum(l.prompt->faster(*l.kept).times); }},
};

// Dots for what was measured, a line through the medians of each prompt.
constexpr const char* kChart = R"json({
"height": 260,
"data": [{"name": "medians", "values": $medians}, {"name": "dots", "values": $dots}],
"scales": [
  {"name": "x", "type": "linear", "zero": true, "nice": true, "range": "width",
    "domain": {"fields": [{"data": "medians", "field": "x"}, {"data": "dots", "field": "x"}]}},
  {"name": "y", "type": "$scale", "nice": true, "zero": $zero, "range": "height",
    "domain": {"fields": [{"data": "medians", "field": "y"}, {"data": "dots", "field": "y"}]}},
  {"name": "colour", "type": "ordinal", "domain": $prompts,
    "range": ["var(--first)", "var(--second)", "var(--third)", "var(--muted)"]}],
"axes": [
  {"orient": "left", "scale": "y", "grid": true, "domain": false, "ticks": false, "tickCount": 5 $labels},
  {"orient": "bottom", "scale": "x", "title": "$x_title", "tickCount": 8}],
$legend
"marks": [
  {"type": "group", "from": {"facet": {"name": "prompt", "data": "medians", "groupby": "prompt"}}, "marks": [
    {"type": "line", "from": {"data": "prompt"}, "interactive": false, "encode": {
      "enter": {"stroke": {"scale": "colour", "field": "prompt"}, "strokeWidth": {"value": 2}},
      "update": {"x": {"scale": "x", "field": "x"}, "y": {"scale": "y", "field": "y"}}}}]},
  {"type": "symbol", "from": {"data": "dots"}, "encode": {
    "enter": {"fill": {"scale": "colour", "field": "prompt"}, "size": {"value": 30}, "fillOpacity": {"value": 0.7},
      "tooltip": {"field": "told"}},
    "update": {"x": {"scale": "x", "field": "x"}, "y": {"scale": "y", "field": "y"}}}}]})json";

// Where a sample stands: what the server said, or what was left there, or the share of the text.
double place_of(const Prompt& prompt, const Kept& kept, const std::optional<std::int64_t>& reused) {
  if (reused) return static_cast<double>(*reused);
  if (kept.wanted) return static_cast<double>(*kept.wanted);
  const auto at = static_cast<double>(&kept - prompt.kept.data() + 1);
  return 100 * at / static_cast<double>(prompt.kept.size());
}

std::string point(double x, double y, const Prompt& prompt, const std::string& told) {
  return fmt::format(R"({{"x":{},"y":{},"prompt":"{}","told":"{}"}})", x, y, prompt.name, told);
}

struct Points {
  show::JsonList medians, dots, prompts;
};

std::string x_title(const Timing& t) {
  bool said = false, ids = false;
  for (const Prompt& p : t.prompts) {
    for (const Kept& k : p.kept) said |= k.reused().has_value(), ids |= k.wanted.has_value();
  }
  return said ? "tokens reused" : ids ? "tokens kept for it" : "percent of the text kept for it";
}

// Medians rising in x, which a line needs.
void add_line(Points& points, const Prompt& p, std::vector<std::pair<double, std::string>> medians) {
  std::ranges::stable_sort(medians, {}, &std::pair<double, std::string>::first);
  for (const auto& [x, median] : medians) points.medians.add(median);
  points.prompts.add(fmt::format("\"{}\"", p.name));
}

std::string legend(const Timing& t) {
  if (t.prompts.size() < 2) return "";
  return R"("legends": [{"fill": "colour", "orient": "top", "symbolType": "square", "title": "prompt"}],)";
}

show::Chart time_chart(const Timing& t) {
  Points points;
  for (const Prompt& p : t.prompts) {
    std::vector<std::pair<double, std::string>> medians;
    for (const Line& line : lines_of(t, p)) {
      const Kept& k = *line.kept;
      const double x = line.anew() ? 0 : place_of(p, k, k.reused());
      const double median = k.spread().median;
      medians.emplace_back(x, point(x, median, p, ""));
      for (const FirstToken& sample : k.samples) {
        const double at = line.anew() ? 0 : place_of(p, k, sample.reused);
        points.dots.add(
            point(at, sample.seconds, p, fmt::format("{}, {}: {}", p.name, k.name, time_text(sample.seconds))));
      }
    }
    add_line(points, p, std::move(medians));
  }
  return {"Time to the first token",
          "Dots are what was measured, the line goes through the medians. Where it falls, the server saves what it "
          "need not compute.",
          show::filled_in(kChart, {{"$medians", points.medians.json()},
                                   {"$dots", points.dots.json()},
                                   {"$prompts", points.prompts.json()},
                                   {"$scale", "log"},
                                   {"$zero", "false"},
                                   {"$labels", ", " + show::time_labels()},
                                   {"$x_title", x_title(t)},
                                   {"$legend", legend(t)}})};
}

show::Chart gain_chart(const Timing& t) {
  Points points;
  for (const Prompt& p : t.prompts) {
    std::vector<std::pair<double, std::string>> medians;
    for (const Kept& k : p.kept) {
      const measure::Ratio faster = p.faster(k);
      const double x = place_of(p, k, k.reused());
      const std::string told = fmt::format("{}, {}: {} times faster", p.name, k.name, times_text(faster));
      medians.emplace_back(x, point(x, faster.times, p, told));
      points.dots.add(medians.back().second);
    }
    add_line(points, p, std::move(medians));
  }
  return {"Times faster than computed anew", "Ratios of the medians: 1 is no gain.",
          show::filled_in(kChart, {{"$medians", points.medians.json()},
                                   {"$dots", points.dots.json()},
                                   {"$prompts", points.prompts.json()},
                                   {"$scale", "linear"},
                                   {"$zero", "true"},
                                   {"$labels", ""},
                                   {"$x_title", x_title(t)},
                                   {"$legend", legend(t)}})};
}

const Prompt& longest(const Timing& t) { return *std::ranges::max_element(t.prompts, {}, &Prompt::tokens); }

std::vector<std::string> about(const Timing& t) {
  std::vector<std::string> all{t.about.api + (t.about.version.empty() ? "" : " " + t.about.version)};
  all.push_back(t.about.url);
  if (t.about.slots > 0) all.push_back(show::counted(t.about.slots, "slot"));
  return all;
}

show::Answer answer(const Timing& t) {
  const Prompt& p = longest(t);
  const show::Tone tone = t.other_answers > 0 ? show::Tone::bad : t.reused() ? show::Tone::good : show::Tone::unsure;
  const std::string title = t.other_answers > 0 ? "Another answer"
                            : t.reused()
                                ? fmt::format("{} times faster to the first token", times_text(p.faster(p.kept.back())))
                                : "Nothing was reused";
  return {.conclusion = {tone, "", headline(t)}, .headline = title, .first = true};
}

constexpr const char* kTold =
    "Medians of each prompt computed anew, and with a part of it kept, in turn. reused: tokens of the prompt that the "
    "server says it took from its cache. first token: from the request to the first token of the reply.";

}  // namespace

std::string headline(const Timing& t) {
  const Prompt& p = longest(t);
  const Kept& all = p.kept.back();
  if (t.other_answers > 0) {
    return fmt::format(
        "{} of {} with a part of the prompt kept are other texts than the one computed anew: "
        "pkv check --server says more",
        t.other_answers, show::counted(t.compared, "answer"));
  }
  if (!t.reused()) {
    return fmt::format("nothing was reused, whatever was kept: the first token of {} takes {} each time", p.name,
                       time_text(p.anew.spread().median));
  }
  const auto reused = all.reused();
  std::string text =
      fmt::format("{} times faster to the first token with {}: {} against {} computed anew", times_text(p.faster(all)),
                  reused ? show::counted(*reused, "token") + " reused" : "the whole prompt kept",
                  time_text(all.spread().median), time_text(p.anew.spread().median));
  if (t.compared > 0) text += fmt::format(". The same text in {}", show::counted(t.compared, "answer"));
  return text + ".";
}

show::Document document(const Timing& t) {
  show::Document d{.name = t.about.model.empty() ? t.about.url : t.about.model,
                   .title = fmt::format("What a server's cache gains: {}", t.about.url),
                   .about = about(t),
                   .extent = fmt::format("{} in turn", show::counted(t.repetitions, "repetition")),
                   .answer = answer(t),
                   .notes = t.notes,
                   .environment = t.environment,
                   .command = t.command};
  d.body.push_back({time_chart(t), show::browser});
  d.body.push_back({gain_chart(t), show::browser});
  std::vector<Line> all;
  for (const Prompt& p : t.prompts) {
    const std::vector<Line> lines = lines_of(t, p);
    d.body.push_back({show::Heading{fmt::format("A prompt of {}", p.name), 2}});
    d.body.push_back({show::table_of<Line>(kLines, lines)});
    all.insert(all.end(), lines.begin(), lines.end());
  }
  d.body.push_back({show::Paragraph{kTold}, show::browser | show::plain});
  d.body.push_back({show::table_of<Line>(kData, all), data_only});
  return d;
}

}  // namespace pkv::served
