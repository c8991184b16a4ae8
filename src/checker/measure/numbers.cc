#include "checker/measure/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "show/columns.h"

namespace pkv::measure {
namespace {

// Three digits that count, without an exponent below 10,000.
std::string three(double value) {
  if (!std::isfinite(value)) return "?";
  const double size = std::abs(value);
  if (size >= 99.95) return show::grouped(std::llround(value));
  return size >= 9.995 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

}  // namespace

std::string time_text(double seconds) {
  if (seconds < 0.9995e-3) return three(seconds * 1e6) + " us";
  if (seconds < 0.9995) return three(seconds * 1e3) + " ms";
  if (seconds < 120) return three(seconds) + " s";
  return seconds < 7200 ? three(seconds / 60) + " min" : three(seconds / 3600) + " h";
}

std::string spread_text(const Spread& s) {
  if (s.count < 2) return time_text(s.median);
  return fmt::format("{} ± {:.0f} %", time_text(s.median), 100 * s.deviation / s.mean);
}

// The error decides how many digits count.
std::string times_text(const Ratio& r) {
  if (!r.error) return three(r.times);
  if (*r.error >= 1)
    return fmt::format("{} ± {}", show::grouped(std::llround(r.times)), show::grouped(std::llround(*r.error)));
  return *r.error >= 0.095 ? fmt::format("{:.1f} ± {:.1f}", r.times, *r.error)
                           : fmt::format("{:.2f} ± {:.2f}", r.times, *r.error);
}

std::string rate_text(double per_second) { return three(per_second); }

std::string bytes_text(double bytes) {
  if (bytes < 1e6) return three(bytes / 1e3) + " kB";
  return bytes < 1e9 ? three(bytes / 1e6) + " MB" : three(bytes / 1e9) + " GB";
}

std::string large_text(double value) {
  if (value < 1e6) return three(value / 1e3) + " k";
  return value < 1e9 ? three(value / 1e6) + " M" : three(value / 1e9) + " G";
}

std::string hash_text(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

std::string share_text(const Samples& shares) { return shares.empty() ? "" : fmt::format("{:.2f}", median_of(shares)); }

std::string passes_text(const Generation& g) {
  const auto two = g.passes(2), ten = g.passes(10);
  const auto about = [&](std::int64_t from) { return g.sampled() && from > 1 ? "about " : ""; };
  if (!two) return fmt::format("not twice as fast within {}", show::counted(g.new_tokens, "new token"));
  const std::string text = fmt::format("twice as fast from {}{} on", about(*two), show::counted(*two, "new token"));
  return ten ? text + fmt::format(", 10 times from {}{}", about(*ten), show::grouped(*ten))
             : text + ", 10 times not reached";
}

std::string prompt_text(const Generation& g) {
  return g.depth == 0 ? show::grouped(g.prompt)
                      : fmt::format("{} after {}", show::grouped(g.prompt), show::grouped(g.depth));
}

std::vector<std::string> worth_sentences(const Result& result) {
  std::vector<std::string> lengths, all;
  for (const Reuse& r : result.reuse) lengths.push_back(show::grouped(r.prefix));
  if (lengths.empty()) return all;
  const auto from = [&](Reuse::Way way) -> std::string {
    const bool measured =
        std::any_of(result.reuse.begin(), result.reuse.end(), [&](const Reuse& r) { return !r.seconds[way].empty(); });
    if (!measured) return "";
    const auto length = worth_from(result.reuse, way);
    const std::string_view where = way == Reuse::memory ? "in memory"
                                   : way == Reuse::disk ? "on disk"
                                                        : "in the page cache";
    const bool shorter_unknown = length == result.reuse.front().prefix && *length > 1;
    return length ? fmt::format("a past {} from {}{} on", where, shorter_unknown ? "at most " : "",
                                show::counted(*length, "token"))
                  : fmt::format("a past {} at none of these lengths", where);
  };
  std::string sentence;
  for (const Reuse::Way way : {Reuse::memory, Reuse::page_cache, Reuse::disk}) {
    if (const std::string part = from(way); !part.empty()) sentence += (sentence.empty() ? "" : "; ") + part;
  }
  all.push_back(fmt::format("Faster than recomputing: {}.", sentence));
  if (const auto rate = disk_rate(result.reuse)) {
    all.push_back(fmt::format("The disk gave about {} per second (saved past of {}, beyond the page cache's time).",
                              bytes_text(*rate), bytes_text(static_cast<double>(result.reuse.back().saved_bytes))));
  }
  return all;
}

}  // namespace pkv::measure
