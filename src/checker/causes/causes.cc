#include "checker/causes/causes.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "base/error.h"
#include "show/columns.h"

namespace pkv::check {
namespace {

using Kind = Cause::Kind;

constexpr std::string_view kMaskCode =
    "how the causal mask is built when there are more keys than queries: it must be anchored at the bottom right";
constexpr std::string_view kPositionCode = "where positions of new tokens come from: past length, then one by one";
constexpr std::string_view kRotaryCode = "where queries and new keys are rotated: once, before the keys are stored";
constexpr std::string_view kAlibiCode = "the length over which the ALiBi bias is built: the past's and the new tokens'";
constexpr std::string_view kLayoutCode = "the layout of stored keys and values: how they are reshaped and transposed";
constexpr std::string_view kFormatCode = "the number format of the cache";
constexpr std::string_view kWindowCode = "the length of the attention window, at its edge above all";
constexpr std::string_view kWriteCode = "where new keys are written: at the past's length, counted before the call";
constexpr std::string_view kBothWays = "is_decoder and the attention mask: what attends to later tokens has no past";

enum Part { alone, mask, places, rotation, bias, content };

// The likeliest first.
constexpr Cause kCauses[] = {
    {"past-absent", "no past was returned, so that the new tokens were computed alone",
     "use_cache and is_decoder in the model's config: some libraries switch the cache off without a word",
     "three of the runs in the article: the returned past is None", Kind::fed, alone, 0, false},
    {"top-left-mask", "the causal mask is anchored at the top left: new token r sees only the first r + 1 keys",
     kMaskCode, "two of the runs in the article; onnx/onnx #8068, tinygrad/tinygrad #15949", Kind::supposed, mask},
    {"past-ignored", "the past is ignored: new tokens see only each other", "whether keys of the past reach attention",
     "", Kind::supposed, mask},
    {"new-tokens-alone", "a past is kept but not read: new tokens are computed as a text of their own",
     "whether past key values are handed to the layers", "", Kind::fed, alone, 0, false},
    {"position-restarted", "positions of new tokens restart at 0", kPositionCode, "huggingface/transformers #22416",
     Kind::supposed, places},
    {"position-one-far", "positions of new tokens are one too far", kPositionCode,
     "tenstorrent/tt-metal #5253, microsoft/onnxruntime-genai #2354", Kind::supposed, places},
    {"position-one-short", "positions of new tokens are one short", kPositionCode, "", Kind::supposed, places},
    {"position-frozen", "all new tokens of a call have the position of its first", kPositionCode, "", Kind::supposed,
     places},
    {"alibi-over-new-tokens", "the ALiBi bias is built over the new tokens only: keys of the past get none", kAlibiCode,
     "keras-team/keras-hub #2861", Kind::supposed, bias},
    {"alibi-missing", "the ALiBi bias is missing", kAlibiCode, "keras-team/keras-hub #2861", Kind::supposed, bias},
    {"rotary-missing", "new tokens are not rotated to their position", kRotaryCode, "", Kind::supposed, rotation},
    {"rotary-twice", "new tokens are rotated twice", kRotaryCode, "", Kind::supposed, rotation},
    {"rotary-interleaved", "new tokens are rotated in pairs of neighbours, the past in halves",
     "which numbers of a head are rotated together: x[i] with x[i + dim/2], or x[2i] with x[2i + 1]", "",
     Kind::supposed, rotation},
    {"query-rotated-late", "queries are rotated by the length after the call, keys by the length before it",
     "whether the past's length has already grown when queries are rotated", "ml-explore/mlx-lm #1097", Kind::supposed,
     rotation},
    {"attends-both-ways", "the model attends to later tokens, so that no past can be exact", kBothWays,
     "the encoder in the article", Kind::supposed, alone, 0, false},
    {"later-tokens-seen", "tokens that follow a past attend to later tokens of their call", kMaskCode, "",
     Kind::supposed, mask},
    {"one-key-too-many", "new tokens see one key beyond their own: the next token's, or an empty place", kWindowCode,
     "ml-explore/mlx-lm #390", Kind::supposed, mask},
    {"last-of-past-lost", "the last token of the past is overwritten by the first new one", kWriteCode, "",
     Kind::supposed, content},
    {"hole-in-past", "between the past and the new tokens an empty place is attended to", kWriteCode,
     "microsoft/onnxruntime-genai #2354", Kind::supposed, content},
    {"rows-and-heads-swapped", "the past is read as [heads, tokens] where it is [tokens, heads]", kLayoutCode, "",
     Kind::supposed, content},
    {"heads-shifted", "each head finds its neighbour's past", kLayoutCode, "", Kind::supposed, content},
    {"values-shifted", "keys of the past find the next token's value", kLayoutCode, "", Kind::supposed, content},
    {"past-in-fp16", "the past is kept in fp16", kFormatCode, "ggml-org/llama.cpp #7859", Kind::supposed, content},
    {"past-in-bf16", "the past is kept in bf16", kFormatCode, "ggml-org/llama.cpp #7859", Kind::supposed, content},
    {"past-in-int8", "the past is kept in int8, a scale for each token and head", kFormatCode, "", Kind::supposed,
     content},
    {"past-of-another-text", "the past is that of another text",
     "how a stored prefix is found: by its tokens, all of them compared, not by length or hash alone",
     "vllm-project/vllm #12621, openvinotoolkit/openvino.genai #3722", Kind::fed},
    {"past-changed-in-place", "a past that was used stays changed: what was fed to its copy is still in it",
     "whether a copy of the past shares lists or memory that are written to", "mosaicml/llm-foundry #652", Kind::fed},
    {"past-not-rewound", "tokens that were taken back are still in the past",
     "how the past is cut: every layer, and the length that masks and positions go by", "", Kind::fed},
    {"rows-not-independent", "a token's logits depend on which other tokens are in its call",
     "activations quantised over the whole call (LLM.int8() outlier columns)", "bitsandbytes' LLM.int8()",
     Kind::supposed, alone, 0, false},
    {"first-dropped", "the first N keys of the past are not seen", "what the cache evicts, and when",
     "ggml-org/llama.cpp #3825", Kind::supposed, mask, 1},
    {"window", "only the last N keys are seen", kWindowCode, "huggingface/transformers #37574", Kind::supposed, mask,
     1},
    {"window-of-call", "only the last N keys are kept before all tokens of the call have seen theirs",
     "when the window moves on: after attention, or for each token by itself", "huggingface/transformers #47708",
     Kind::supposed, mask, 1},
    {"position-stops", "positions of new tokens stop at N", "the length that positions go by: not that of a window",
     "huggingface/transformers #38156", Kind::supposed, places, 1},
    {"position-from-padding", "positions of new tokens count N tokens of padding", kPositionCode,
     "huggingface/transformers #22161, #26137", Kind::supposed, places, 2},
    {"prefix-seen-whole", "the first N tokens attend to each other both ways, so that no past of a part is exact",
     kBothWays, "", Kind::supposed, alone, 2, false},
    {"not-deterministic", "the system gives the same tokens other logits each time",
     "a race, dropout left on, or a kernel that adds in no fixed order", "", Kind::evidence, alone, 0, false},
    {"rounding", "one row and many are computed by different arithmetic, and rounded differently",
     "nothing is wrong; where the same bits are needed: kernels that do not depend on the number of rows",
     "huggingface/transformers #25420", Kind::evidence, alone, 0, false},
};

}  // namespace

std::span<const Cause> all_causes() { return kCauses; }

const Cause& cause_of_name(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kCauses), std::end(kCauses), [&](const Cause& c) { return c.name == name; });
  if (found != std::end(kCauses)) return *found;
  fail_internal({.what = "no such cause", .found = std::string(name)});
}

Explanation explanation_of(std::string_view name, std::string evidence) {
  const Cause& c = cause_of_name(name);
  return {.cause = std::string(c.name),
          .statement = std::string(c.statement),
          .look_at = std::string(c.look_at),
          .reference = std::string(c.reference),
          .evidence = std::move(evidence),
          .confirmed = true,
          .explained = 1};
}

bool confirmed(const Causes& all, std::string_view name) {
  return std::any_of(all.causes.begin(), all.causes.end(),
                     [&](const Explanation& e) { return e.confirmed && e.cause == name; });
}

void add_found(Causes& all, std::string_view name, std::string evidence) {
  if (!confirmed(all, name)) all.causes.push_back(explanation_of(name, std::move(evidence)));
}

void keep_confirmed(Causes& all) {
  const auto certain = [](const Explanation& e) { return e.confirmed; };
  if (std::none_of(all.causes.begin(), all.causes.end(), certain)) return;
  std::erase_if(all.causes, std::not_fn(certain));
}

std::string unknown_cause(const Causes& all) {
  return fmt::format("unknown: none of {} tried explains half of the difference",
                     show::counted(all.causes_tried, "cause"));
}

std::string cost_of_explaining(const Causes& all) {
  if (all.explaining_feeds == 0) return show::counted(all.causes_tried, "cause") + " tried, as recorded";
  return fmt::format("{} tried with {} of {}", show::counted(all.causes_tried, "cause"),
                     show::counted(all.explaining_feeds, "feed"), show::counted(all.explaining_tokens, "token"));
}

}  // namespace pkv::check
