#include "engine/generate/stop.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace pkv::generate {

StopText::StopText(std::vector<std::string> stops, std::string_view before) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    if (stop.empty()) fail_usage({.what = "an empty stop text would stop at once", .where = "--stop"});
    longest_ = std::max(longest_, stop.size());
  }
  text_ = before.substr(before.size() - std::min(before.size(), longest_ > 0 ? longest_ - 1 : 0));
  shown_ = text_.size();
}

std::string StopText::push(std::string_view piece) {
  if (found_) return {};
  const std::size_t old = text_.size();
  text_ += piece;
  std::size_t end = std::string::npos;
  for (const std::string& stop : stops_) {
    const std::size_t at = text_.find(stop, old - std::min(old, stop.size() - 1));
    if (at == std::string::npos) continue;
    const std::size_t ends = at + stop.size();
    if (ends > end || (ends == end && stop.size() <= found_->size())) continue;
    end = ends;
    found_ = stop;
  }
  const std::size_t safe = found_ ? std::max(shown_, end - found_->size()) : text_.size() - held_back();
  const std::string show = text_.substr(shown_, safe - shown_);
  const std::size_t keep = std::min(safe, text_.size() - std::min(text_.size(), longest_ > 0 ? longest_ - 1 : 0));
  shown_ = safe - keep;
  text_.erase(0, keep);
  return show;
}

std::string StopText::finish() {
  if (found_) return {};
  std::string rest = text_.substr(shown_);
  shown_ = text_.size();
  return rest;
}

// The longest end of the text not shown yet that begins a stop text.
std::size_t StopText::held_back() const {
  std::size_t most = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.size() - 1, text_.size()); n > most; --n) {
      if (std::string_view(text_).ends_with(std::string_view(stop).substr(0, n))) most = n;
    }
  }
  return std::min(most, text_.size() - shown_);
}

}  // namespace pkv::generate
