#include "checker/run/trials.h"

#include <limits>
#include <utility>

namespace pkv::check {

Trials::Trials(Subject& subject, const Whole& whole, const Description& description, const Tolerance& tolerance,
               Fed fed)
    : subject_(subject),
      whole_(whole),
      name_(description.name),
      logits_(logits_precision(description)),
      tolerance_(tolerance),
      fed_(std::move(fed)) {}

std::string Trials::obstacle(Method method) {
  if (method == Method::pieces) return {};
  if (account_.absent()) return "no past was kept";
  const auto session = subject_.fresh();
  const bool fork = method == Method::fork_same || method == Method::fork_other;
  if (fork && session->fork() == nullptr) return "the system cannot fork a past";
  if (!fork && session->rewind() == nullptr) return "the system cannot rewind";
  return {};
}

void Trials::run(const Trial& t, Difference& sum) {
  switch (t.method) {
    case Method::pieces:
      return in_pieces(t.pieces, sum);
    case Method::fork_same:
    case Method::fork_other:
      return forked(t.pieces.front(), t.method, sum);
    case Method::rewind_same:
    case Method::rewind_other:
      return rewound(t.pieces.front(), t.method, sum);
  }
}

void Trials::compare(const Logits& rows, std::int64_t from, std::int64_t past, Difference& sum,
                     std::vector<Cell>* cells) const {
  for (std::int64_t r = 0; r < rows.rows(); ++r) {
    const RowDifference row = compare_row(whole_.logits.row(from + r), rows.row(r), logits_);
    const Place place{past, from + r};
    sum.add(row, place, tolerance_);
    if (cells == nullptr) continue;
    cells->push_back({place, row.not_finite > 0 ? std::numeric_limits<double>::quiet_NaN() : row.max_abs, row.ulps});
  }
}

Result Trials::first_parts() const {
  return {std::string(check::first_parts),
          "the part fed first in each run: its logits must not depend on what follows",
          first_parts_runs_,
          first_parts_,
          {}};
}

Logits Trials::go_on(Session& session, Ids ids, std::int64_t past) {
  Logits rows = feed(session, ids, whole_.logits.vocab, name_);
  fed_(std::ssize(ids));
  account_.add(past + std::ssize(ids), session.length());
  return rows;
}

void Trials::in_pieces(const std::vector<std::int64_t>& pieces, Difference& sum) {
  const auto session = subject_.fresh();
  const bool in_two = pieces.size() == 2 && !cells_.contains(pieces[0]);
  std::int64_t past = 0;
  Logits rows;
  for (const auto length : pieces) {
    rows = go_on(*session, rest(whole_.ids, past).first(static_cast<std::size_t>(length)), past);
    compare(rows, past, past, past == 0 ? first_parts_ : sum, in_two && past > 0 ? &cells_[past] : nullptr);
    past += length;
  }
  const auto last = rows.row(rows.rows() - 1);
  last_row_.assign(last.begin(), last.end());
  first_parts_runs_++;
}

void Trials::forked(std::int64_t past, Method method, Difference& sum) {
  const Ids ids = rest(whole_.ids, past);
  const auto original = subject_.fresh();
  go_on(*original, whole_.ids.first(static_cast<std::size_t>(past)), 0);
  const auto fork = original->fork()->fork_session();
  account_.add(past, fork->length());
  if (method == Method::fork_other) {
    const auto third = original->fork()->fork_session();
    go_on(*third, rest(whole_.other, past), past);
    compare(go_on(*original, ids, past), past, past, sum);
    compare(go_on(*fork, ids, past), past, past, sum);
  } else {
    compare(go_on(*fork, ids, past), past, past, sum);
    compare(go_on(*original, ids, past), past, past, sum);
  }
}

void Trials::rewound(std::int64_t past, Method method, Difference& sum) {
  const auto session = subject_.fresh();
  if (method == Method::rewind_same) {
    go_on(*session, whole_.ids, 0);
  } else {
    go_on(*session, whole_.ids.first(static_cast<std::size_t>(past)), 0);
    go_on(*session, rest(whole_.other, past), past);
  }
  session->rewind()->truncate(past);
  account_.add(past, session->length());
  compare(go_on(*session, rest(whole_.ids, past), past), past, past, sum);
}

}  // namespace pkv::check
