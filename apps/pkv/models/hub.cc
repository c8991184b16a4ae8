#include "models/hub.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <deque>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "terminal/progress.h"
#include "terminal/say.h"
#include "terminal/stop.h"

namespace pkv::program {
namespace {

namespace fs = std::filesystem;
bool wants_bar() {
  const char* off = std::getenv("HF_HUB_DISABLE_PROGRESS_BARS");
  std::string value = off == nullptr ? "" : off;
  std::ranges::transform(value, value.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const bool disabled = value == "1" || value == "ON" || value == "YES" || value == "TRUE";
  return isatty(STDERR_FILENO) != 0 && !disabled;
}

// Bytes so far and in all, the rate of the last seconds, and how long it will take at that rate.
class DownloadBar {
 public:
  void operator()(std::int64_t done, std::int64_t total) {
    if (!start_) start_ = seconds();
    const double now = seconds() - *start_;
    if (done >= total) return clear_progress();
    if (now < 0.3 || now - drawn_ < 0.1) return;
    measure(done, now);
    draw(done, total);
    drawn_ = now;
  }

 private:
  // The median of the last five seconds: bytes that an earlier run left, or that another program fetched, arrive all at
  // once and say nothing about the network.
  void measure(std::int64_t done, double now) {
    if (now - measured_ < 0.5) return;
    rates_.push_back(static_cast<double>(std::max<std::int64_t>(0, done - last_)) / (now - measured_));
    if (rates_.size() > 10) rates_.pop_front();
    std::vector<double> sorted(rates_.begin(), rates_.end());
    std::ranges::sort(sorted);
    rate_ = sorted[sorted.size() / 2];
    last_ = done;
    measured_ = now;
  }

  void draw(std::int64_t done, std::int64_t total) {
    constexpr std::size_t kWidth = 20;
    const double part = static_cast<double>(done) / static_cast<double>(total);
    const auto full = static_cast<std::size_t>(part * kWidth);
    std::string pace;  // not known at first
    if (measured_ > 0) {
      pace = fmt::format("  {}/s", megabytes(static_cast<std::uint64_t>(rate_)));
      if (rate_ >= 1) pace += fmt::format("  {} left", duration_text(static_cast<double>(total - done) / rate_));
    }
    show_progress(fmt::format("[{}{}] {:3.0f}%  {} of {}{}", std::string(full, '#'), std::string(kWidth - full, '.'),
                              100 * part, megabytes(static_cast<std::uint64_t>(done)),
                              megabytes(static_cast<std::uint64_t>(total)), pace));
  }

  std::optional<double> start_;
  std::int64_t last_ = 0;
  std::deque<double> rates_;
  double rate_ = 0, measured_ = 0, drawn_ = 0;
};

std::string host_of(const std::string& endpoint) { return endpoint.substr(endpoint.find("://") + 3); }

std::string files_text(std::size_t count) { return count == 1 ? "1 file" : fmt::format("{} files", count); }

void tell_plan(const hub::Settings& settings, const hub::Plan& plan) {
  const std::size_t missing = plan.missing_files();
  if (missing == 0) return;
  const std::string files =
      missing == plan.files.size() ? files_text(missing) : fmt::format("{} of {} files", missing, plan.files.size());
  note(fmt::format("downloading {} from {}: {}, {}", plan.id.text(), host_of(settings.endpoint), files,
                   megabytes(plan.missing())));
  note(fmt::format("to {}", home_relative(plan.folder.parent_path().parent_path())));
}

}  // namespace

std::string home_relative(const fs::path& path) {
  const char* home = std::getenv("HOME");
  const std::string text = path.string();
  if (home == nullptr || *home == '\0' || !text.starts_with(std::string(home) + "/")) return text;
  return "~" + text.substr(std::string(home).size());
}

hub::Settings hub_settings() {
  hub::Settings settings = hub::settings_from_environment();
  settings.user_agent = "pkv/" PKV_VERSION;
  return settings;
}

hub::Plan download_from_hub(const hub::Settings& settings, const hub::Id& id, const hub::Wish& wish) {
  const bool visible = wants_bar();
  const double start = seconds();
  DownloadBar bar;
  std::optional<OrderlyStop> stop;
  std::uint64_t missing = 0;
  hub::Callbacks callbacks;
  callbacks.plan = [&](const hub::Plan& plan) {
    if (wish.only_plan) return;
    missing = plan.missing();
    tell_plan(settings, plan);
    stop.emplace();
  };
  callbacks.progress = [&](std::int64_t done, std::int64_t total) {
    if (visible) bar(done, total);
    if (stop) stop->look();
  };
  callbacks.note = [](const std::string& line) { note(line); };
  try {
    hub::Plan plan = hub::download(settings, id, wish, callbacks);
    const double took = std::max(seconds() - start, 1e-3);
    if (visible && missing != 0) {
      note(fmt::format("downloaded {} in {} ({}/s)", megabytes(missing), duration_text(took),
                       megabytes(static_cast<std::uint64_t>(static_cast<double>(missing) / took))));
    }
    return plan;
  } catch (const StopAsked&) {
    end_stopped("stopped: what has arrived is kept, and the same command goes on from there");
    throw;
  }
}

fs::path find_on_hub(const hub::Id& id) {
  const hub::Settings settings = hub_settings();
  if (const auto cached = hub::find_cached(settings, id)) return *cached;
  return download_from_hub(settings, id).model();
}

}  // namespace pkv::program
