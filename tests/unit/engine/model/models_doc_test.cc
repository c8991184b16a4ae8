// docs/models.md is made from the list of architectures and the rows: this writes it (PKV_APPROVE=1) or holds it so.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/file.h"
#include "engine/model/arch/decoder.h"
#include "engine/model/architectures.h"
#include "support/places.h"
#include "support/shell.h"

namespace pkv::model {
namespace {

// 2nd, 3rd, 4th, 6th.
std::string nth(std::int64_t n) { return fmt::format("{}{}", n, n == 2 ? "nd" : n == 3 ? "rd" : "th"); }

std::string layers_text(const arch::Row& row) {
  const std::string key = row.layers.key.empty() ? "" : fmt::format(" (`{}`)", row.layers.key);
  switch (row.layers.which) {
    case arch::Layers::full:
      return "all tokens";
    case arch::Layers::windows:
      return "a window, if `sliding_window` says one";
    case arch::Layers::late_windows:
      return "a window in late layers, if `use_sliding_window`";
    case arch::Layers::nth_full:
      return row.layers.full_each == 0
                 ? "a window where `layer_types` says so"
                 : fmt::format("a window in all but each {} layer{}, or by `layer_types`", nth(row.layers.full_each), key);
    case arch::Layers::first_full:
      return fmt::format("a window in all but each {} layer, the first among them", nth(row.layers.full_each));
    case arch::Layers::listed:
      return "a window where `attention_types` says local";
    case arch::Layers::some_unturned:
      return "all tokens; a window in unturned layers, if `use_sliding_window`";
  }
  return "";
}

// How keys lie in the past: turned or not, normalised or not.
std::string keys_text(const arch::Row& row) {
  std::vector<std::string> parts;
  if (row.turn.by == Positions::alibi) parts.emplace_back("as they are (ALiBi)");
  if (row.turn.by == Positions::learned) parts.emplace_back("as they are (learned positions)");
  if (row.turn.by == Positions::rotary) {
    const bool part = row.turn.partial > 0 || !row.turn.dim_key.empty();
    parts.push_back(
        fmt::format("{}turned in {}", part ? "partly " : "", row.turn.neighbours ? "neighbours" : "halves"));
  }
  if (row.turn.local_theta > 0) parts.emplace_back("windows by another base");
  if (row.turn.local_only) parts.emplace_back("only where there is a window");
  if (row.layers.which == arch::Layers::some_unturned) parts.emplace_back("not in all layers");
  if (row.heads.form == arch::Heads::each_turned) parts.emplace_back("then normalised");
  if (row.heads.form != arch::Heads::plain && row.heads.form != arch::Heads::each_turned) {
    parts.push_back(row.heads.key.empty() ? "normalised before"
                                          : fmt::format("normalised before, if `{}`", row.heads.key));
  }
  std::string text;
  for (const std::string& p : parts) text += (text.empty() ? "" : ", ") + p;
  return text;
}

std::string models_text() {
  std::string text =
      "# Models\n\n"
      "Every `model_type` that pkv computes, and what is special about its past. Made from the table of rows\n"
      "([rows.cc](../src/engine/model/arch/rows.cc)) by a test: `PKV_APPROVE=1 ./dev test -R ModelsDoc` writes it.\n\n"
      "Pages of their own: ";
  std::string pages, rows;
  for (const Architecture& a : architectures()) {
    for (const std::string_view type : a.model_types) {
      bool is_row = false;
      for (const arch::Row& row : arch::rows()) is_row = is_row || row.model_type == type;
      if (!is_row) pages += fmt::format("{}`{}`", pages.empty() ? "" : ", ", type);
    }
  }
  for (const arch::Row& row : arch::rows()) {
    rows += fmt::format("| `{}` | {} | {} | {} |\n", row.model_type, row.family, layers_text(row), keys_text(row));
  }
  return text + pages +
         ".\n\nA model inside a larger one (`text_config`: `gemma3`, `mistral3` and others) is computed as its "
         "language "
         "model.\n\n| model_type | family | a token sees | keys in the past are |\n|---|---|---|---|\n" +
         rows +
         "\n## What is refused\n\nBy name, with the key: a `model_type` that is not above (the nearest ones are "
         "named); "
         "kinds of rope other than\n`default`, `linear`, `dynamic` (up to the context), `yarn`, `llama3` and "
         "`longrope` "
         "(by `--longest-text`); activation functions\nwith parameters but xielu; layers other than full and sliding "
         "attention; bidirectional attention; tensors\nthat are missing or have another "
         "shape.\n\nMixtures of experts, latent attention and recurrent layers are not "
         "computed. Their runs can be recorded in Python and judged:\n[recorded.md](recorded.md).\n";
}

TEST(ModelsDoc, IsMadeFromTheTable) {
  const auto file = support::source() / "docs" / "models.md";
  if (std::getenv("PKV_APPROVE") != nullptr) write_file(file, models_text());
  EXPECT_EQ(support::read(file), models_text()) << "PKV_APPROVE=1 writes it anew";
}

}  // namespace
}  // namespace pkv::model
