// Stop texts. A text that grows piece by piece ends before the first stop text in it; what may yet turn out to be the
// beginning of one is held back. Where a piece ends makes no difference.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkv::generate {

class StopText {
 public:
  // `before` is the text that comes before the first piece: a stop text may begin in it, if it ends in a piece. Error
  // ::usage for an empty stop text.
  explicit StopText(std::vector<std::string> stops, std::string_view before = {});

  // The part of the text that can be shown now. After a stop text was found: nothing.
  std::string push(std::string_view piece);
  // What was held back, when no more pieces come.
  std::string finish();

  // The stop text whose end came first; of several that end together, the longest.
  const std::optional<std::string>& found() const { return found_; }

 private:
  std::size_t held_back() const;

  std::vector<std::string> stops_;
  std::size_t longest_ = 0;
  std::string text_;       // its end, as far back as a stop text may begin
  std::size_t shown_ = 0;  // of text_
  std::optional<std::string> found_;
};

}  // namespace pkv::generate
