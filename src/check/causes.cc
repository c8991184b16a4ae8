#include "check/causes.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace pkv::check {
namespace {

using Kind = Cause::Kind;

constexpr std::string_view kMaskCode =
    "how the causal mask is built when there are more keys than queries: it must be anchored at the bottom right";
constexpr std::string_view kPositionCode = "where positions of new tokens come from: past length, then one by one";
constexpr std::string_view kRotaryCode = "where queries and new keys are rotated: once, before the keys are stored";
constexpr std::string_view kAlibiCode = "the length over which the ALiBi bias is built: the past's and the new tokens'";

// Parts: 1 mask, 2 positions, 3 rotation, 4 bias.
constexpr Cause kCauses[] = {
    {"past-absent", "no past was returned, so that the new tokens were computed alone",
     "use_cache and is_decoder in the model's config: some libraries switch the cache off without a word",
     "three of the runs in the article: the returned past is None", Kind::fed},
    {"not-deterministic", "the system gives the same tokens other logits each time",
     "a race, dropout left on, or a kernel that adds in no fixed order", "", Kind::evidence},
    {"rows-not-independent", "a token's logits depend on which other tokens are in its call",
     "activations quantised over the whole call (LLM.int8() outlier columns)", "bitsandbytes' LLM.int8()",
     Kind::evidence},
    {"attends-both-ways", "the model attends to later tokens, so that no past can be exact",
     "is_decoder and the attention mask: an encoder cannot reuse a past", "the encoder in the article", Kind::evidence},
    {"past-ignored", "the past is ignored: new tokens see only each other", "whether keys of the past reach attention",
     "", Kind::supposed, 1},
    {"new-tokens-alone", "a past is kept but not read: new tokens are computed as a text of their own",
     "whether past key values are handed to the layers", "", Kind::fed},
    {"top-left-mask", "the causal mask is anchored at the top left: new token r sees only the first r + 1 keys",
     kMaskCode, "two of the runs in the article; onnx/onnx #8068, tinygrad/tinygrad #15949", Kind::supposed, 1},
    {"later-tokens-seen", "tokens that follow a past attend to later tokens of their call", kMaskCode, "",
     Kind::supposed, 1},
    {"position-restarted", "positions of new tokens restart at 0", kPositionCode, "huggingface/transformers #22416",
     Kind::supposed, 2},
    {"position-one-far", "positions of new tokens are one too far", kPositionCode,
     "tenstorrent/tt-metal #5253, ml-explore/mlx-lm #1097", Kind::supposed, 2},
    {"position-one-short", "positions of new tokens are one short", kPositionCode, "", Kind::supposed, 2},
    {"rotary-missing", "new tokens are not rotated to their position", kRotaryCode, "", Kind::supposed, 3},
    {"rotary-twice", "new tokens are rotated twice", kRotaryCode, "", Kind::supposed, 3},
    {"alibi-over-new-tokens", "the ALiBi bias is built over the new tokens only: keys of the past get none", kAlibiCode,
     "keras-team/keras-hub #2861", Kind::supposed, 4},
    {"alibi-missing", "the ALiBi bias is missing", kAlibiCode, "keras-team/keras-hub #2861", Kind::supposed, 4},
    {"heads-shifted", "each head finds its neighbour's past", "the layout of stored keys and values: heads are swapped",
     "", Kind::supposed},
    {"past-in-fp16", "the past is kept in fp16", "the number format of the cache", "ggml-org/llama.cpp #7859",
     Kind::supposed},
    {"past-in-bf16", "the past is kept in bf16", "the number format of the cache", "ggml-org/llama.cpp #7859",
     Kind::supposed},
    {"first-dropped", "the first N keys of the past are not seen", "what the cache evicts, and when",
     "ggml-org/llama.cpp #3825", Kind::supposed, 1, 1},
    {"window", "only the last N keys are seen", "the length of the attention window, at its edge above all",
     "huggingface/transformers #37574, ml-explore/mlx-lm #390", Kind::supposed, 1, 1},
    {"past-of-another-text", "the past is that of another text",
     "how a stored prefix is found: by its tokens, all of them compared, not by length or hash alone",
     "vllm-project/vllm #12621, openvinotoolkit/openvino.genai #3722", Kind::fed},
    {"past-changed-in-place", "a past that was used stays changed: what was fed to its copy is still in it",
     "whether a copy of the past shares lists or memory that are written to", "mosaicml/llm-foundry #652", Kind::fed},
    {"past-not-rewound", "tokens that were taken back are still in the past",
     "how the past is cut: every layer, and the length that masks and positions go by", "", Kind::fed},
    {"rounding", "one row and many are computed by different arithmetic, and rounded differently",
     "nothing is wrong; where the same bits are needed: kernels that do not depend on the number of rows",
     "huggingface/transformers #25420", Kind::evidence},
};

}  // namespace

std::span<const Cause> all_causes() { return kCauses; }

const Cause& cause_of_name(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kCauses), std::end(kCauses), [&](const Cause& c) { return c.name == name; });
  if (found != std::end(kCauses)) return *found;
  fail_internal({.what = "no such cause", .found = std::string(name)});
}

}  // namespace pkv::check
