"""The cases of golden_cases.py for the decoders that share one forward, and their records for golden_families.py.

A family is a line in KINDS and at least three cases: odd shapes, every option of its row reached. `matters` names config
keys with other values under which the logits must part, or the case is refused: a window that hides nothing and a rope
whose branches no frequency takes would be goldens that prove nothing. Only some rows of logits and hidden states are
kept, and weights in 16 bits; a twin's folder holds a config alone and links to the other files.
"""

import zlib
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
import transformers
from transformers.models.bloom import modeling_bloom

import golden_families
from golden_families import Family, replaced


@dataclass(frozen=True)
class Kind:
    """What is particular about a family's weights."""
    one_more: bool = False  # norms are stored less 1
    fused: str = ""         # the name of a product of queries, keys and values, in this order
    groups: bool = False    # where each head has its own three, one after the other
    shards: bool = False    # where each quarter of the heads has queries, values and keys


KINDS = {name: Kind() for name in """llama mistral ministral qwen2 qwen3 smollm3 seed_oss cwm granite arcee helium ernie4_5
    hunyuan_v1_dense olmo olmo2 olmo3 exaone exaone4 glm glm4 internlm3 ministral3 starcoder2 stablelm cohere cohere2 gptj
    phi apertus opt gpt_neo jais2 iquestcoder lfm2
    mamba2 bamba granitemoehybrid""".split()}
KINDS |= {name: Kind(one_more=True) for name in ("gemma", "gemma2", "gemma3_text", "vaultgemma", "nemotron",
                                                 "qwen3_5_text")}
KINDS |= {"bloom": Kind(fused="query_key_value", groups=True), "gpt_bigcode": Kind(fused="c_attn")}
KINDS |= {"codegen": Kind(fused="qkv_proj", shards=True)}
KINDS |= {"phi3": Kind(fused="qkv_proj"), "gpt_neox": Kind(fused="query_key_value", groups=True)}


def queries_and_keys(kind):
    def mark(name, mask, config):
        if kind.shards and kind.fused in name:
            mask.view(4, 3, -1)[:, (0, 2)] = True
            return
        if kind.fused and kind.fused in name:
            if kind.groups or getattr(config, "multi_query", None) is False:
                mask.view(config.num_attention_heads, 3, -1)[:, :2] = True
                return
            head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
            mask[: len(mask) - getattr(config, "num_key_value_heads", 1) * head_dim] = True
        elif "q_proj" in name or "k_proj" in name:
            mask[:] = True
    return mark


def keep_double(_model, stack):
    """Everything that asks for float32 by name gets what it has."""
    to, softmax, kind = torch.Tensor.to, F.softmax, torch.Tensor.type

    def wide(x):
        return torch.float64 if x is torch.float32 else x

    def to_wide(t, *args, **kwargs):
        if not t.is_floating_point():
            return to(t, *args, **kwargs)
        return to(t, *map(wide, args), **{k: wide(v) for k, v in kwargs.items()})

    stack.callback(torch.set_default_dtype, torch.get_default_dtype())
    torch.set_default_dtype(torch.float64)  # of quotients of whole numbers
    slopes = golden_families.as_it_is(modeling_bloom._get_alibi_slopes)
    stack.enter_context(replaced(modeling_bloom, "_get_alibi_slopes",
                                 lambda heads, device: to(slopes(heads, device), torch.float64)))
    stack.enter_context(replaced(torch.Tensor, "to", to_wide))
    stack.enter_context(replaced(torch.Tensor, "float", lambda t: to(t, torch.float64)))
    stack.enter_context(replaced(torch.Tensor, "type", lambda t, x: kind(t, wide(x))))
    stack.enter_context(replaced(F, "softmax", lambda x, dim=None, dtype=None, **more: softmax(x, dim=dim, **more)))


class Decoder(Family):
    def build(self, config):
        return transformers.AutoModelForCausalLM.from_config(config)


def families():
    return {name: Decoder(transformers.AutoModelForCausalLM, ("embed_tokens", "embed_positions", "wte", "wpe", "embed_in",
                                                                     "word_embeddings.weight", "backbone.embeddings"),
                          queries_and_keys(kind), double=keep_double,
                          norm_centre=0 if kind.one_more else 1) for name, kind in KINDS.items()}


@dataclass
class DecoderCase:
    name: str
    family: str
    config: dict
    length: int = 53
    seed: int = 0
    qk_gain: float = 2.2
    pad_inside: bool = False
    store: str = "bfloat16"
    shard_size: str = ""
    rows: tuple = ()
    matters: dict = field(default_factory=dict)
    twin_of: str = ""
    dialect: dict = field(default_factory=dict)  # keys of the twin's config; None takes a key away
    bare_names: bool = False
    wrapper: str = ""  # the twin lies inside a model of this type, with `prefix` before its tensors' names
    prefix: str = ""


YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32,
        "beta_fast": 4.0, "beta_slow": 1.0}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
DEFAULT = {"rope_type": "default", "rope_theta": 10000.0}


def case(name, family, length=53, matters=None, **more):
    own = {k: more.pop(k) for k in ("qk_gain", "store", "shard_size") if k in more}
    config = dict(vocab_size=61, hidden_size=30, intermediate_size=44, num_hidden_layers=2, num_attention_heads=6,
                  num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    config = {k: v for k, v in (config | more).items() if v != "absent"}
    rows = tuple(sorted({r for r in (0, 1, 7, 8, 9, 10, 62, 63, 64, 65, 127, 128, length // 2, length - 1) if r < length}))
    return DecoderCase(name, family, config, length, rows=rows, matters=matters or {}, **own)


def twin(name, of, **dialect):
    return DecoderCase(name, "", {}, twin_of=of, dialect=dialect)


def wrapped(name, of, wrapper, prefix):
    return DecoderCase(name, "", {}, twin_of=of, wrapper=wrapper, prefix=prefix)


def old_rope(theta=10000.0, **scaling):
    """rope_theta and rope_scaling in place of rope_parameters, as transformers 4 wrote them."""
    return {"rope_parameters": None, "rope_theta": theta, "rope_scaling": scaling or None, "dtype": None,
            "torch_dtype": "bfloat16", "transformers_version": "4.44.0"}


WITHOUT_WINDOW = {"sliding_window": None}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]

CASES = [
    case("llama-grouped", "llama", head_dim=8, rope_parameters=DEFAULT, matters={"rope_parameters": DEFAULT | {
        "rope_theta": 500.0}}),
    twin("llama-grouped-transformers4", "llama-grouped", **old_rope()),
    case("llama-biases-tied", "llama", 70, num_key_value_heads=6, head_dim=None, attention_bias=True, mlp_bias=True,
         tie_word_embeddings=True, hidden_act="gelu", rms_norm_eps=1e-3,
         rope_parameters={"rope_type": "linear", "rope_theta": 700.0, "factor": 2.5}, hidden_size=36,
         matters={"rope_parameters": DEFAULT | {"rope_theta": 700.0}}),
    twin("llama-biases-tied-transformers4", "llama-biases-tied", **old_rope(700.0, type="linear", factor=2.5)),
    case("llama-rope-llama3", "llama", 130, num_key_value_heads=1, head_dim=12, rope_parameters=LLAMA3, store="float16",
         num_hidden_layers=1, matters={"rope_parameters": DEFAULT}),
    twin("llama-rope-llama3-transformers4", "llama-rope-llama3",
         **old_rope(10000.0, rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
                    original_max_position_embeddings=64)),
    case("llama-rope-yarn", "llama", 130, head_dim=16, rope_parameters=YARN, num_hidden_layers=1,
         matters={"rope_parameters": DEFAULT}),
    case("llama-rope-yarn-mscale", "llama", head_dim=16, num_hidden_layers=1,
         rope_parameters=YARN | {"mscale": 1.0, "mscale_all_dim": 0.7, "truncate": False},
         matters={"rope_parameters": YARN | {"truncate": False}}),
    case("llama-rope-dynamic", "llama", head_dim=12, num_hidden_layers=1, store="float32",
         rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}),
    case("mistral-window", "mistral", 70, head_dim=12, sliding_window=9, matters=WITHOUT_WINDOW),
    twin("mistral-window-transformers4", "mistral-window", **old_rope()),
    case("mistral-window-over-blocks", "mistral", 130, head_dim=8, sliding_window=66, num_hidden_layers=1,
         num_attention_heads=3, num_key_value_heads=3, matters=WITHOUT_WINDOW),
    case("mistral-no-window", "mistral", head_dim=10, sliding_window=None, num_attention_heads=4,
         matters={"sliding_window": 20}),
    case("ministral-mixed", "ministral", 70, head_dim=12, sliding_window=9, layer_types=MIXED, num_hidden_layers=3,
         matters={"layer_types": ["full_attention"] * 3}),
    case("ministral-all-windows", "ministral", head_dim=8, sliding_window=17, num_key_value_heads=3,
         matters={"layer_types": ["full_attention"] * 2}),
    case("ministral-all-full", "ministral", head_dim=10, sliding_window=13, layer_types=["full_attention"] * 2,
         tie_word_embeddings=True, rope_parameters=DEFAULT | {"rope_theta": 300.0},
         matters={"layer_types": ["sliding_attention"] * 2}),
    case("qwen2-plain", "qwen2", hidden_size=36),
    case("qwen2-late-windows", "qwen2", 70, hidden_size=36, num_hidden_layers=3, use_sliding_window=True,
         sliding_window=9, max_window_layers=1, tie_word_embeddings=True, matters={"use_sliding_window": False,
                                                                                "layer_types": ["full_attention"] * 3}),
    twin("qwen2-late-windows-transformers4", "qwen2-late-windows", **old_rope(), layer_types=None,
         use_sliding_window=True, sliding_window=9, max_window_layers=1),
    case("qwen2-yarn", "qwen2", hidden_size=24, num_attention_heads=3, num_key_value_heads=1, num_hidden_layers=1,
         rope_parameters=YARN, matters={"rope_parameters": DEFAULT}),
    case("qwen3-head-norms", "qwen3", head_dim=12),
    twin("qwen3-head-norms-transformers4", "qwen3-head-norms", **old_rope(), layer_types=None),
    case("qwen3-biases-tied", "qwen3", head_dim=10, attention_bias=True, tie_word_embeddings=True, num_key_value_heads=3,
         rms_norm_eps=1e-4, store="float16"),
    case("qwen3-windows", "qwen3", 70, head_dim=6, num_hidden_layers=3, use_sliding_window=True, sliding_window=8,
         max_window_layers=2, layer_types=MIXED, matters={"layer_types": ["full_attention"] * 3}),
    case("smollm3-every-other", "smollm3", hidden_size=36, no_rope_layer_interval=2, num_hidden_layers=3,
         rope_parameters=DEFAULT | {"rope_theta": 5e6}, matters={"no_rope_layers": [1, 1, 1]}),
    case("smollm3-list", "smollm3", hidden_size=36, no_rope_layers=[0, 1, 1], num_hidden_layers=3, attention_bias=True,
         mlp_bias=True, tie_word_embeddings=False, matters={"no_rope_layers": [1, 1, 1]}),
    case("smollm3-windows", "smollm3", 70, hidden_size=24, no_rope_layers=[1, 0], use_sliding_window=True,
         sliding_window=9, matters={"layer_types": ["full_attention"] * 2}),
    case("seed-oss-biases", "seed_oss", head_dim=12),
    case("seed-oss-all-biases", "seed_oss", head_dim=8, attention_out_bias=True, mlp_bias=True, num_key_value_heads=6,
         tie_word_embeddings=True),
    case("seed-oss-none", "seed_oss", head_dim=10, attention_bias=False, num_attention_heads=3, num_key_value_heads=1),
    case("cwm-windows", "cwm", 70, head_dim=12, sliding_window=9, num_hidden_layers=5, rope_parameters=LLAMA3,
         matters={"layer_types": ["full_attention"] * 5}),
    case("cwm-own-rope", "cwm", head_dim=16, sliding_window=11, mlp_bias=True, num_hidden_layers=2),
    case("cwm-types", "cwm", head_dim=8, sliding_window=30, layer_types=MIXED, num_hidden_layers=3,
         rope_parameters=DEFAULT, matters={"layer_types": ["full_attention"] * 3}),
    case("granite-multipliers", "granite", hidden_size=36, embedding_multiplier=12.0, logits_scaling=6.0,
         residual_multiplier=0.22, attention_multiplier=0.1, qk_gain=4.0, matters={"residual_multiplier": 1.0}),
    case("granite-biases", "granite", hidden_size=36, embedding_multiplier=0.5, logits_scaling=0.25,
         residual_multiplier=1.5, attention_multiplier=0.7, attention_bias=True, mlp_bias=True, tie_word_embeddings=True,
         matters={"attention_multiplier": 1.0}),
    case("granite-plain", "granite", hidden_size=24, num_attention_heads=4, attention_multiplier=0.5),
    case("arcee-plain", "arcee", hidden_size=36, intermediate_size=70),
    case("arcee-biases-tied", "arcee", head_dim=8, attention_bias=True, mlp_bias=True, tie_word_embeddings=True),
    case("arcee-yarn", "arcee", head_dim=10, rope_parameters=YARN, num_hidden_layers=1, num_key_value_heads=6,
         matters={"rope_parameters": DEFAULT}),
    case("helium-neighbours", "helium", hidden_size=48, head_dim=8),
    case("helium-biases", "helium", hidden_size=30, head_dim=10, num_attention_heads=3, num_key_value_heads=3,
         attention_bias=True, mlp_bias=True, rms_norm_eps=1e-3),
    case("helium-linear", "helium", hidden_size=36, head_dim=12, num_attention_heads=3, num_key_value_heads=1,
         tie_word_embeddings=True, rope_parameters={"rope_type": "linear", "rope_theta": 1e5, "factor": 3.0},
         matters={"rope_parameters": DEFAULT | {"rope_theta": 1e5}}),
    case("ernie-plain", "ernie4_5", head_dim=12),
    case("ernie-biases-untied", "ernie4_5", head_dim=8, use_bias=True, tie_word_embeddings=False),
    case("ernie-one-kv-head", "ernie4_5", head_dim=None, hidden_size=36, num_key_value_heads=1, rms_norm_eps=1e-3),
    case("hunyuan-alpha", "hunyuan_v1_dense", head_dim=12, matters={"rope_parameters": DEFAULT}, rope_parameters={
        "rope_type": "dynamic", "alpha": 50.0, "rope_theta": 10000.0, "factor": 1.0}),
    case("hunyuan-biases", "hunyuan_v1_dense", head_dim=10, attention_bias=True, tie_word_embeddings=True),
    case("hunyuan-heads", "hunyuan_v1_dense", head_dim=8, num_attention_heads=3, num_key_value_heads=3,
         rms_norm_eps=1e-3),
    case("olmo2-plain", "olmo2", hidden_size=36),
    case("olmo2-biases", "olmo2", hidden_size=36, attention_bias=True, num_key_value_heads=6, tie_word_embeddings=True),
    case("olmo2-one-kv-head", "olmo2", hidden_size=24, num_attention_heads=4, num_key_value_heads=1, rms_norm_eps=1e-3),
    case("exaone4-windows", "exaone4", 70, hidden_size=36, sliding_window=9, sliding_window_pattern=2, num_hidden_layers=3,
         matters={"layer_types": ["full_attention"] * 3}),
    case("exaone4-none", "exaone4", hidden_size=36, sliding_window=None, tie_word_embeddings=True,
         layer_types=["full_attention"] * 2),
    case("exaone4-pattern", "exaone4", hidden_size=24, sliding_window=12, num_hidden_layers=4, num_key_value_heads=6,
         rms_norm_eps=1e-3, matters={"layer_types": ["full_attention"] * 4}),
    case("glm-plain", "glm", head_dim=12),
    case("glm-quarter", "glm", head_dim=16, attention_bias=False, rope_parameters=DEFAULT | {
        "partial_rotary_factor": 0.25}, tie_word_embeddings=True, matters={"rope_parameters": DEFAULT | {
            "partial_rotary_factor": 0.5}}),
    case("glm-whole", "glm", head_dim=10, rope_parameters=DEFAULT | {"partial_rotary_factor": 1.0}, num_key_value_heads=3,
         matters={"rope_parameters": DEFAULT | {"partial_rotary_factor": 0.5}}),
    case("glm4-plain", "glm4", head_dim=12),
    case("glm4-no-bias", "glm4", head_dim=8, attention_bias=False, num_key_value_heads=6, rms_norm_eps=1e-3),
    case("glm4-tied", "glm4", head_dim=10, tie_word_embeddings=True, num_attention_heads=3, num_key_value_heads=1,
         rope_parameters=DEFAULT | {"partial_rotary_factor": 0.4}),
    case("phi3-plain", "phi3", hidden_size=36),
    case("phi3-partial", "phi3", hidden_size=48, rope_parameters=DEFAULT | {"partial_rotary_factor": 0.75},
         tie_word_embeddings=True, matters={"rope_parameters": DEFAULT | {"partial_rotary_factor": 1.0}}),
    case("phi3-window", "phi3", 70, hidden_size=24, num_attention_heads=3, num_key_value_heads=1, sliding_window=10,
         matters=WITHOUT_WINDOW),
]

CASES += [
    case("ministral3-temperature", "ministral3", 130, head_dim=12, rope_parameters=YARN | {
        "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.4}, num_hidden_layers=1,
        matters={"rope_parameters": YARN | {"mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.0}}),
    case("ministral3-window", "ministral3", 70, head_dim=8, sliding_window=9, tie_word_embeddings=True,
         rope_parameters=YARN | {"llama_4_scaling_beta": 0.1}, matters=WITHOUT_WINDOW),
    case("ministral3-one-kv-head", "ministral3", head_dim=10, num_key_value_heads=1, rms_norm_eps=1e-3,
         rope_parameters=YARN | {"factor": 1.0, "llama_4_scaling_beta": 0.2, "original_max_position_embeddings": 16}),
    wrapped("ministral3-wrapped", "ministral3-window", "mistral3", "language_model.model."),
    case("internlm3-plain", "internlm3", head_dim=12),
    case("internlm3-biases", "internlm3", head_dim=10, qkv_bias=True, bias=True, num_key_value_heads=3),
    case("internlm3-dynamic", "internlm3", head_dim=None, hidden_size=36, tie_word_embeddings=True, rms_norm_eps=1e-3,
         rope_parameters={"rope_type": "dynamic", "rope_theta": 5000.0, "factor": 6.0}),
    case("exaone-plain", "exaone", hidden_size=36),
    case("exaone-llama3", "exaone", 70, head_dim=12, rope_parameters=LLAMA3 | {"original_max_position_embeddings": 32},
         tie_word_embeddings=True, num_hidden_layers=1, matters={"rope_parameters": DEFAULT}),
    case("exaone-biases", "exaone", head_dim=8, attention_bias=True, mlp_bias=True, num_key_value_heads=6,
         rms_norm_eps=1e-3, hidden_act="gelu_new"),
    case("nemotron-plain", "nemotron", hidden_size=48),
    case("nemotron-biases", "nemotron", head_dim=12, attention_bias=True, mlp_bias=True, tie_word_embeddings=True,
         norm_eps=1e-3),
    case("nemotron-quarter", "nemotron", head_dim=16, num_key_value_heads=1, rope_parameters=DEFAULT | {
        "partial_rotary_factor": 0.25}, num_hidden_layers=1, matters={"rope_parameters": DEFAULT | {
            "partial_rotary_factor": 0.5}}),
    case("olmo-plain", "olmo", hidden_size=36),
    case("olmo-clip", "olmo", hidden_size=36, clip_qkv=0.5, num_key_value_heads=6, matters={"clip_qkv": None}),
    case("olmo-biases", "olmo", hidden_size=24, num_attention_heads=4, num_key_value_heads=1, attention_bias=True,
         tie_word_embeddings=True, clip_qkv=2.0, matters={"clip_qkv": None}),
    case("olmo3-windows", "olmo3", 70, hidden_size=36, sliding_window=9, num_hidden_layers=4, rope_parameters={
        "full_attention": YARN, "sliding_attention": DEFAULT}, matters={"layer_types": ["full_attention"] * 4}),
    case("olmo3-types", "olmo3", 70, hidden_size=24, sliding_window=20, num_hidden_layers=3, layer_types=MIXED,
         num_key_value_heads=6, attention_bias=True, rms_norm_eps=1e-3,
         matters={"layer_types": ["full_attention"] * 3}),
    case("olmo3-tied", "olmo3", 70, hidden_size=36, sliding_window=66, num_hidden_layers=2, tie_word_embeddings=True,
         num_key_value_heads=1),
    case("starcoder2-plain", "starcoder2", hidden_size=36),
    case("starcoder2-window", "starcoder2", 70, hidden_size=36, sliding_window=9, use_bias=False,
         tie_word_embeddings=False, matters=WITHOUT_WINDOW),
    case("starcoder2-one-kv-head", "starcoder2", hidden_size=24, num_attention_heads=4, num_key_value_heads=1,
         norm_epsilon=1e-3, hidden_act="gelu", intermediate_size=70),
    case("gemma-plain", "gemma", head_dim=12),
    case("gemma-one-kv-head", "gemma", head_dim=8, num_key_value_heads=1, attention_bias=True, rms_norm_eps=1e-3,
         tie_word_embeddings=False),
    case("gemma-2024-config", "gemma", head_dim=10, num_attention_heads=3, num_key_value_heads=3,
         hidden_act="gelu_pytorch_tanh"),
    twin("gemma-2024-config-transformers4", "gemma-2024-config", **old_rope(), hidden_act="gelu", hidden_activation=None),
    case("gemma2-windows", "gemma2", 70, head_dim=12, sliding_window=9, query_pre_attn_scalar=7, num_hidden_layers=3,
         attn_logit_softcapping=3.0, final_logit_softcapping=4.0, matters={
             "layer_types": ["full_attention"] * 3, "attn_logit_softcapping": None, "final_logit_softcapping": None}),
    twin("gemma2-windows-transformers4", "gemma2-windows", **old_rope(), layer_types=None),
    case("gemma2-uncapped", "gemma2", head_dim=8, sliding_window=20, query_pre_attn_scalar=30,
         attn_logit_softcapping=None, final_logit_softcapping=None, tie_word_embeddings=False),
    case("gemma2-wide-window", "gemma2", 130, head_dim=10, sliding_window=67, query_pre_attn_scalar=5, num_hidden_layers=2,
         num_attention_heads=3, num_key_value_heads=1, attn_logit_softcapping=1.5, attention_bias=True,
         matters={"attn_logit_softcapping": 50.0, "layer_types": ["full_attention"] * 2}),
    case("gemma3-pattern-2", "gemma3_text", 70, head_dim=12, sliding_window=9, query_pre_attn_scalar=7,
         sliding_window_pattern=2, num_hidden_layers=4, matters={"layer_types": ["full_attention"] * 4}, rope_parameters={
             "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0}, "sliding_attention": DEFAULT}),
    twin("gemma3-pattern-2-transformers4", "gemma3-pattern-2", **old_rope(1e6, rope_type="linear", factor=8.0),
         rope_local_base_freq=10000.0, layer_types=None, sliding_window_pattern=2),
    wrapped("gemma3-wrapped", "gemma3-pattern-2", "gemma3", "model.language_model."),
    case("gemma3-pattern-6", "gemma3_text", 70, head_dim=8, sliding_window=12, query_pre_attn_scalar=30,
         num_hidden_layers=6, num_key_value_heads=1, hidden_size=24, matters={"layer_types": ["full_attention"] * 6}),
    case("gemma3-capped", "gemma3_text", head_dim=10, sliding_window=20, query_pre_attn_scalar=9, num_hidden_layers=2,
         final_logit_softcapping=3.0, attention_bias=True, rms_norm_eps=1e-3, layer_types=MIXED[:2],
         matters={"final_logit_softcapping": None}),
    case("vaultgemma-windows", "vaultgemma", 70, head_dim=12, sliding_window=9, query_pre_attn_scalar=7,
         num_hidden_layers=3, matters={"layer_types": ["full_attention"] * 3}),
    case("vaultgemma-capped", "vaultgemma", head_dim=8, sliding_window=70, query_pre_attn_scalar=12,
         attn_logit_softcapping=1.5, final_logit_softcapping=2.0, num_key_value_heads=6, qk_gain=5.0,
         matters={"attn_logit_softcapping": None, "final_logit_softcapping": None}),
    case("vaultgemma-uncapped", "vaultgemma", head_dim=10, sliding_window=30, query_pre_attn_scalar=20,
         attn_logit_softcapping=None, final_logit_softcapping=None, attention_bias=True, tie_word_embeddings=False),
    case("stablelm-sequential", "stablelm", hidden_size=48, use_qkv_bias=True),
    case("stablelm-parallel", "stablelm", hidden_size=48, use_parallel_residual=True, qk_layernorm=True,
         num_key_value_heads=6),
    case("stablelm-half", "stablelm", hidden_size=36, qk_layernorm=True, layer_norm_eps=1e-3, tie_word_embeddings=True,
         rope_parameters=DEFAULT | {"partial_rotary_factor": 0.7}),
    case("cohere-plain", "cohere", hidden_size=36),
    case("cohere-head-norms", "cohere", hidden_size=36, use_qk_norm=True, logit_scale=0.3, num_key_value_heads=3,
         layer_norm_eps=1e-3, matters={"logit_scale": 0.0625}),
    case("cohere-biases", "cohere", hidden_size=24, num_attention_heads=4, num_key_value_heads=1, attention_bias=True,
         tie_word_embeddings=False, logit_scale=2.0),
    case("cohere2-windows", "cohere2", 70, hidden_size=36, sliding_window=9, num_hidden_layers=4, logit_scale=1.0,
         matters={"layer_types": ["full_attention"] * 4}),
    case("cohere2-types", "cohere2", 70, head_dim=12, sliding_window=20, num_hidden_layers=3, layer_types=MIXED,
         logit_scale=0.5, attention_bias=True, matters={"layer_types": ["full_attention"] * 3}),
    case("cohere2-over-blocks", "cohere2", 130, hidden_size=24, num_attention_heads=3, num_key_value_heads=1,
         sliding_window=66, num_hidden_layers=2, logit_scale=0.25, tie_word_embeddings=False, layer_types=MIXED[:2],
         matters={"layer_types": ["full_attention"] * 2}),
    case("gpt-neox-parallel", "gpt_neox", hidden_size=48, num_key_value_heads="absent"),
    twin("gpt-neox-parallel-transformers4", "gpt-neox-parallel", rotary_pct=0.25, rotary_emb_base=10000,
         **(old_rope() | {"rope_theta": None})),
    case("gpt-neox-sequential", "gpt_neox", hidden_size=36, use_parallel_residual=False, tie_word_embeddings=True,
         attention_bias=False, num_key_value_heads="absent", rope_parameters=DEFAULT | {"partial_rotary_factor": 1.0}),
    case("gpt-neox-half", "gpt_neox", 70, hidden_size=40, num_attention_heads=5, num_key_value_heads="absent",
         layer_norm_eps=1e-3, hidden_act="gelu_new", store="float16",
         rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0, "partial_rotary_factor": 0.5}),
]

for name, more in (("gptj-plain", dict(rotary_dim=4)), ("gptj-whole", dict(rotary_dim=8, n_inner=50)),
                   ("gptj-relu-tied", dict(rotary_dim=6, activation_function="relu", layer_norm_epsilon=1e-3,
                                           tie_word_embeddings=True, n_head=3)),
                   ("codegen-plain", dict(n_head=4, rotary_dim=4, n_embd=32)),
                   ("codegen-shards-across-heads", dict(n_head=6, rotary_dim=4, n_embd=36, n_inner=50)),
                   ("codegen-whole-tied", dict(n_head=4, rotary_dim=6, activation_function="relu",
                                               layer_norm_epsilon=1e-3, tie_word_embeddings=True))):
    CASES.append(DecoderCase(name, name.split("-")[0], dict(
        vocab_size=61, n_embd=24, n_layer=2, n_head=3, n_positions=128, bos_token_id=1, eos_token_id=2) | more,
        rows=(0, 1, 9, 26, 52)))

CASES += [
    case("phi-plain", "phi", hidden_size=48),
    case("phi-head-norms", "phi", head_dim="absent", hidden_size=48, qk_layernorm=True, num_key_value_heads=6,
         layer_norm_eps=1e-3, rope_parameters=DEFAULT | {"partial_rotary_factor": 0.75}),
    case("phi-one-kv-head", "phi", hidden_size=30, num_attention_heads=3, num_key_value_heads=1, hidden_act="relu",
         tie_word_embeddings=True, rope_parameters=DEFAULT | {"partial_rotary_factor": 1.0}),
]

# Wholly below and wholly above the length from where all positions turn otherwise: transformers chooses by each call's.
LONGROPE = {"rope_type": "longrope", "short_factor": [1.0, 1.1, 1.2], "long_factor": [1.0, 2.5, 4.0]}
CASES += [
    case("phi3-longrope-short", "phi3", 30, hidden_size=36, original_max_position_embeddings=32,
         rope_parameters=LONGROPE, matters={"rope_parameters": DEFAULT}),
    twin("phi3-longrope-short-transformers4", "phi3-longrope-short",
         **old_rope(10000.0, type="longrope", short_factor=[1.0, 1.1, 1.2], long_factor=[1.0, 2.5, 4.0])),
    case("phi3-longrope-long", "phi3", 70, hidden_size=36, original_max_position_embeddings=32,
         rope_parameters=LONGROPE, tie_word_embeddings=True, matters={"rope_parameters": DEFAULT}),
    case("phi3-longrope-partial", "phi3", 60, hidden_size=48, original_max_position_embeddings=32, num_hidden_layers=1,
         rope_parameters=LONGROPE | {"partial_rotary_factor": 0.75, "attention_factor": 1.3}),
]


def old(name, family, length=53, matters=None, **config):
    """A family of before 2023, whose config has keys of its own."""
    store, qk_gain = config.pop("store", "bfloat16"), config.pop("qk_gain", 2.2)
    rows = tuple(r for r in (0, 1, 8, 9, 26, 63, 64, length - 1) if r < length)
    return DecoderCase(name, family, dict(vocab_size=61, bos_token_id=1, eos_token_id=2) | config, length, qk_gain=qk_gain,
                       store=store, rows=rows, matters=matters or {})


OPT = dict(hidden_size=30, ffn_dim=44, num_hidden_layers=2, num_attention_heads=5, max_position_embeddings=80)
BLOOM = dict(hidden_size=24, n_layer=2, n_head=3)
BIGCODE = dict(n_embd=30, n_layer=2, n_head=5, n_positions=80)
NEO = dict(hidden_size=24, num_layers=4, num_heads=3, max_position_embeddings=80, window_size=9,
           attention_types=[[["global", "local"], 2]], qk_gain=1.2)  # scores are not divided

CASES += [
    case("apertus-plain", "apertus", hidden_size=36),
    case("apertus-biases", "apertus", hidden_size=36, attention_bias=True, tie_word_embeddings=True, store="float32",
         rope_parameters=DEFAULT, num_key_value_heads=3),
    case("apertus-llama3", "apertus", 70, hidden_size=48, rope_parameters=LLAMA3, num_hidden_layers=1, rms_norm_eps=1e-3,
         num_key_value_heads=6, matters={"rope_parameters": DEFAULT}),
    old("opt-plain", "opt", **OPT),
    old("opt-bare", "opt", 70, **OPT | dict(enable_bias=False, activation_function="gelu", num_attention_heads=3)),
    old("opt-untied", "opt", **OPT | dict(tie_word_embeddings=False, hidden_size=24, num_attention_heads=4,
                                          num_hidden_layers=3), store="float16"),
    old("opt-after-sums", "opt", **OPT | dict(do_layer_norm_before=False, word_embed_proj_dim=18)),
    old("opt-after-sums-untied", "opt", 70, **OPT | dict(
        do_layer_norm_before=False, tie_word_embeddings=False, _remove_final_layer_norm=True, num_hidden_layers=3)),
    old("opt-wide-embeddings", "opt", **OPT | dict(word_embed_proj_dim=44, _remove_final_layer_norm=True),
        store="float16"),
    old("opt-bare-norms", "opt", **OPT | dict(layer_norm_elementwise_affine=False, word_embed_proj_dim=13,
                                              tie_word_embeddings=False)),
    old("bloom-plain", "bloom", **BLOOM),
    old("bloom-power-of-two", "bloom", 70, **BLOOM | dict(n_head=4, layer_norm_epsilon=1e-3, n_layer=1)),
    old("bloom-six-heads", "bloom", **BLOOM | dict(n_head=6, hidden_size=30, tie_word_embeddings=False), store="float16"),
    old("bigcode-multi-query", "gpt_bigcode", **BIGCODE),
    old("bigcode-all-heads", "gpt_bigcode", **BIGCODE | dict(multi_query=False, n_inner=50)),
    old("bigcode-untied", "gpt_bigcode", 70, **BIGCODE | dict(tie_word_embeddings=False, activation_function="gelu",
                                                               layer_norm_epsilon=1e-3, n_head=3), store="float16"),
    old("gpt-neo-windows", "gpt_neo", 70, **NEO, matters={"window_size": 60}),
    old("gpt-neo-one-list", "gpt_neo", **NEO | dict(num_layers=3, attention_types=[[["local"], 2], [["global"], 1]],
                                                    intermediate_size=50, window_size=20), matters={"window_size": 60}),
    old("gpt-neo-untied", "gpt_neo", **NEO | dict(num_layers=2, attention_types=[[["global"], 2]], num_heads=4,
                                                  tie_word_embeddings=False, activation_function="relu",
                                                  layer_norm_epsilon=1e-3), store="float16"),
]

# What a class of transformers makes of a key that is not there, or of one that it does not know.
CASES += [
    twin("apertus-without-rope", "apertus-plain", rope_parameters=None),
    twin("cwm-without-rope", "cwm-own-rope", rope_parameters=None),
    case("ministral3-own-rope", "ministral3", head_dim=16, num_hidden_layers=1, max_position_embeddings=262144),
    twin("ministral3-without-rope", "ministral3-own-rope", rope_parameters=None),
    twin("smollm3-windows-by-type", "smollm3-windows", use_sliding_window=False),
    twin("gpt-neox-other-keys", "gpt-neox-half", rope_theta=5.0, partial_rotary_factor=0.25),
    twin("gptj-other-keys", "gptj-plain", rope_theta=5.0, rope_scaling={"type": "linear", "factor": 3.0}),
    twin("seed-oss-other-keys", "seed-oss-biases", activation_function="relu"),
    case("exaone4-pattern-1", "exaone4", hidden_size=36, sliding_window=9, sliding_window_pattern=1),
    twin("exaone4-pattern-in-letters", "exaone4-windows", sliding_window_pattern="LLLG"),
    case("stablelm-one-kv-head", "stablelm", hidden_size=32, num_attention_heads=4, num_key_value_heads=1,
         qk_layernorm=True, num_hidden_layers=1),
    case("phi3-own-original", "phi3", 30, hidden_size=36, rope_parameters=LONGROPE, max_position_embeddings=8192),
    twin("phi3-original-in-rope", "phi3-own-original", original_max_position_embeddings=None,
         rope_parameters=LONGROPE | {"rope_theta": 10000.0, "original_max_position_embeddings": 16}),
]

CASES += [
    case("jais2-plain", "jais2", hidden_size=36),
    case("jais2-bare-tied", "jais2", head_dim=8, attention_bias=False, mlp_bias=False, tie_word_embeddings=True,
         layer_norm_eps=1e-3, num_key_value_heads=6),
    case("jais2-llama3", "jais2", 70, head_dim=12, rope_parameters=LLAMA3, num_hidden_layers=1, num_key_value_heads=1,
         attention_bias=False, hidden_act="gelu", matters={"rope_parameters": DEFAULT}),
    case("iquestcoder-plain", "iquestcoder", head_dim=12),
    case("iquestcoder-biases-tied", "iquestcoder", head_dim=None, hidden_size=36, attention_bias=True, mlp_bias=True,
         tie_word_embeddings=True, num_key_value_heads=6, rms_norm_eps=1e-3),
    case("iquestcoder-yarn", "iquestcoder", 130, head_dim=16, rope_parameters=YARN, num_key_value_heads=1,
         num_hidden_layers=1, store="float16", matters={"rope_parameters": DEFAULT}),
]

# Layers that keep a state in place of keys and values.
CONV, FULL, LINEAR = "conv", "full_attention", "linear_attention"
NET = dict(hidden_size=36, head_dim=16, num_attention_heads=4, linear_num_key_heads=2, linear_num_value_heads=4,
           linear_key_head_dim=8, linear_value_head_dim=12, tie_word_embeddings=False)
PARTLY = DEFAULT | {"partial_rotary_factor": 0.25}

CASES += [
    case("lfm2-mixed", "lfm2", 70, hidden_size=36, num_hidden_layers=4, layer_types=[CONV, FULL, CONV, CONV],
         block_multiple_of=16, rope_parameters=DEFAULT, matters={"rope_parameters": DEFAULT | {"rope_theta": 20.0}}),
    twin("lfm2-mixed-transformers4", "lfm2-mixed", **old_rope(), layer_types=None, full_attn_idxs=[1], block_ff_dim=44,
         intermediate_size=None, conv_dim=36, conv_dim_out=36, conv_use_xavier_init=True, block_dim=36,
         block_norm_eps=1e-5, block_use_swiglu=True, use_pos_enc=True),
    wrapped("lfm2-wrapped", "lfm2-mixed", "lfm2_vl", "model.language_model."),
    case("lfm2-biases-untied", "lfm2", hidden_size=24, num_hidden_layers=3, layer_types=[FULL, CONV, FULL], conv_bias=True,
         conv_L_cache=5, block_auto_adjust_ff_dim=False, tie_word_embeddings=False, norm_eps=1e-3, store="float16",
         num_attention_heads=3, num_key_value_heads=3),
    case("lfm2-convolutions-alone", "lfm2", 130, hidden_size=36, num_hidden_layers=2, layer_types=[CONV, CONV],
         conv_L_cache=2, block_multiple_of=12, block_ffn_dim_multiplier=1.3),
    case("qwen35-mixed", "qwen3_5_text", 70, **NET, num_hidden_layers=4, rope_parameters=PARTLY,
         matters={"rope_parameters": DEFAULT | {"partial_rotary_factor": 0.5}}),
    twin("qwen35-mixed-transformers4", "qwen35-mixed", **old_rope(), layer_types=None, full_attention_interval=4,
         partial_rotary_factor=0.25),
    wrapped("qwen35-wrapped", "qwen35-mixed", "qwen3_5", "model.language_model."),
    case("qwen35-biases-tied", "qwen3_5_text", 130, **NET | dict(
        hidden_size=24, tie_word_embeddings=True, head_dim=8, num_attention_heads=3, linear_num_key_heads=3,
        linear_num_value_heads=3, linear_key_head_dim=6, linear_value_head_dim=5), num_key_value_heads=1,
        attention_bias=True, layer_types=[FULL, LINEAR, FULL], num_hidden_layers=3, linear_conv_kernel_dim=2,
        rope_parameters=DEFAULT | {"partial_rotary_factor": 0.5}, rms_norm_eps=1e-3, store="float16"),
    case("qwen35-nets-alone", "qwen3_5_text", 66, **NET | dict(linear_num_key_heads=1, linear_num_value_heads=5),
         layer_types=[LINEAR, LINEAR], num_hidden_layers=2, linear_conv_kernel_dim=3),
]

# Mamba-2: steps are limited where `time_step_limit` says so. Chunks are how transformers computes it, and change nothing.
BARE = dict(intermediate_size="absent", num_attention_heads="absent", num_key_value_heads="absent",
            max_position_embeddings="absent")
MAMBA2 = BARE | dict(hidden_size=24, num_heads=6, head_dim=8, state_size=10, n_groups=2, chunk_size=16)
SCAN = dict(hidden_size=36, mamba_n_heads=9, mamba_d_head=8, mamba_d_state=10, mamba_n_groups=3, mamba_chunk_size=16)
MULTIPLIED = dict(embedding_multiplier=3.0, logits_scaling=0.5, residual_multiplier=0.6, attention_multiplier=0.3)

CASES += [
    case("mamba2-limits", "mamba2", 70, **MAMBA2, time_step_limit=(0.05, 1.5),
         matters={"time_step_limit": (0.0, float("inf"))}),
    case("mamba2-biases-tied", "mamba2", **MAMBA2 | dict(n_groups=1, state_size=16), use_bias=True, use_conv_bias=False,
         tie_word_embeddings=True, conv_kernel=3, layer_norm_epsilon=1e-3, store="float16"),
    case("mamba2-one-head-a-group", "mamba2", 66, **MAMBA2 | dict(num_heads=3, head_dim=16, n_groups=3, state_size=6),
         num_hidden_layers=3, hidden_act="silu"),
    case("bamba-mixed", "bamba", 70, **SCAN, num_hidden_layers=3, attn_layer_indices=[1], rms_norm_eps=1e-5),
    case("bamba-biases-tied", "bamba", **SCAN | dict(hidden_size=24, mamba_n_heads=4, mamba_d_head=12, mamba_n_groups=1),
         attention_bias=True, mlp_bias=True, mamba_proj_bias=True, mamba_conv_bias=False, tie_word_embeddings=True,
         num_attention_heads=3, num_key_value_heads=1, attn_layer_indices=[0], store="float16"),
    case("bamba-scans-alone", "bamba", **SCAN, attn_layer_indices=None, time_step_limit=(0.1, 2.0)),
    case("granite-hybrid-turned", "granitemoehybrid", 70, **SCAN, **MULTIPLIED, num_hidden_layers=3, num_local_experts=0,
         layer_types=[LINEAR, FULL, LINEAR], shared_intermediate_size=28, position_embedding_type="rope",
         rope_parameters=DEFAULT, matters={"position_embedding_type": "nope"}),
    case("granite-hybrid-unturned", "granitemoehybrid", **SCAN, **MULTIPLIED, num_local_experts=0,
         layer_types=[FULL, LINEAR], shared_intermediate_size=28, rms_norm_eps=1e-3, attention_bias=True, store="float16"),
    twin("granite-hybrid-unturned-transformers4", "granite-hybrid-unturned", **old_rope(), layer_types=["attention", "mamba"],
         position_embedding_type="nope", mamba_d_head="auto"),
]

for c in CASES:
    c.seed = zlib.crc32(c.name.encode()) % 1_000_000  # a new case leaves the others as they are
