#include "subjects/measured.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "checker/measure/measure.h"

namespace pkv::subjects {
namespace {

class Timed : public measure::Session {
 public:
  Timed(const model::Model& model, model::Past past) : model_(model), past_(std::move(past)) {}

  std::span<const float> feed(std::span<const std::int32_t> ids) override {
    const model::Feed feed{.ids = ids, .past = &past_};
    logits_ = model_.forward({&feed, 1}, model::Want::last);
    return logits_->span<float>();
  }
  std::unique_ptr<measure::Session> fork() override { return std::make_unique<Timed>(model_, past_.fork()); }
  void truncate(std::int64_t length) override { past_.truncate(length); }
  const model::Past& past() const { return past_; }

 private:
  const model::Model& model_;
  model::Past past_;
  std::optional<model::Logits> logits_;
};

class SavedFile : public measure::Saved {
 public:
  SavedFile(const model::Model& model, const model::Past& past, std::filesystem::path path,
            const model::PastFileOptions& options)
      : model_(model), ids_(past.ids().begin(), past.ids().end()), path_(std::move(path)), options_(options) {
    model::save_past(path_, model_, past, options_);
    ids_.push_back(0);  // restoring leaves the prompt's last token to be fed, whichever it is
  }
  ~SavedFile() override {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }

  std::uint64_t bytes() const override {
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size(path_, error);
    if (error) fail_load({.what = "cannot tell its size: " + error.message(), .where = path_.string()});
    return size;
  }
  std::unique_ptr<measure::Session> restore() override {
    return std::make_unique<Timed>(model_, model::restore_past(path_, model_, ids_, options_).past);
  }
  bool leave_memory() override { return leave_page_cache(path_); }

 private:
  const model::Model& model_;
  std::vector<std::int32_t> ids_;
  std::filesystem::path path_;
  model::PastFileOptions options_;
};

bool savable(const model::Model& model) {
  try {
    model::require_savable(model);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::filesystem::path temporary_folder(const std::filesystem::path& in) {
  std::error_code error;
  const std::filesystem::path place = in.empty() ? std::filesystem::temp_directory_path(error) : in;
  if (error) fail_load({.what = "there is no folder for temporary files: " + error.message(), .hint = "--past-dir"});
  std::string pattern = (place / "pkv-bench-XXXXXX").string();
  if (::mkdtemp(pattern.data()) != nullptr) return pattern;
  fail_load({.what = fmt::format("cannot make a folder for saved pasts: {}", std::strerror(errno)),
             .where = pattern,
             .hint = "--past-dir"});
}

}  // namespace

MeasuredEngine::MeasuredEngine(const model::Model& model, std::string name, int threads, bool beyond_context,
                               const std::filesystem::path& scratch, Progress hashing)
    : model_(model),
      name_(std::move(name)),
      saving_{.threads = threads, .progress = std::move(hashing)},
      beyond_context_(beyond_context),
      cost_(model::cost_of(model)),
      scratch_(scratch) {}

MeasuredEngine::~MeasuredEngine() {
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

std::unique_ptr<measure::Saved> MeasuredEngine::save(measure::Session& session) {
  if (!savable(model_)) return nullptr;
  if (folder_.empty()) folder_ = temporary_folder(scratch_);
  return std::make_unique<SavedFile>(model_, static_cast<Timed&>(session).past(),
                                     folder_ / fmt::format("{}.safetensors", saved_++), saving_);
}

measure::Description MeasuredEngine::describe() const {
  const model::Card& card = model_.card();
  const bool limited = card.context_is_hard || !beyond_context_;
  return {.name = name_,
          .family = card.family,
          .system = "pkv " + model_.backend().device().describe(),
          .format = std::string(model_.weights().format()),
          .past_format = std::string(pkv::name_of(model_.past_dtype())),
          .vocab = card.vocab,
          .longest = limited ? card.context : 0,
          .longest_is = "the model's context",
          .no_past = card.causal ? "" : "the model attends both ways, so more text changes what came before it",
          .weight_bytes = cost_.weight_bytes,
          .fmas = cost_.fmas,
          .output_fmas = cost_.output_fmas};
}

std::unique_ptr<measure::Session> MeasuredEngine::fresh() { return std::make_unique<Timed>(model_, model_.new_past()); }

double ThisMachine::read_rate() { return 1e9 * kernels::peak::best_read_rate(pool_, memory_); }

double ThisMachine::fma_rate() { return 1e9 * kernels::peak::fma_rate(pool_); }

std::uint64_t resident_at_most() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

// The memory that is read to measure the rate is resident too, and no part of the model's work.
std::uint64_t ThisMachine::peak_memory() { return std::max(before_, resident_at_most() - memory_.size()); }

std::optional<check::Gain> gain_of(const model::Model& model, std::span<const std::int32_t> text,
                                   std::int64_t new_tokens) {
  const std::int64_t prompt = std::ssize(text);
  if (new_tokens == 0 || prompt + new_tokens - 1 > model.card().context) return std::nullopt;
  MeasuredEngine engine(model, "", 1);
  const measure::Result result = measure::run(
      engine, nullptr, text,
      {.new_tokens = new_tokens, .prompt_tokens = {prompt}, .prefix_tokens = {}, .repetitions = 3, .seconds = 0.6});
  if (!result.holds()) return std::nullopt;
  const measure::Ratio faster = result.generation.at(0).faster();
  return check::Gain{.times = faster.times, .error = faster.error, .new_tokens = new_tokens};
}

}  // namespace pkv::subjects
