#include "models/restore.h"

#include <fmt/format.h>

#include "base/error.h"
#include "terminal/progress.h"
#include "terminal/say.h"

namespace pkv::program {
namespace {

std::string used_text(const model::Restored& r, std::size_t prompt, const std::string& file) {
  const std::int64_t used = r.past.length(), rest = static_cast<std::int64_t>(prompt) - used;
  std::string text = fmt::format("{}: ", file);
  text += used == r.saved ? fmt::format("all {} saved tokens are used", r.saved)
                          : fmt::format("{} of {} saved tokens are used", used, r.saved);
  if (r.common > used) {
    text += ": the prompt ends there, and its last token is fed again";
  } else if (used < r.saved) {
    text += fmt::format(": the prompt goes on with another token at position {}", used);
  }
  return text + fmt::format("; {} to feed", rest);
}

}  // namespace

std::optional<model::Restored> restore(const SavedPastOptions& options, const model::Model& model,
                                       std::span<const std::int32_t> prompt, int threads) {
  try {
    model::Restored restored = model::restore_past(options.file, model, prompt,
                                                   {.threads = threads,
                                                    .verify_blocks = !options.trust_blocks,
                                                    .hash_weights = options.hash_weights,
                                                    .progress = progress_bar("hashing weights")});
    note(used_text(restored, prompt.size(), options.file));
    if (options.trust_blocks) note("the checksums of the saved keys and values were not verified");
    return restored;
  } catch (const Error& error) {
    const bool unfit = error.kind() != Error::Kind::internal && !prompt.empty();  // or the model has no pasts to save
    if (!options.ignore_unfit || !unfit) throw;
    note("the saved past is not used: " + in_one_line(error));
    return std::nullopt;
  }
}

}  // namespace pkv::program
