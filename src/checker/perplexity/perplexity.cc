#include "checker/perplexity/perplexity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/error.h"
#include "base/softmax.h"
#include "checker/compare/compare.h"
#include "checker/session/answers.h"

namespace pkv::perplexity {
namespace {

// What one position shows.
struct Row {
  double nll = 0, reference_nll = 0, kl = 0;
  bool same_top = true;
};

Row score(std::span<const float> tested, std::int32_t target) {
  return {.nll = -LogSoftmax(tested).of(tested[static_cast<std::size_t>(target)])};
}

Row score(std::span<const float> tested, std::span<const float> reference, std::int32_t target) {
  const auto at = static_cast<std::size_t>(target);
  const LogSoftmax p(reference), q(tested);
  return {.nll = -q.of(tested[at]),
          .reference_nll = -p.of(reference[at]),
          .kl = check::kl_divergence(reference, p, tested, q),
          .same_top = argmax(reference) == argmax(tested)};
}

void require(const Windows& w) {
  if (w.context < 2) {
    fail_usage({.what = "a window this short predicts nothing",
                .where = "context",
                .expected = "at least 2 tokens",
                .found = fmt::format("{}", w.context)});
  }
  if (w.stride < 1 || w.stride > w.context) {
    fail_usage({.what = "this stride leaves tokens out, or never ends",
                .where = "stride",
                .expected = fmt::format("1 to {}, the context", w.context),
                .found = fmt::format("{}", w.stride)});
  }
  if (w.chunk < 1) {
    fail_usage({.what = "nothing would be fed",
                .where = "chunk",
                .expected = "at least 1 token",
                .found = fmt::format("{}", w.chunk)});
  }
}

// One system and its past, which is emptied for each window.
class Lane {
 public:
  explicit Lane(session::Subject& subject)
      : subject_(subject), name_(subject.describe().name), session_(subject.fresh()) {}

  void begin_window() {
    if (session_->length() == 0) return;
    if (session::Rewind* rewind = session_->rewind()) return rewind->truncate(0);
    session_ = subject_.fresh();
  }
  void skip(std::span<const std::int32_t> ids) { session_->skip(ids); }
  session::Logits feed(std::span<const std::int32_t> ids) { return session::feed(*session_, ids, 0, name_); }

 private:
  session::Subject& subject_;
  std::string name_;
  std::unique_ptr<session::Session> session_;
};

class Measurement {
 public:
  Measurement(session::Subject& tested, session::Subject* reference, const NextIds& next, const Windows& windows,
              WorkerPool& pool, const Progress& progress)
      : next_(next), pool_(pool), progress_(progress), tested_(tested) {
    result_.subject = tested.describe();
    result_.windows = windows;
    if (reference == nullptr) return;
    reference_.emplace(*reference);
    result_.against.emplace().reference = reference->describe();
  }

  Result run() {
    const std::int64_t stride = result_.windows.stride;
    read(result_.windows.context);
    for (std::int64_t scored = 0; scored < result_.tokens;) {
      const std::int64_t end = std::min(begin_ + result_.windows.context, result_.tokens);
      window(std::max(scored, begin_ + 1), end);
      scored = end;
      read(end + 1);
      if (end == result_.tokens) break;
      ids_.erase(ids_.begin(), ids_.begin() + std::min<std::int64_t>(stride, std::ssize(ids_)));
      begin_ += stride;
      read(begin_ + result_.windows.context);
    }
    require_predictions();
    if (progress_) progress_(result_.tokens, result_.tokens);
    return std::move(result_);
  }

 private:
  // Until the text's first `wanted` tokens were read, or all.
  void read(std::int64_t wanted) {
    while (more_ && result_.tokens < wanted) {
      more_ = next_(ids_);
      result_.tokens = begin_ + std::ssize(ids_);
    }
  }

  std::span<const std::int32_t> ids(std::int64_t from, std::int64_t to) const {
    return std::span(ids_).subspan(static_cast<std::size_t>(from - begin_), static_cast<std::size_t>(to - from));
  }

  // Predicts the tokens [first, end) of the text: token t by the row of t - 1. The last one need not be fed.
  void window(std::int64_t first, std::int64_t end) {
    if (first >= end) return;
    ++result_.window_count;
    const std::int64_t chunk = result_.windows.chunk;
    tested_.begin_window();
    if (reference_) reference_->begin_window();
    for (std::int64_t at = begin_; at < first - 1; at += chunk) skip(ids(at, std::min(at + chunk, first - 1)));
    for (std::int64_t at = first - 1; at < end - 1; at += chunk) {
      const std::int64_t to = std::min(at + chunk, end - 1);
      predict(at, ids(at, to), ids(at + 1, to + 1));
      if (progress_) progress_(to + 1, result_.tokens);
    }
  }

  void skip(std::span<const std::int32_t> ids) {
    tested_.skip(ids);
    if (reference_) reference_->skip(ids);
  }

  void predict(std::int64_t at, std::span<const std::int32_t> fed, std::span<const std::int32_t> targets) {
    const session::Logits tested = tested_.feed(fed);
    const session::Logits reference = reference_ ? reference_->feed(fed) : session::Logits{};
    require_vocabulary(tested, reference, targets);
    rows_.resize(fed.size());
    pool_.parallel_for(std::ssize(fed), [&](std::int64_t i) noexcept {
      const auto target = targets[static_cast<std::size_t>(i)];
      rows_[static_cast<std::size_t>(i)] =
          reference_ ? score(tested.row(i), reference.row(i), target) : score(tested.row(i), target);
    });
    for (std::size_t i = 0; i < rows_.size(); ++i) add(rows_[i], at + static_cast<std::int64_t>(i) + 1);
  }

  // A system refuses such ids when they are fed, but a window's last one is not.
  void require_vocabulary(const session::Logits& tested, const session::Logits& reference,
                          std::span<const std::int32_t> targets) const {
    for (const std::int32_t id : targets) {
      if (id >= 0 && id < tested.vocab) continue;
      fail_usage({.what = "token id outside the vocabulary",
                  .where = result_.subject.name,
                  .expected = fmt::format("0 to {}", tested.vocab - 1),
                  .found = fmt::format("{}", id)});
    }
    if (!reference_ || reference.vocab == tested.vocab) return;
    fail_usage({.what = "the two systems have different vocabularies",
                .where = result_.against->reference.name,
                .expected = fmt::format("{} tokens", tested.vocab),
                .found = fmt::format("{} tokens", reference.vocab)});
  }

  void add(const Row& row, std::int64_t position) {
    require_finite(row.nll, result_.subject, position);
    result_.nll.add(row.nll);
    if (!result_.against) return;
    AgainstReference& a = *result_.against;
    require_finite(row.reference_nll, a.reference, position);
    a.nll.add(row.reference_nll);
    a.difference.add(row.nll - row.reference_nll);
    a.kl.add(row.kl);
    a.kl_bins.add(row.kl);
    a.same_top += row.same_top ? 1 : 0;
  }

  static void require_finite(double nll, const session::Description& system, std::int64_t position) {
    if (std::isfinite(nll)) return;
    fail_load({.what = "the perplexity is no number: a token's probability is not above 0",
               .where = fmt::format("{}, {}: token {} of the text", system.name, system.format, position),
               .found = fmt::format("a negative log-likelihood of {}", nll),
               .hint = "--dtype fp32, if the weights or values overflow"});
  }

  void require_predictions() const {
    if (result_.predicted() > 0) return;
    fail_usage({.what = "there is nothing to predict",
                .expected = "a text of at least 2 tokens",
                .found = result_.tokens == 0 ? "no tokens" : "1 token"});
  }

  const NextIds& next_;
  WorkerPool& pool_;
  const Progress& progress_;
  Lane tested_;
  std::optional<Lane> reference_;
  Result result_;
  std::vector<std::int32_t> ids_;  // of the text from token begin_ on
  std::int64_t begin_ = 0;         // of the window
  bool more_ = true;
  std::vector<Row> rows_;
};

}  // namespace

double Result::bits_per_byte() const {
  return nll.mean() / std::log(2.0) * static_cast<double>(tokens) / static_cast<double>(bytes);
}

double perplexity_of(const RunningMean& nll) { return std::exp(nll.mean()); }

double perplexity_error(const RunningMean& nll) { return perplexity_of(nll) * nll.standard_error(); }

Result run(session::Subject& tested, session::Subject* reference, const NextIds& next, const Windows& windows,
           WorkerPool& pool, const Progress& progress) {
  require(windows);
  return Measurement(tested, reference, next, windows, pool, progress).run();
}

}  // namespace pkv::perplexity
