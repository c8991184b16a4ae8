#include "text/unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/utf8.h"

namespace pkv::text {
namespace {

constexpr double kUnknownBelowWorst = 10;

// The best way to the byte at which a piece ends.
struct Node {
  double score = 0;
  std::int32_t id = -1;
  std::uint32_t begin = 0;
  bool reached = false;

  void offer(double other, std::int32_t piece, std::size_t from) {
    if (reached && other <= score) return;
    *this = {other, piece, static_cast<std::uint32_t>(from), true};
  }
};

}  // namespace

Unigram::Unigram(const Vocab& vocab, std::vector<double> scores, std::optional<std::int32_t> unk_id, bool byte_fallback)
    : scores_(std::move(scores)), unk_id_(unk_id), byte_fallback_(byte_fallback) {
  double worst = std::numeric_limits<double>::infinity();
  for (const double score : scores_) worst = std::min(worst, score);
  unknown_score_ = worst - kUnknownBelowWorst;
  for (std::int32_t id = 0; id < vocab.size(); ++id) {
    if (!vocab.token(id)->empty()) sorted_.push_back(id);
  }
  std::ranges::sort(sorted_, {}, [&](std::int32_t id) { return *vocab.token(id); });
  for (std::uint32_t i = 0; i < sorted_.size(); ++i) {
    auto& range = first_[static_cast<unsigned char>(vocab.token(sorted_[i])->front())];
    if (range.second == 0) range.first = i;
    range.second = i + 1;
  }
}

template <class Visit>
void Unigram::prefixes(const Vocab& vocab, std::string_view text, Visit visit) const {
  auto [low, high] = first_[static_cast<unsigned char>(text.front())];
  for (std::size_t depth = 1; low < high; ++depth) {
    // All from `low` on begin with the first `depth` bytes of the text; one that ends there comes first.
    if (vocab.token(sorted_[low])->size() == depth) visit(sorted_[low++], depth);
    if (depth == text.size()) return;
    const auto wanted = static_cast<unsigned char>(text[depth]);
    const auto at = [&](std::int32_t id) { return static_cast<unsigned char>((*vocab.token(id))[depth]); };
    const auto some = std::ranges::equal_range(sorted_.begin() + low, sorted_.begin() + high, wanted, {}, at);
    low = static_cast<std::uint32_t>(some.begin() - sorted_.begin());
    high = static_cast<std::uint32_t>(some.end() - sorted_.begin());
  }
}

std::int32_t Unigram::unknown() const {
  if (unk_id_) return *unk_id_;
  fail_load({.what = "a character of the text is not in the vocabulary, and there is no unknown token",
             .where = "tokenizer: model.unk_id"});
}

void Unigram::encode(const Vocab& vocab, std::string_view word, std::vector<std::int32_t>& ids) const {
  if (word.empty()) return;
  std::vector<Node> ends(word.size() + 1);
  for (std::size_t at = 0; at < word.size();) {
    const double so_far = ends[at].score;
    const std::size_t size = decode_at(word, at).size;
    bool single = false;
    prefixes(vocab, word.substr(at), [&](std::int32_t id, std::size_t length) {
      ends[at + length].offer(scores_[static_cast<std::size_t>(id)] + so_far, id, at);
      single |= length == size;
    });
    if (!single) ends[at + size].offer(unknown_score_ + so_far, unknown(), at);
    at += size;
  }
  // Backwards; unknown characters side by side are one piece.
  std::vector<std::string_view> pieces;
  std::size_t unknown_end = 0;
  const auto end_unknown = [&](std::size_t begin) {
    if (unknown_end > begin) pieces.push_back(word.substr(begin, unknown_end - begin));
    unknown_end = 0;
  };
  for (std::size_t end = word.size(); end > 0; end = ends[end].begin) {
    if (unk_id_ && ends[end].id == *unk_id_) {
      if (unknown_end == 0) unknown_end = end;
      continue;
    }
    end_unknown(end);
    pieces.push_back(word.substr(ends[end].begin, end - ends[end].begin));
  }
  end_unknown(0);
  std::vector<std::int32_t> bytes;
  for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
    if (const auto id = vocab.id(*piece)) {
      ids.push_back(*id);
      continue;
    }
    bytes.clear();
    for (const char c : *piece) {
      const auto id = vocab.id(fmt::format("<0x{:02X}>", static_cast<unsigned char>(c)));
      if (byte_fallback_ && id) bytes.push_back(*id);
    }
    if (bytes.size() == piece->size()) {
      ids.insert(ids.end(), bytes.begin(), bytes.end());
    } else {
      ids.push_back(unknown());
    }
  }
}

}  // namespace pkv::text
