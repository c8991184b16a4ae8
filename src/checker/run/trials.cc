#include "checker/run/trials.h"

#include <limits>

#include "base/slices.h"
#include "checker/run/replay.h"

namespace pkv::check {

Trials::Trials(const Setting& setting) : setting_(setting), logits_(logits_precision(setting.description)) {}

std::string Trials::obstacle(Method method) {
  if (method == Method::pieces) return {};
  if (has_company(method)) return account_.absent() ? "no past was kept" : "";
  if (account_.absent()) return "no past was kept";
  const auto session = setting_.subject.fresh();
  if (forks(method) && session->fork() == nullptr) return "the system cannot fork a past";
  if (!forks(method) && session->rewind() == nullptr) return "the system cannot rewind";
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
    case Method::beside:
    case Method::batch:
      return in_company(t.pieces.front(), t.method, sum);
  }
}

void Trials::compare(const Logits& rows, std::int64_t from, std::int64_t past, Difference& sum,
                     std::vector<Cell>* cells) const {
  for (std::int64_t r = 0; r < rows.rows(); ++r) {
    const RowDifference row = compare_row(setting_.text.logits.row(from + r), rows.row(r), logits_);
    const Place place{past, from + r};
    sum.add(row, place, setting_.tolerance);
    if (cells == nullptr) continue;
    cells->push_back({place, row.not_finite > 0 ? std::numeric_limits<double>::quiet_NaN() : row.max_abs, row.ulps});
  }
}

Result Trials::first_pieces() const {
  return {std::string(check::first_pieces),
          "the part fed first in each run: its logits must not depend on what follows",
          first_pieces_runs_,
          first_pieces_,
          {}};
}

Logits Trials::go_on(Session& session, Ids ids, std::int64_t past) {
  Logits rows = feed(setting_, session, ids);
  account_.add(past + std::ssize(ids), session.length());
  return rows;
}

void Trials::in_pieces(const std::vector<std::int64_t>& pieces, Difference& sum) {
  const auto session = setting_.subject.fresh();
  const bool in_two = pieces.size() == 2 && !cells_.contains(pieces[0]);
  std::int64_t past = 0;
  Logits rows;
  for (const auto length : pieces) {
    rows = go_on(*session, slice(setting_.text.ids, past, length), past);
    compare(rows, past, past, past == 0 ? first_pieces_ : sum, in_two && past > 0 ? &cells_[past] : nullptr);
    past += length;
  }
  const auto last = rows.row(rows.rows() - 1);
  last_row_.assign(last.begin(), last.end());
  first_pieces_runs_++;
}

void Trials::forked(std::int64_t past, Method method, Difference& sum) {
  const Ids ids = drop(setting_.text.ids, past);
  const auto original = setting_.subject.fresh();
  go_on(*original, take(setting_.text.ids, past), 0);
  const auto fork = original->fork()->fork_session();
  account_.add(past, fork->length());
  if (method == Method::fork_other) {
    const auto third = original->fork()->fork_session();
    const std::int64_t half = std::ssize(ids) / 2;
    if (half > 0) compare(go_on(*original, take(ids, half), past), past, past, sum);
    go_on(*third, drop(setting_.text.other, past), past);
    compare(go_on(*original, drop(ids, half), past + half), past + half, past + half, sum);
    compare(go_on(*fork, ids, past), past, past, sum);
  } else {
    compare(go_on(*fork, ids, past), past, past, sum);
    compare(go_on(*original, ids, past), past, past, sum);
  }
}

// In one call, or one after the other.
std::vector<Logits> Trials::go_on(Session& first, Session& second, const std::array<Ids, 2>& ids, std::int64_t past,
                                  Method method) {
  if (method == Method::beside) {
    std::vector<Logits> both;
    both.push_back(go_on(first, ids[0], past));
    both.push_back(go_on(second, ids[1], past));
    return both;
  }
  const std::vector<session::Feed> feeds{{first, ids[0]}, {second, ids[1]}};
  auto both = session::feed(setting_.subject, feeds, setting_.text.logits.vocab, setting_.description.name);
  setting_.fed(2 * std::ssize(ids[0]));
  for (const Session* session : {&first, &second}) account_.add(past + std::ssize(ids[0]), session->length());
  return both;
}

void Trials::in_company(std::int64_t past, Method method, Difference& sum) {
  const Ids prefix = take(setting_.text.ids, past), other = take(setting_.text.other, past);
  const Ids rest = drop(setting_.text.ids, past);
  std::vector<std::int32_t> mixed(other.begin(), other.end());
  mixed.insert(mixed.end(), rest.begin(), rest.end());
  Logits expected = feed(setting_, *setting_.subject.fresh(), mixed);
  expected.values.erase(expected.values.begin(), expected.values.begin() + past * expected.vocab);

  const auto first = setting_.subject.fresh(), second = setting_.subject.fresh();
  go_on(*first, *second, {prefix, other}, 0, method);
  const std::vector<Logits> both = go_on(*first, *second, {rest, rest}, past, method);
  compare(both[0], past, past, sum);
  Difference of_other;
  for (std::int64_t r = 0; r < expected.rows(); ++r) {
    of_other.add(compare_row(expected.row(r), both[1].row(r), logits_), {past, past + r}, setting_.tolerance);
  }
  sum.add(of_other);
  const auto right = setting_.text.logits.values.begin() + past * expected.vocab;
  const Logits own{expected.vocab, {right, setting_.text.logits.values.end()}};
  const auto near = [&](const Logits& a, const Logits& b) {
    return largest_distance(a, b) <= setting_.tolerance.bound;
  };
  swapped_ = swapped_ || (!near(own, expected) && (near(both[0], expected) || near(both[1], own)));
}

void Trials::rewound(std::int64_t past, Method method, Difference& sum) {
  const auto session = setting_.subject.fresh();
  if (method == Method::rewind_same) {
    go_on(*session, setting_.text.ids, 0);
  } else {
    go_on(*session, take(setting_.text.ids, past), 0);
    go_on(*session, drop(setting_.text.other, past), past);
  }
  session->rewind()->truncate(past);
  account_.add(past, session->length());
  compare(go_on(*session, drop(setting_.text.ids, past), past), past, past, sum);
}

}  // namespace pkv::check
