// What one more token costs as the text grows: with the past (one row at depth n) and without it (all n tokens again).
// With it, time grows only by the keys and values that the step must read; without it, a step costs as much as reading
// the whole text, and a text of n tokens their sum. Without --model, an ALiBi model (no fixed limit) of 4 layers,
// hidden size 512 and 8 heads with random weights. The logits of both are compared bit for bit at every length.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "base/file.h"
#include "bench/clock.h"
#include "bench/options.h"
#include "bench/synthetic.h"
#include "model/model.h"

namespace {

using namespace pkv;

constexpr std::string_view kUsage =
    "bench_growth [--model FOLDER] [--to N] [--threads N] [--svg FILE] [--output json]\n";
constexpr std::int64_t kFirst = 64;  // tokens of the shortest text

struct Options {
  std::filesystem::path model, svg;
  std::int64_t to = 16384;
  int threads = 0;
  bool json = false;
};

struct Point {
  std::int64_t tokens = 0;
  double with_ms = 0, without_ms = 0, read_gb_per_s = 0;  // the rate at which the step read its share of the past
  std::size_t past_bytes = 0;
};

model::Logits feed(const model::Model& m, model::Past& past, std::span<const std::int32_t> ids) {
  const model::Feed f{.ids = ids, .past = &past};
  return m.forward({&f, 1}, model::Want::last);
}

double median_ms(int times, const std::function<void()>& body) {
  std::vector<double> ms;
  for (int i = 0; i < times; ++i) {
    const double start = bench::seconds();
    body();
    ms.push_back((bench::seconds() - start) * 1e3);
  }
  return bench::median(ms);
}

Point measure(const model::Model& m, std::int64_t tokens) {
  const auto ids = bench::text(tokens, m.card().vocab);
  const std::span<const std::int32_t> all(ids), last = all.last(1);
  Point p{.tokens = tokens};
  model::Past past = m.new_past();
  feed(m, past, all.first(all.size() - 1));
  p.past_bytes = past.bytes();
  std::optional<model::Logits> with, without;
  p.with_ms = median_ms(15, [&] {
    past.truncate(tokens - 1);
    with = feed(m, past, last);
  });
  p.without_ms = median_ms(tokens > 4096  ? 1
                           : tokens > 512 ? 3
                                          : 9,
                           [&] {
                             model::Past fresh = m.new_past();
                             without = feed(m, fresh, all);
                           });
  if (std::memcmp(with->view().data, without->view().data, with->view().bytes()) != 0) {
    throw std::runtime_error(fmt::format("at {} tokens the logits differ: nothing to time", tokens));
  }
  return p;
}

std::vector<Point> measure_all(const model::Model& m, std::int64_t to) {
  std::vector<Point> points;
  for (std::int64_t n = kFirst; n <= to; n *= 2) points.push_back(measure(m, n));
  const model::Card& c = m.card();
  const double per_token =
      static_cast<double>(2 * c.layers * c.kv_heads * c.head_dim) * static_cast<double>(size_of(m.past_dtype()));
  for (Point& p : points) {
    const double more_ms = p.with_ms - points[0].with_ms;
    if (p.tokens >= 1024 && more_ms > 0)
      p.read_gb_per_s = per_token * static_cast<double>(p.tokens - points[0].tokens) * 1e-6 / more_ms;
  }
  return points;
}

// Both curves on logarithmic axes.
std::string svg(const std::vector<Point>& points) {
  constexpr double kWidth = 640, kHeight = 400, kLeft = 64, kRight = 20, kTop = 20, kBottom = 48;
  double low = 1e9, high = 0;
  for (const Point& p : points) low = std::min(low, p.with_ms), high = std::max(high, p.without_ms);
  const double y0 = std::floor(std::log10(low)), y1 = std::ceil(std::log10(high));
  const double x0 = std::log2(static_cast<double>(points.front().tokens)),
               x1 = std::max(x0 + 1, std::log2(static_cast<double>(points.back().tokens)));
  const auto x = [&](std::int64_t n) {
    return kLeft + (std::log2(static_cast<double>(n)) - x0) / (x1 - x0) * (kWidth - kLeft - kRight);
  };
  const auto y = [&](double ms) {
    return kHeight - kBottom - (std::log10(ms) - y0) / (y1 - y0) * (kHeight - kTop - kBottom);
  };
  std::string s = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
      kWidth, kHeight);
  for (double e = y0; e <= y1; ++e) {
    const double at = y(std::pow(10, e));
    s += fmt::format(
        "<path d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#dddddd\"/><text x=\"{:.1f}\" y=\"{:.1f}\" "
        "text-anchor=\"end\" fill=\"#555555\">{:g} ms</text>\n",
        kLeft, at, kWidth - kRight, kLeft - 6, at + 4, std::pow(10, e));
  }
  for (const Point& p : points) {
    s += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\" fill=\"#555555\">{}</text>\n", x(p.tokens),
                     kHeight - kBottom + 18, p.tokens);
  }
  const auto curve = [&](std::string_view colour, std::string_view label, double Point::*ms) {
    std::string path;
    for (const Point& p : points)
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x(p.tokens), y(p.*ms));
    s += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2.5\"/>\n", path, colour);
    const Point& p = points[points.size() * 2 / 3];
    s += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\" fill=\"{}\" font-weight=\"bold\">{}</text>\n",
                     x(p.tokens) - 10, y(p.*ms) - 12, colour, label);
  };
  curve("#b3401f", "without the past", &Point::without_ms);
  curve("#1f6fb3", "with the past", &Point::with_ms);
  return s + fmt::format(
                 "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\" fill=\"#333333\">tokens so far; time of "
                 "the next one</text>\n</svg>\n",
                 (kLeft + kWidth - kRight) / 2, kHeight - 8);
}

Options parse(int argc, char** argv) {
  const bench::Options given(kUsage, argc, argv);
  Options o;
  o.model = given.text("--model").value_or("");
  o.svg = given.text("--svg").value_or("");
  o.to = given.number("--to", o.to, kFirst);
  o.threads = given.threads();
  o.json = given.json();
  return o;
}

int run(Options o) {
  std::optional<bench::Folder> temporary;
  std::string name = o.model.filename().string();
  if (o.model.empty()) {
    bench::write_mpt(temporary.emplace().path, {.layers = 4, .hidden = 512, .heads = 8, .vocab = 2048});
    o.model = temporary->path;
    name = "an MPT shape of 4 layers, hidden size 512, 8 heads";
  }
  const model::Model m = model::load(hf::Folder::open(o.model), kernels::Backend("cpu", o.threads));
  if (m.card().context_is_hard) o.to = std::min(o.to, m.card().context);
  if (o.to < kFirst) {
    throw std::runtime_error(
        fmt::format("the model's context of {} tokens is below the shortest length timed, {}", o.to, kFirst));
  }
  const std::vector<Point> points = measure_all(m, o.to);
  if (!o.svg.empty()) write_file(o.svg, svg(points));
  if (o.json) {
    nlohmann::json j{{"model", name}, {"backend", m.backend().device().describe()}};
    for (const Point& p : points) {
      j["points"].push_back(
          {{"tokens", p.tokens}, {"with_ms", p.with_ms}, {"without_ms", p.without_ms}, {"past_bytes", p.past_bytes}});
    }
    fmt::print("{}\n", j.dump(2));
    return 0;
  }
  fmt::print("The next token after n, {}, {}, past {}; same logits bit for bit\n\n", name,
             m.backend().device().describe(), name_of(m.past_dtype()));
  fmt::print("| n | with the past, ms | without, ms | ratio | past, MB | the past was read at, GB/s |\n");
  fmt::print("|---:|---:|---:|---:|---:|---:|\n");
  for (const Point& p : points) {
    fmt::print("| {} | {:.3f} | {:.1f} | {:.0f} | {:.1f} | {} |\n", p.tokens, p.with_ms, p.without_ms,
               p.without_ms / p.with_ms, static_cast<double>(p.past_bytes) / 1e6,
               p.read_gb_per_s > 0 ? fmt::format("{:.0f}", p.read_gb_per_s) : "");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) try { return run(parse(argc, argv)); } catch (const std::exception& e) {
  fmt::print(stderr, "bench_growth: {}\n", e.what());
  return 1;
}
