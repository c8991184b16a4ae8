// The trials of a plan, carried out: each feeds the text in its own way, and what comes after a past is held against
// the logits of the whole text. What they show together, the past's lengths above all, is kept here.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "checker/compare/compare.h"
#include "checker/run/evidence.h"
#include "checker/run/pictures.h"
#include "checker/run/plan.h"
#include "checker/run/runs.h"
#include "checker/run/setting.h"
#include "checker/session/session.h"

namespace pkv::check {

class Trials {
 public:
  explicit Trials(const Setting& setting);  // which must outlive it

  // Why the method cannot be used; empty when it can.
  std::string obstacle(Method method);

  // Adds all positions that had a past. Load error when the system answers with logits of another shape.
  void run(const Trial& trial, Difference& sum);

  // Logits of consecutive positions from `from` on, held against the whole text's.
  void compare(const Logits& rows, std::int64_t from, std::int64_t past, Difference& sum,
               std::vector<Cell>* cells = nullptr) const;

  const PastAccount& account() const { return account_; }
  // The parts fed first have no past themselves. If they do not agree with the whole text, logits depend on what
  // follows, and no past can be right.
  Result first_pieces() const;
  const std::map<std::int64_t, std::vector<Cell>>& cells() const { return cells_; }  // by past, of the text cut in two
  // Whether of two texts that were fed together one got what is the other's.
  bool swapped() const { return swapped_; }
  std::span<const float> last_row() const { return last_row_; }  // of the text's last token, as last fed in pieces

 private:
  using Ids = std::span<const std::int32_t>;

  Logits go_on(Session& session, Ids ids, std::int64_t past);  // with the account of the past's length
  void in_pieces(const std::vector<std::int64_t>& pieces, Difference& sum);
  void forked(std::int64_t past, Method method, Difference& sum);
  void in_company(std::int64_t past, Method method, Difference& sum);
  std::vector<Logits> go_on(Session& first, Session& second, const std::array<Ids, 2>& ids, std::int64_t past,
                            Method method);
  void rewound(std::int64_t past, Method method, Difference& sum);

  const Setting& setting_;
  const Precision& logits_;
  PastAccount account_;
  Difference first_pieces_;
  std::int64_t first_pieces_runs_ = 0;
  std::map<std::int64_t, std::vector<Cell>> cells_;
  std::vector<float> last_row_;
  bool swapped_ = false;
};

}  // namespace pkv::check
