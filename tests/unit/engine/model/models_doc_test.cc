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

std::string_view name_of(arch::Mixer mixer) {
  return mixer == arch::Mixer::convolution ? "short convolutions"
         : mixer == arch::Mixer::delta     ? "gated delta nets"
                                           : "scans";
}

// Which layers attend, of a family of which some do not.
std::string mixed_text(const arch::Row& row) {
  const auto& m = row.mixer;
  if (m.type.empty() && m.listed.empty()) return "nothing but what scans keep, in all layers";
  std::string where =
      m.type.empty() ? fmt::format("where `{}` lists the layer", m.listed) : "where `layer_types` says full_attention";
  if (!m.type.empty() && !m.listed.empty()) where += fmt::format(" (without it where `{}` does, or in all)", m.listed);
  if (!m.each.empty()) where += fmt::format(" (without it in each {}, `{}`)", nth(m.absent), m.each);
  return fmt::format("all tokens, {}; in other layers what {} keep", where, name_of(m.which));
}

std::string window_text(const arch::Row& row) {
  if (row.mixer.which != arch::Mixer::none) return mixed_text(row);
  const std::string key = row.layers.key.empty() ? "" : fmt::format(" (`{}`)", row.layers.key);
  switch (row.layers.which) {
    case arch::Layers::full:
      return "all tokens";
    case arch::Layers::windows:
      return "a window, if `sliding_window` says one";
    case arch::Layers::used_windows:
      return "a window, if `use_sliding_window`";
    case arch::Layers::early_windows:
      return "a window in each other early layer, if `use_sliding_window`";
    case arch::Layers::late_windows:
      return "a window in late layers, if `use_sliding_window`";
    case arch::Layers::nth_full:
      return row.layers.full_each == 0 ? "a window where `layer_types` says so"
                                       : fmt::format("a window in all but each {} layer{}, or by `layer_types`",
                                                     nth(row.layers.full_each), key);
    case arch::Layers::first_full:
      return fmt::format("a window in all but each {} layer, the first among them", nth(row.layers.full_each));
    case arch::Layers::listed:
      return "a window where `attention_types` says local";
    case arch::Layers::some_unturned:
      return "all tokens; a window in unturned layers, if `use_sliding_window`";
  }
  return "";
}

std::string layers_text(const arch::Row& row) {
  return window_text(row) + (row.names.sinks.empty() ? "" : "; and a sink");
}

// What stands in an MLP's place.
std::string experts_text(const arch::Row& row) {
  if (row.experts.keys.count.empty()) return "";
  std::string text = "chosen by ";
  switch (row.experts.by) {
    case kernels::Routing::By::softmax:
      text += "softmax";
      break;
    case kernels::Routing::By::sigmoid:
      text += "sigmoid";
      break;
    case kernels::Routing::By::of_chosen:
      text += "score";
      break;
    case kernels::Routing::By::sparse_mixer:
      text += "sparse mixer";
      break;
  }
  if (!row.experts.names.bias.empty()) text += " and a bias";
  if (row.experts.grouped) text += ", by groups";
  if (!row.experts.keys.shared.empty() || !row.experts.keys.shared_inner.empty()) text += "; a shared one";
  if (row.experts.dense != arch::Dense::none) text += "; not in all layers";
  return text;
}

// How keys lie in the past: turned or not, normalised or not.
std::string keys_text(const arch::Row& row) {
  std::vector<std::string> parts;
  if (row.turn.by == Positions::none) parts.emplace_back("not there");
  if (row.turn.by == Positions::alibi) parts.emplace_back("as they are (ALiBi)");
  if (row.turn.by == Positions::learned) parts.emplace_back("as they are (learned positions)");
  if (row.turn.by == Positions::rotary) {
    const bool part = row.turn.partial > 0 || !row.turn.dim_key.empty();
    parts.push_back(
        fmt::format("{}turned in {}", part ? "partly " : "", row.turn.neighbours ? "neighbours" : "halves"));
  }
  if (!row.turn.by_key.empty()) parts.push_back(fmt::format("if `{}` is rope", row.turn.by_key));
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

std::string states_text() {
  std::string text =
      "\n## Layers that keep a state\n\n"
      "A state has the same size however long the text, and cannot be cut. What that means for a past:\n\n"
      "| model_type | a layer keeps, in fp32 | for example |\n|---|---|---|\n";
  for (const arch::Row& row : arch::rows()) {
    if (row.mixer.which == arch::Mixer::convolution) {
      text += fmt::format(
          "| `{}` | the last `conv_L_cache` - 1 inputs of `hidden_size` numbers | LFM2-350M's shape: 10 layers of 8 "
          "KiB, "
          "80 KiB; keys and values of 6 layers, 12 KiB a token in bf16 |\n",
          row.model_type);
    }
    if (row.mixer.which == arch::Mixer::scan) {
      text += fmt::format(
          "| `{}` | the last inputs of a convolution over x, B and C, one less than its taps, and a matrix "
          "`state_size` x "
          "`head_dim` for each head (in hybrids `mamba_d_state`, `mamba_d_head`) | 128 heads of 64 with a state of "
          "128: "
          "4.1 MiB a layer |\n",
          row.model_type);
    }
    if (row.mixer.which == arch::Mixer::delta) {
      text += fmt::format(
          "| `{}` | the last `linear_conv_kernel_dim` - 1 inputs of all queries, keys and values, and a matrix "
          "`linear_key_head_dim` x `linear_value_head_dim` for each of `linear_num_value_heads` | Qwen3.5-0.8B's "
          "shape: 18 "
          "layers of 1.07 MiB, 19.3 MiB; keys and values of 6 layers, 12 KiB a token in bf16 |\n",
          row.model_type);
    }
  }
  return text +
         "\n- **Going back** (`Past::truncate`, a prompt that parts from a saved one) restores the nearest snapshot "
         "before that place\n  and computes the tokens after it again: the same bits, at the price of their time. "
         "Snapshots are kept after calls of several\n  tokens, at forks, and every 1,024 tokens, up to 1 GiB for a "
         "text; "
         "of more those go that lie closest to others. Each costs what\n  a state does. `LoadOptions::snapshots` sets "
         "both numbers.\n"
         "- **Forks** share a state until one of them goes on, which writes a new one: a fork costs nothing, its first "
         "token "
         "a state.\n"
         "- **A forward that fails** leaves the old state: the new one is written beside it.\n"
         "- **Feeding in pieces** gives the same bits, since the recurrence is computed token by token in one order, "
         "not in "
         "chunks\n  as by transformers. From that, logits part by about 2e-5 of their size.\n"
         "- **Saved pasts** hold the state and the snapshots ([pasts.md](pasts.md)).\n";
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
    rows += fmt::format("| `{}` | {} | {} | {} | {} |\n", row.model_type, row.family, layers_text(row), keys_text(row),
                        experts_text(row));
  }
  return text + pages +
         ".\n\nA model inside a larger one (`text_config`: `gemma3`, `mistral3` and others) is computed as its "
         "language "
         "model.\n\nOf experts those that a router chooses for a token are summed in the order of their numbers; of "
         "equal scores "
         "the lower\nnumber is chosen. The past knows nothing of them: it is keys and values, as of any decoder.\n\n"
         "| model_type | family | a token sees | keys in the past are | experts |\n|---|---|---|---|---|\n" +
         rows + states_text() +
         "\n## What is refused\n\nBy name, with the key: a `model_type` that is not above (the nearest ones are "
         "named); "
         "kinds of rope other than\n`default`, `linear`, `dynamic` (up to the context), `yarn`, `llama3` and "
         "`longrope` "
         "(by `--longest-text`); activation functions\nwith parameters but xielu; kinds of layers that are not above; "
         "bidirectional attention; tensors\nthat are missing or have another "
         "shape.\n\nLatent attention and other recurrent layers are not "
         "computed. Their runs can be recorded in Python and judged:\n[recorded.md](recorded.md).\n";
}

TEST(ModelsDoc, IsMadeFromTheTable) {
  const auto file = support::source() / "docs" / "models.md";
  if (std::getenv("PKV_APPROVE") != nullptr) write_file(file, models_text());
  EXPECT_EQ(support::read(file), models_text()) << "PKV_APPROVE=1 writes it anew";
}

}  // namespace
}  // namespace pkv::model
