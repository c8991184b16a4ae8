// THE list of causes.
#include <algorithm>
#include <array>

#include "checker/causes/cause.h"
#include "checker/run/evidence.h"
#include "checker/run/replay.h"

namespace pkv::check {
namespace {

using Texts = Cause::Texts;

// Where to look, of several causes.
constexpr std::string_view kMaskCode =
    "how the causal mask is built when there are more keys than queries: it must be anchored at the bottom right";
constexpr std::string_view kPositionCode = "where positions of new tokens come from: past length, then one by one";
constexpr std::string_view kRotaryCode = "where queries and new keys are rotated: once, before the keys are stored";
constexpr std::string_view kAlibiCode = "the length over which the ALiBi bias is built: the past's and the new tokens'";
constexpr std::string_view kLayoutCode = "the layout of stored keys and values: how they are reshaped and transposed";
constexpr std::string_view kFormatCode = "the number format of the cache";
constexpr std::string_view kWindowCode = "the length of the attention window, at its edge above all";
constexpr std::string_view kLayerCode = "which mask, and which table of angles, a layer is handed once there is a past";
constexpr std::string_view kWriteCode = "where new keys are written: at the past's length, counted before the call";
constexpr std::string_view kBothWays = "is_decoder and the attention mask: what attends to later tokens has no past";

// Which models have what a cause needs. Positions are but distances to ALiBi, which has causes of its own.
bool is_causal(const Traits& t) { return t.causal; }
bool has_places(const Traits& t) { return t.causal && !t.alibi; }
bool turns(const Traits& t) { return t.causal && t.rotary; }
bool biased(const Traits& t) { return t.causal && t.alibi; }
bool by_layer(const Traits& t) { return t.causal && t.turns_by_layer; }
bool by_length(const Traits& t) { return t.causal && t.turns_by_length; }
bool with_head_norms(const Traits& t) { return t.causal && t.head_norms; }
bool with_caps(const Traits& t) { return t.causal && t.caps_scores; }
bool with_windows(const Traits& t) { return t.causal && t.windows; }
bool with_some_windows(const Traits& t) { return t.causal && t.some_windows; }
bool many_heads(const Traits& t) { return t.causal && t.kv_heads > 1; }

// What a program can be handed when it is recorded.
constexpr Cause::Recorded kMaskHandedOver{.honoured = "right_mask"};
constexpr Cause::Recorded kPositionsHandedOver{.honoured = "right_positions"};
constexpr Cause::Recorded kPastEdited{.honoured = "right_copy", .only = true};
constexpr Cause::Recorded kMaskedInRecordings{.honoured = "right_mask", .only = true};

// What is fed instead.
using TokenIds = std::vector<std::int32_t>;

TokenIds with_new_tokens(TokenIds before, const Observation& call) {
  before.insert(before.end(), call.ids.begin() + call.past, call.ids.end());
  return before;
}

Texts as_a_text_of_its_own(const Observation& call) {
  if (call.method != Method::pieces) return {};
  return {with_new_tokens({}, call)};
}

// The other text's past, or that of the text's end, which was fed alone. Where the right logits came, no text was
// mistaken for another.
Texts after_another_text(const Observation& call) {
  if (has_company(call.method) || largest_distance(call.right, call.faulty) == 0) return {};
  Texts texts;
  if (std::ssize(call.other) >= call.past) {
    texts.push_back(with_new_tokens({call.other.begin(), call.other.begin() + call.past}, call));
  }
  if (std::ssize(call.text) >= call.past) {
    texts.push_back(with_new_tokens({call.text.end() - call.past, call.text.end()}, call));
  }
  return texts;
}

Texts after_all_that_was_fed(const Observation& call) {
  return {with_new_tokens(ever_fed(call.ids, call.other, call.past, call.method), call)};
}

Texts after_all_of_a_fork(const Observation& call) {
  return forks(call.method) ? after_all_that_was_fed(call) : Texts{};
}

Texts after_all_rewound(const Observation& call) {
  return rewinds(call.method) ? after_all_that_was_fed(call) : Texts{};
}

constexpr Cause kCauses[] = {
    {.id = CauseId::past_absent,
     .name = "past-absent",
     .statement = "no past was returned, so that the new tokens were computed alone",
     .look_at = "use_cache and is_decoder in the model's config: some libraries switch the cache off without a word",
     .reference = "three of the runs in the article: the returned past is None",
     .fed_instead = as_a_text_of_its_own,
     .where_none_kept = true,
     .reads_past = false,
     .recorded = {.suppose = "new-tokens-alone"}},
    {.id = CauseId::top_left_mask,
     .name = "top-left-mask",
     .statement = "the causal mask is anchored at the top left: new token r sees only the first r + 1 keys",
     .look_at = kMaskCode,
     .reference = "two of the runs in the article; onnx/onnx #8068, tinygrad/tinygrad #15949",
     .supposed = true,
     .group = Group::mask,
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::past_ignored,
     .name = "past-ignored",
     .statement = "the past is ignored: new tokens see only each other",
     .look_at = "whether keys of the past reach attention",
     .supposed = true,
     .group = Group::mask,
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::new_tokens_alone,
     .name = "new-tokens-alone",
     .statement = "a past is kept but not read: new tokens are computed as a text of their own",
     .look_at = "whether past key values are handed to the layers",
     .fed_instead = as_a_text_of_its_own,
     .reads_past = false},
    {.id = CauseId::position_restarted,
     .name = "position-restarted",
     .statement = "positions of new tokens restart at 0",
     .look_at = kPositionCode,
     .reference = "huggingface/transformers #22416",
     .supposed = true,
     .group = Group::places,
     .fits = has_places,
     .recorded = kPositionsHandedOver},
    {.id = CauseId::position_one_far,
     .name = "position-one-far",
     .statement = "positions of new tokens are one too far",
     .look_at = kPositionCode,
     .reference = "tenstorrent/tt-metal #5253, microsoft/onnxruntime-genai #2354",
     .supposed = true,
     .group = Group::places,
     .fits = has_places,
     .recorded = kPositionsHandedOver},
    {.id = CauseId::position_one_short,
     .name = "position-one-short",
     .statement = "positions of new tokens are one short",
     .look_at = kPositionCode,
     .supposed = true,
     .group = Group::places,
     .fits = has_places,
     .recorded = kPositionsHandedOver},
    {.id = CauseId::position_frozen,
     .name = "position-frozen",
     .statement = "all new tokens of a call have the position of its first",
     .look_at = kPositionCode,
     .supposed = true,
     .group = Group::places,
     .fits = has_places,
     .recorded = kPositionsHandedOver},
    {.id = CauseId::alibi_over_new_tokens,
     .name = "alibi-over-new-tokens",
     .statement = "the ALiBi bias is built over the new tokens only: keys of the past get none",
     .look_at = kAlibiCode,
     .reference = "keras-team/keras-hub #2861",
     .supposed = true,
     .group = Group::bias,
     .fits = biased,
     .recorded = kMaskHandedOver},
    {.id = CauseId::alibi_missing,
     .name = "alibi-missing",
     .statement = "the ALiBi bias is missing",
     .look_at = kAlibiCode,
     .reference = "keras-team/keras-hub #2861",
     .supposed = true,
     .group = Group::bias,
     .fits = biased,
     .recorded = kMaskHandedOver},
    {.id = CauseId::rotary_missing,
     .name = "rotary-missing",
     .statement = "new tokens are not rotated to their position",
     .look_at = kRotaryCode,
     .supposed = true,
     .group = Group::rotation,
     .fits = turns,
     .recorded = kMaskHandedOver},
    {.id = CauseId::rotary_twice,
     .name = "rotary-twice",
     .statement = "new tokens are rotated twice",
     .look_at = kRotaryCode,
     .supposed = true,
     .group = Group::rotation,
     .fits = turns,
     .recorded = kMaskHandedOver},
    {.id = CauseId::rotary_interleaved,
     .name = "rotary-interleaved",
     .statement = "new tokens are rotated in pairs of neighbours, the past in halves",
     .look_at = "which numbers of a head are rotated together: x[i] with x[i + dim/2], or x[2i] with x[2i + 1]",
     .supposed = true,
     .group = Group::rotation,
     .fits = turns,
     .recorded = kMaskHandedOver},
    {.id = CauseId::query_rotated_late,
     .name = "query-rotated-late",
     .statement = "queries are rotated by the length after the call, keys by the length before it",
     .look_at = "whether the past's length has already grown when queries are rotated",
     .reference = "ml-explore/mlx-lm #1097",
     .supposed = true,
     .group = Group::rotation,
     .fits = turns,
     .recorded = kMaskHandedOver},
    {.id = CauseId::rope_of_other_layers,
     .name = "rope-of-other-layers",
     .statement = "new tokens are rotated as in layers of the other kind",
     .look_at = kLayerCode,
     .supposed = true,
     .group = Group::rotation,
     .fits = by_layer,
     .recorded = kMaskHandedOver},
    {.id = CauseId::rope_of_length,
     .name = "rope-of-length",
     .statement =
         "each call's tokens are rotated by the length that the text has then; those of the past stay as they are",
     .look_at =
         "when frequencies change with the text's length (longrope, dynamic): for a whole text, or from one call to "
         "the next",
     .reference = "huggingface/transformers 5.24, phi3",
     .supposed = true,
     .reads_past = false,
     .fits = by_length,
     .recorded = kMaskHandedOver},
    {.id = CauseId::head_norms_missing,
     .name = "head-norms-missing",
     .statement = "queries and keys of new tokens are not normalised",
     .look_at = "the order of norm, rotation and past in attention, on the path of a step",
     .supposed = true,
     .fits = with_head_norms,
     .recorded = kMaskHandedOver},
    {.id = CauseId::soft_cap_missing,
     .name = "soft-cap-missing",
     .statement = "attention scores of new tokens are not capped",
     .look_at = "whether the attention that reads a past is handed the cap (attn_logit_softcapping)",
     .supposed = true,
     .fits = with_caps,
     .recorded = kMaskHandedOver},
    {.id = CauseId::windows_missing,
     .name = "windows-missing",
     .statement = "layers with a window see the whole past",
     .look_at = kLayerCode,
     .supposed = true,
     .group = Group::mask,
     .fits = with_windows,
     .recorded = kMaskHandedOver},
    {.id = CauseId::windows_swapped,
     .name = "windows-swapped",
     .statement = "layers with a window see the whole past, and those without see the window",
     .look_at = kLayerCode,
     .supposed = true,
     .group = Group::mask,
     .fits = with_some_windows,
     .recorded = kMaskHandedOver},
    {.id = CauseId::attends_both_ways,
     .name = "attends-both-ways",
     .statement = "the model attends to later tokens, so that no past can be exact",
     .look_at = kBothWays,
     .reference = "the encoder in the article",
     .supposed = true,
     .reads_past = false,
     .recorded = kMaskHandedOver},
    {.id = CauseId::later_tokens_seen,
     .name = "later-tokens-seen",
     .statement = "tokens that follow a past attend to later tokens of their call",
     .look_at = kMaskCode,
     .supposed = true,
     .group = Group::mask,
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::one_key_too_many,
     .name = "one-key-too-many",
     .statement = "new tokens see one key beyond their own: the next token's, or an empty place",
     .look_at = kWindowCode,
     .reference = "ml-explore/mlx-lm #390",
     .supposed = true,
     .group = Group::mask,
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::own_key_unseen,
     .name = "own-key-unseen",
     .statement = "new tokens do not see their own key",
     .look_at = kWriteCode,
     .fits = is_causal,
     .recorded = kMaskedInRecordings},
    {.id = CauseId::last_of_past_lost,
     .name = "last-of-past-lost",
     .statement = "the last token of the past is overwritten by the first new one",
     .look_at = kWriteCode,
     .supposed = true,
     .group = Group::content,
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::hole_in_past,
     .name = "hole-in-past",
     .statement = "between the past and the new tokens an empty place is attended to",
     .look_at = kWriteCode,
     .reference = "microsoft/onnxruntime-genai #2354",
     .supposed = true,
     .group = Group::content,
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::rows_and_heads_swapped,
     .name = "rows-and-heads-swapped",
     .statement = "the past is read as [heads, tokens] where it is [tokens, heads]",
     .look_at = kLayoutCode,
     .supposed = true,
     .group = Group::content,
     .fits = many_heads,
     .recorded = kMaskHandedOver},
    {.id = CauseId::heads_shifted,
     .name = "heads-shifted",
     .statement = "each head finds its neighbour's past",
     .look_at = kLayoutCode,
     .supposed = true,
     .group = Group::content,
     .fits = many_heads,
     .recorded = kMaskHandedOver},
    {.id = CauseId::values_shifted,
     .name = "values-shifted",
     .statement = "keys of the past find the next token's value",
     .look_at = kLayoutCode,
     .supposed = true,
     .group = Group::content,
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::keys_and_values_swapped,
     .name = "keys-and-values-swapped",
     .statement = "the past's keys are read as its values, and its values as keys",
     .look_at = kLayoutCode,
     .fits = is_causal,
     .recorded = kPastEdited},
    {.id = CauseId::heads_tiled,
     .name = "heads-tiled",
     .statement = "queries that share a head are dealt out one by one, not in groups: each reads another's keys",
     .look_at = "how keys are repeated for the queries that share them: each head several times, not all in turn",
     .fits = many_heads,
     .recorded = kPastEdited},
    {.id = CauseId::past_in_fp16,
     .name = "past-in-fp16",
     .statement = "the past is kept in fp16",
     .look_at = kFormatCode,
     .reference = "ggml-org/llama.cpp #7859",
     .supposed = true,
     .group = Group::content,
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::past_in_bf16,
     .name = "past-in-bf16",
     .statement = "the past is kept in bf16",
     .look_at = kFormatCode,
     .reference = "ggml-org/llama.cpp #7859",
     .supposed = true,
     .group = Group::content,
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::past_in_int8,
     .name = "past-in-int8",
     .statement = "the past is kept in int8, a scale for each token and head",
     .look_at = kFormatCode,
     .supposed = true,
     .group = Group::content,
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::past_in_int4,
     .name = "past-in-int4",
     .statement = "the past is kept in int4",
     .look_at = kFormatCode,
     .fits = is_causal,
     .recorded = kPastEdited},
    {.id = CauseId::past_in_fp8,
     .name = "past-in-fp8",
     .statement = "the past is kept in fp8",
     .look_at = kFormatCode,
     .reference = "vllm-project/vllm #13133",
     .fits = is_causal,
     .recorded = kPastEdited},
    {.id = CauseId::scores_scaled,
     .name = "scores-scaled",
     .statement = "after a past the scores of attention have another scale",
     .look_at = "the scale of attention: whether it follows the length of the call, or of the past",
     .fits = is_causal,
     .recorded = kPastEdited},
    {.id = CauseId::past_of_another_text,
     .name = "past-of-another-text",
     .statement = "the past is that of another text",
     .look_at = "how a stored prefix is found: by its tokens, all of them compared, not by length or hash alone",
     .reference = "vllm-project/vllm #12621, openvinotoolkit/openvino.genai #3722",
     .fed_instead = after_another_text},
    {.id = CauseId::past_changed_in_place,
     .name = "past-changed-in-place",
     .statement = "a past that was used stays changed: what was fed to its copy is still in it",
     .look_at = "whether a copy of the past shares lists or memory that are written to",
     .reference = "mosaicml/llm-foundry #652",
     .fed_instead = after_all_of_a_fork},
    {.id = CauseId::past_not_rewound,
     .name = "past-not-rewound",
     .statement = "tokens that were taken back are still in the past",
     .look_at = "how the past is cut: every layer, and the length that masks and positions go by",
     .fed_instead = after_all_rewound},
    {.id = CauseId::past_shared,
     .name = "past-shared",
     .statement = "pasts of two texts share memory: what is fed to one changes the other",
     .look_at = "buffers that outlive a text (static caches, pages freed too early), and states kept in the module"},
    {.id = CauseId::batch_rows_mixed,
     .name = "batch-rows-mixed",
     .statement = "in a batch a text goes on from the past of another",
     .look_at = "the order of the batch's rows in the past: reordering after beam search, pages looked up by row"},
    {.id = CauseId::rows_not_reordered,
     .name = "rows-not-reordered",
     .statement = "the rows of a batch were reordered, and each keeps the past that it had",
     .look_at = "reordering after beam search: every layer's keys and values, and what pages are looked up by",
     .recorded = {.only = true}},
    {.id = CauseId::one_token_call,
     .name = "one-token-call",
     .statement = "after a past, calls of one token go wrong; the same tokens in a call of several do not",
     .look_at = "what only calls of one token take: the kernel for one query, its blocks and its last, partial one",
     .recorded = {.only = true}},
    {.id = CauseId::several_token_call,
     .name = "several-token-call",
     .statement = "after a past, calls of several tokens go wrong; the same tokens one at a time do not",
     .look_at = "what only calls of several tokens after a past take: masks, states, kernels for many queries",
     .recorded = {.only = true}},
    {.id = CauseId::rows_not_independent,
     .name = "rows-not-independent",
     .statement = "a token's logits depend on which other tokens are in its call",
     .look_at = "activations quantised over the whole call (LLM.int8() outlier columns)",
     .reference = "bitsandbytes' LLM.int8()",
     .supposed = true,
     .reads_past = false,
     .recorded = kMaskHandedOver},
    {.id = CauseId::first_dropped,
     .name = "first-dropped",
     .statement = "the first N keys of the past are not seen",
     .look_at = "what the cache evicts, and when",
     .reference = "ggml-org/llama.cpp #3825",
     .supposed = true,
     .group = Group::mask,
     .number = {.least = 1, .example = 1},
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::window,
     .name = "window",
     .statement = "only the last N keys are seen",
     .look_at = kWindowCode,
     .reference = "huggingface/transformers #37574",
     .supposed = true,
     .group = Group::mask,
     .number = {.least = 1, .example = 4, .last_keys = true},
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::layer_window,
     .name = "layer-window",
     .statement = "layers with a window see the last N keys",
     .look_at = kWindowCode,
     .supposed = true,
     .group = Group::mask,
     .number = {.least = 1, .example = 4, .last_keys = true},
     .fits = with_some_windows,
     .recorded = kMaskHandedOver},
    {.id = CauseId::window_of_call,
     .name = "window-of-call",
     .statement = "only the last N keys are kept before all tokens of the call have seen theirs",
     .look_at = "when the window moves on: after attention, or for each token by itself",
     .reference = "huggingface/transformers #47708",
     .supposed = true,
     .group = Group::mask,
     .number = {.least = 1, .example = 4},
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::keys_lost,
     .name = "keys-lost",
     .statement = "a part of the past, from its key N on, is not seen",
     .look_at = "pages of the past: which are looked up, which are freed too early; a kernel's last, partial block",
     .reference = "huggingface/text-generation-inference #2489",
     .number = {.least = 1, .example = 2},
     .fits = is_causal,
     .recorded = kMaskedInRecordings},
    {.id = CauseId::zeros_in_past,
     .name = "zeros-in-past",
     .statement = "a part of the past, from its key N on, reads as zeros, which are attended to",
     .look_at = "pages of the past that were never filled, or freed; padding that the mask does not hide",
     .number = {.least = 1, .example = 2},
     .fits = is_causal,
     .recorded = kPastEdited},
    {.id = CauseId::ring_out_of_order,
     .name = "ring-out-of-order",
     .statement = "keys of the past find values N further round",
     .look_at = "where a ring of keys and one of values begin",
     .reference = "huggingface/transformers #47708",
     .number = {.least = 2, .example = 2},
     .fits = is_causal,
     .recorded = kPastEdited},
    {.id = CauseId::layer_ignores_past,
     .name = "layer-ignores-past",
     .statement = "one layer ignores the past, the others do not",
     .look_at = "what that layer does otherwise: its index in the cache, its kind of attention",
     .fits = is_causal,
     .recorded = kMaskedInRecordings},
    {.id = CauseId::head_ignores_past,
     .name = "head-ignores-past",
     .statement = "one head of one layer ignores the past, the others do not",
     .look_at = "the head's place in the cache and in the kernel",
     .fits = is_causal,
     .recorded = kMaskedInRecordings},
    {.id = CauseId::position_stops,
     .name = "position-stops",
     .statement = "positions of new tokens stop at N",
     .look_at = "the length that positions go by: not that of a window",
     .reference = "huggingface/transformers #38156",
     .supposed = true,
     .group = Group::places,
     .number = {.least = 1, .example = 8},
     .fits = has_places,
     .recorded = kPositionsHandedOver},
    {.id = CauseId::position_from_padding,
     .name = "position-from-padding",
     .statement = "positions of new tokens count N tokens of padding",
     .look_at = kPositionCode,
     .reference = "huggingface/transformers #22161, #26137",
     .supposed = true,
     .group = Group::places,
     .number = {.least = 2, .example = 3},
     .fits = has_places,
     .recorded = kPositionsHandedOver},
    {.id = CauseId::prefix_seen_whole,
     .name = "prefix-seen-whole",
     .statement = "the first N tokens attend to each other both ways, so that no past of a part is exact",
     .look_at = kBothWays,
     .supposed = true,
     .number = {.least = 2, .example = 4},
     .reads_past = false,
     .fits = is_causal,
     .recorded = kMaskHandedOver},
    {.id = CauseId::not_deterministic,
     .name = "not-deterministic",
     .statement = "the system gives the same tokens other logits each time",
     .look_at = "a race, dropout left on, or a kernel that adds in no fixed order",
     .reads_past = false},
    {.id = CauseId::rounding,
     .name = "rounding",
     .statement = "one row and many are computed by different arithmetic, and rounded differently",
     .look_at = "nothing is wrong; where the same bits are needed: kernels that do not depend on the number of rows",
     .reference = "huggingface/transformers #25420",
     .reads_past = false},
};

constexpr std::size_t place(CauseId id) { return static_cast<std::size_t>(id); }

constexpr bool in_order() {
  for (std::size_t i = 0; i < std::size(kCauses); ++i) {
    if (place(kCauses[i].id) != i) return false;
  }
  return true;
}
static_assert(in_order(), "rows stand in the order of CauseId");
static_assert(std::size(kCauses) == place(CauseId::rounding) + 1, "every CauseId has a row");

}  // namespace

std::span<const Cause> all_causes() { return kCauses; }

const Cause& cause_of(CauseId id) { return kCauses[place(id)]; }

const Cause* find_cause(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kCauses), std::end(kCauses), [&](const Cause& c) { return c.name == name; });
  return found == std::end(kCauses) ? nullptr : found;
}

}  // namespace pkv::check
