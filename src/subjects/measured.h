// Our own engine as a system to be timed, and the machine that it runs on.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/pool.h"
#include "checker/compare/report.h"
#include "checker/measure/subject.h"
#include "engine/kernels/cpu/peak.h"
#include "engine/model/cost.h"
#include "engine/model/model.h"
#include "engine/model/past_file.h"

namespace pkv::subjects {

class MeasuredEngine : public measure::Subject {
 public:
  // `model` must outlive this. Pasts are saved in a folder of their own in `scratch` (empty: where the system keeps
  // temporary files), and checked with as many `threads` as the model has (0: one per core). `hashing`: called while
  // weights are hashed for a saved past, which takes long for large ones; may throw.
  MeasuredEngine(const model::Model& model, std::string name, int threads, bool beyond_context = false,
                 const std::filesystem::path& scratch = {}, Progress hashing = {});
  ~MeasuredEngine() override;
  MeasuredEngine(const MeasuredEngine&) = delete;
  MeasuredEngine& operator=(const MeasuredEngine&) = delete;

  measure::Description describe() const override;
  std::unique_ptr<measure::Session> fresh() override;
  std::unique_ptr<measure::Saved> save(measure::Session& session) override;
  double step_bytes(std::int64_t past) const override { return cost_.step_bytes(past); }
  double call_fmas(std::int64_t past, std::int64_t tokens) const override { return cost_.call_fmas(past, tokens); }

 private:
  const model::Model& model_;
  std::string name_;
  model::PastFileOptions saving_;
  bool beyond_context_;
  model::Cost cost_;
  std::filesystem::path scratch_, folder_;
  int saved_ = 0;
};

std::uint64_t resident_at_most();  // bytes of this process, so far

// Its peaks, taken with as many threads.
class ThisMachine : public measure::Machine {
 public:
  explicit ThisMachine(int threads) : pool_(threads), memory_(pool_) {}
  double read_rate() override;
  double fma_rate() override;
  std::uint64_t peak_memory() override;

 private:
  WorkerPool pool_;
  std::uint64_t before_ = resident_at_most();  // before the memory that the rate is measured on was there
  kernels::peak::Memory memory_;
};

// How many times faster the model goes on from a text with its past: a measurement of about a second. None where the
// context has no room for so many tokens, or the logits are not the same.
std::optional<check::Gain> gain_of(const model::Model& model, std::span<const std::int32_t> text,
                                   std::int64_t new_tokens);

}  // namespace pkv::subjects
