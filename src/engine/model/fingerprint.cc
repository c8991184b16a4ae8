#include "engine/model/fingerprint.h"

#include <fmt/format.h>
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>  // the same functions in the vectors that the processor has
#endif

#include <algorithm>
#include <set>
#include <vector>

#include "base/file.h"
#include "base/pool.h"

namespace pkv::model {
namespace {

// The unit of hashing: a tensor's fingerprint is the hash of the hashes of its pieces, so that several threads can
// share a large one.
constexpr std::size_t kPiece = std::size_t{4} << 20;

std::string hex(XXH128_hash_t hash) { return fmt::format("{:016x}{:016x}", hash.high64, hash.low64); }
std::string hash_of(std::string_view text) { return hex(XXH3_128bits(text.data(), text.size())); }

struct Piece {
  const containers::Tensor* tensor;
  std::span<const std::byte> bytes;
  XXH128_hash_t hash{};
};

std::vector<Piece> pieces_of(std::span<const containers::Tensor> tensors) {
  std::vector<Piece> pieces;
  for (const containers::Tensor& t : tensors) {
    for (std::size_t at = 0; at < t.data.size(); at += kPiece) {
      pieces.push_back({&t, t.data.subspan(at, std::min(kPiece, t.data.size() - at))});
    }
  }
  return pieces;
}

}  // namespace

std::string weights_fingerprint(const Source& source, int threads, const Progress& progress) {
  std::vector<Piece> pieces = pieces_of(source.tensors());
  std::int64_t total = 0, done = 0;
  for (const Piece& p : pieces) total += static_cast<std::int64_t>(p.bytes.size());
  WorkerPool pool(threads);
  const std::int64_t at_once = 16 * pool.threads(), count = std::ssize(pieces);
  for (std::int64_t first = 0; first < count; first += at_once) {
    const std::int64_t n = std::min(at_once, count - first);
    pool.parallel_for(n, [&](std::int64_t i) noexcept {
      Piece& p = pieces[static_cast<std::size_t>(first + i)];
      p.hash = XXH3_128bits(p.bytes.data(), p.bytes.size());
    });
    for (std::int64_t i = first; i < first + n; ++i) {
      done += static_cast<std::int64_t>(pieces[static_cast<std::size_t>(i)].bytes.size());
    }
    if (progress) progress(done, total);
  }
  std::string account;
  std::size_t at = 0;
  for (const containers::Tensor& t : source.tensors()) {  // sorted by name
    account += fmt::format("{} {} {}", t.name, t.type(), shape_text(t.shape));
    for (; at < pieces.size() && pieces[at].tensor == &t; ++at) account += " " + hex(pieces[at].hash);
    account += '\n';
  }
  return hash_of(account);
}

std::string weights_state(const Source& source) {
  std::set<std::string> states;
  for (const containers::Tensor& t : source.tensors()) {
    if (!t.file || t.file->state().empty()) return {};
    states.insert(t.file->state());
  }
  return fmt::format("{}", fmt::join(states, "\n"));
}

std::string tokenizer_fingerprint(const Source& source) {
  std::string account;
  for (const hf::TokenizerPart& part : source.tokenizer()) {
    account += fmt::format("{} {}\n", part.name, hash_of(part.text));
  }
  return account.empty() ? "none" : hash_of(account);
}

}  // namespace pkv::model
