// One picture of one generation: the time of each token, and of all tokens so far, with the past and without it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "checker/measure/document.h"
#include "checker/measure/numbers.h"
#include "show/columns.h"
#include "show/html/pieces.h"

namespace pkv::measure {
namespace {

constexpr double kWidth = 820, kHeight = 330, kPanel = 330, kTop = 58, kBottom = 46, kLeft = 62, kApart = 410;
constexpr double kHalfLabel = 22;  // of "15,000", in pixels
constexpr double kTicks = 5;       // at most so many, about

// As pages are coloured, by day and by night. Words have a seam of paper around them, which keeps lines off.
constexpr const char* kStyle = R"css(<style>
svg { --paper: #ffffff; --ink: #22262a; --muted: #666c72; --rule: #dfdcd4; --with: #2b6c9e; --without: #c26a1b; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #16181b; --ink: #e4e2dd; --muted: #9ba0a6; --rule: #363a40; --with: #72b2de; --without: #e5a25a; }
}
.paper { fill: var(--paper); } .rule { stroke: var(--rule); }
text { fill: var(--ink); stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; paint-order: stroke; }
.tick { fill: var(--muted); } .strong { font-weight: bold; }
.with { color: var(--with); } .without { color: var(--without); }
.line { fill: none; stroke: currentColor; stroke-width: 2px; } .dot, .name { fill: currentColor; }
</style>
)css";

struct Line {
  const char* variant;  // its class
  const char* label;
  std::vector<double> x, y;
  bool dots = false;  // what was measured, where that is not all
};

// A panel: x linear from its first to its last value, y in powers of ten.
class Panel {
 public:
  Panel(double left, const std::vector<Line>& lines) : left_(left), lines_(lines) {
    double low = 1e99, high = 0;
    x0_ = 1e99;
    for (const Line& l : lines) {
      x0_ = std::min(x0_, l.x.front()), x1_ = std::max(x1_, l.x.back());
      for (const double v : l.y) low = std::min(low, v), high = std::max(high, v);
    }
    if (x1_ <= x0_) x1_ = x0_ + 1;
    y0_ = std::floor(std::log10(low)), y1_ = std::max(y0_ + 1, std::ceil(std::log10(high)));
  }

  std::string draw(const std::string& title, const std::string& below) const {
    std::string s =
        fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" class=\"strong\">{}</text>\n", left_, kTop - 14, title);
    s += grid();
    for (const Line& l : lines_) s += curve(l);
    return s + fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"middle\">{}</text>\n", left_ + kPanel / 2,
                           kHeight - 8, below);
  }

 private:
  double x(double value) const { return left_ + (value - x0_) / (x1_ - x0_) * kPanel; }
  double y(double value) const {
    return kHeight - kBottom - (std::log10(value) - y0_) / (y1_ - y0_) * (kHeight - kTop - kBottom);
  }

  std::string grid() const {
    std::string s;
    for (double e = y0_; e <= y1_; ++e) {
      const double at = y(std::pow(10, e));
      s += fmt::format(
          "<path d=\"M{:.1f} {:.1f}H{:.1f}\" class=\"rule\"/><text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\" "
          "class=\"tick\">{}</text>\n",
          left_, at, left_ + kPanel, left_ - 6, at + 4, decade(e));
    }
    const double step = round_step((x1_ - x0_) / kTicks);
    for (double value = std::ceil(x0_ / step) * step; value <= x1_; value += step) {
      const bool at_the_end = x(value) + kHalfLabel > kWidth;
      s += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"tick\">{}</text>\n",
                       at_the_end ? kWidth - 2 : x(value), kHeight - kBottom + 18, at_the_end ? "end" : "middle",
                       show::grouped(std::llround(value)));
    }
    return s;
  }

  // 1, 2 or 5 times a power of ten, but at least 1: the first that is not below `least`.
  static double round_step(double least) {
    const double decade = std::pow(10, std::floor(std::log10(std::max(least, 1.0))));
    for (const double times : {1.0, 2.0, 5.0}) {
      if (times * decade >= least) return times * decade;
    }
    return 10 * decade;
  }

  static std::string decade(double exponent) {
    return exponent < -3  ? fmt::format("{:g} us", std::pow(10, exponent + 6))
           : exponent < 0 ? fmt::format("{:g} ms", std::pow(10, exponent + 3))
                          : fmt::format("{:g} s", std::pow(10, exponent));
  }

  std::string curve(const Line& l) const {
    std::string path, dots;
    for (std::size_t i = 0; i < l.x.size(); ++i) {
      path += fmt::format("{}{:.1f} {:.1f}", i == 0 ? "M" : "L", x(l.x[i]), y(l.y[i]));
      if (l.dots)
        dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" class=\"dot\"/>", x(l.x[i]), y(l.y[i]));
    }
    // Above all of the curve that the words stand over.
    const std::size_t at = l.x.size() * 3 / 4;
    const double highest = *std::max_element(l.y.begin() + static_cast<std::ptrdiff_t>(at / 2),
                                             l.y.begin() + static_cast<std::ptrdiff_t>(at + 1));
    return fmt::format(
        "<g class=\"{}\"><path d=\"{}\" class=\"line\"/>{}\n<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\" "
        "class=\"strong name\">{}</text></g>\n",
        l.variant, path, dots, x(l.x[at]) - 6, y(highest) - 8, l.label);
  }

  double left_, x0_ = 0, x1_ = 0, y0_ = 0, y1_ = 0;
  const std::vector<Line>& lines_;
};

// No more points than can be told apart: medians of as many neighbours as it takes.
Line thinned(Line line) {
  constexpr std::size_t kMost = 400;
  const std::size_t n = line.x.size();
  if (n <= kMost || line.dots) return line;
  std::vector<double> x, y;
  for (std::size_t i = 0; i < kMost; ++i) {
    const auto from = static_cast<std::ptrdiff_t>(i * n / kMost), to = static_cast<std::ptrdiff_t>((i + 1) * n / kMost);
    x.push_back(median_of({line.x.begin() + from, line.x.begin() + to}));
    y.push_back(median_of({line.y.begin() + from, line.y.begin() + to}));
  }
  x.front() = line.x.front(), y.front() = line.y.front();
  x.back() = line.x.back(), y.back() = line.y.back();
  line.x = std::move(x), line.y = std::move(y);
  return line;
}

std::vector<Line> per_token(const Generation& g) {
  const auto line = [&](const char* variant, const char* label, const Curve& c, bool dots) {
    Line l{.variant = variant, .label = label, .y = c.medians(), .dots = dots};
    for (const std::int64_t p : c.positions) l.x.push_back(static_cast<double>(g.depth + g.prompt + p));
    return thinned(std::move(l));
  };
  return {line("without", "without the past", g.without_past, g.sampled()),
          line("with", "with the past", g.with_past, false)};
}

std::vector<Line> totals(const Generation& g) {
  const auto line = [&](const char* variant, const char* label, const Curve& c) {
    Line l{.variant = variant, .label = label};
    double sum = 0;
    for (const double seconds : filled(c.positions, c.medians(), g.new_tokens)) {
      l.x.push_back(static_cast<double>(l.x.size() + 1));
      l.y.push_back(sum += seconds);
    }
    return thinned(std::move(l));
  };
  return {line("without", g.sampled() ? "without (interpolated)" : "without the past", g.without_past),
          line("with", "with the past", g.with_past)};
}

}  // namespace

std::string report_svg(const Result& r) {
  const Generation* g = longest_generation(r);
  if (g == nullptr || g->new_tokens < 2) return "";
  const auto tokens = per_token(*g), sums = totals(*g);
  std::string s = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n{2}<rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n",
      kWidth, kHeight, kStyle);
  s += fmt::format("<text x=\"{}\" y=\"22\" font-size=\"14\">{} ({}), {}: {} after {}, {}{} times faster</text>\n",
                   kLeft, show::html::escaped(show::printable(r.subject.name)), show::html::escaped(r.subject.family),
                   show::html::escaped(r.subject.format), show::counted(g->new_tokens, "new token"), prompt_text(*g),
                   g->sampled() ? "about " : "", times_text(g->faster()));
  s += Panel(kLeft, tokens).draw("time of one token", "tokens before it");
  s += Panel(kLeft + kApart, sums).draw("time of all tokens so far", "new tokens");
  return s + "</svg>\n";
}

}  // namespace pkv::measure
