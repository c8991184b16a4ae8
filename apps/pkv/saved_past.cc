#include <fmt/format.h>

#include "base/error.h"
#include "program.h"

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

std::string in_one_line(const Error& error) {
  const Error::Text& t = error.text();
  std::string text = t.where.empty() ? t.what : t.where + ": " + t.what;
  if (!t.expected.empty()) text += fmt::format("; expected {}", t.expected);
  if (!t.found.empty()) text += fmt::format("; found {}", t.found);
  return text;
}

void SavedPastOptions::add(CLI::App& command) {
  auto* given = command.add_option("--past-file", file, "continue from the past saved there (pkv past save)");
  command
      .add_flag("--ignore-unfit-past", ignore_unfit, "go on without the saved past when it does not fit, with a note")
      ->needs(given);
  command.add_flag("--hash-weights", hash_weights, "hash the weights even if their files have not changed since")
      ->needs(given);
  command.add_flag("--trust-past-file", trust_blocks, "do not verify the checksums of its keys and values")
      ->needs(given);
}

model::PastFileOptions SavedPastOptions::past_file_options(int threads) const {
  return {.threads = threads,
          .verify_blocks = !trust_blocks,
          .hash_weights = hash_weights,
          .progress = progress_bar("hashing weights")};
}

std::optional<model::Restored> SavedPastOptions::restore(const model::Model& model,
                                                         std::span<const std::int32_t> prompt, int threads) const {
  try {
    model::Restored restored = model::restore_past(file, model, prompt, past_file_options(threads));
    note(used_text(restored, prompt.size(), file));
    if (trust_blocks) note("the checksums of the saved keys and values were not verified");
    return restored;
  } catch (const Error& error) {
    const bool unfit = error.kind() != Error::Kind::internal && !prompt.empty();  // or the model has no pasts to save
    if (!ignore_unfit || !unfit) throw;
    note("the saved past is not used: " + in_one_line(error));
    return std::nullopt;
  }
}

}  // namespace pkv::program
