"""The configurations for which make_goldens.py records what transformers computes.

Shapes are tiny and odd on purpose. `qk_gain` scales queries and keys so that attention is peaked; it is lower where the
configuration itself already makes the scores large.

What transformers 5 reads from each config (models/<family>/modeling_<family>.py), and what it only stores:

gpt2    reads   vocab_size n_positions n_embd n_layer n_head n_inner activation_function layer_norm_epsilon
                scale_attn_weights scale_attn_by_inverse_layer_idx reorder_and_upcast_attn tie_word_embeddings
                (add_cross_attention: for encoder-decoder use, not covered)
        ignores n_ctx summary_* task_specific_params, and the attn.bias / attn.masked_bias buffers of old files.
                reorder_and_upcast_attn works under "eager" alone; in float32 it changes nothing but rounding.
roberta reads   vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act
                layer_norm_eps max_position_embeddings type_vocab_size pad_token_id is_decoder tie_word_embeddings
        ignores position_embedding_type (version 5 knows absolute positions only), and classifier and pooler keys.
                Tied, the output bias is lm_head.bias; untied, it is lm_head.decoder.bias and lm_head.bias is dead.
                Token types are all zero unless given. Positions count the tokens that are not padding, from
                pad_token_id + 1; a padding token itself sits at position pad_token_id.
mpt     reads   vocab_size d_model n_heads n_layers max_seq_len (longest text: the ALiBi table has this length)
                layer_norm_epsilon tie_word_embeddings attn_config.{softmax_scale, clip_qkv}
        ignores expansion_ratio (always 4), no_bias (never a bias), learned_pos_emb, logit_scale, norm_type,
                embedding_fraction, attn_config.{alibi (always on), alibi_bias_max (always 8: the table is built
                without it), attn_type, attn_impl, prefix_lm, qk_ln, attn_uses_sequence_id}. GELU is the exact one.
                MosaicML's own code reads expansion_ratio, alibi_bias_max and no_bias: the cases that set them run
                transformers' class with those parts put in (golden_families.py, as_mosaicml).
falcon  reads   vocab_size hidden_size num_hidden_layers num_attention_heads num_kv_heads num_ln_in_parallel_attn
                layer_norm_epsilon alibi new_decoder_architecture multi_query parallel_attn bias ffn_hidden_size
                activation rope_parameters (rope_theta at the top of version 4 configs) tie_word_embeddings
        ignores apply_residual_connection_post_layernorm; num_kv_heads where multi_query holds without
                new_decoder_architecture; max_position_embeddings where rope_type is default.
        fails   on new_decoder_architecture without parallel_attn, and on num_ln_in_parallel_attn = 2 without
                new_decoder_architecture (both at the first forward).
        ALiBi   slopes are rounded to bfloat16 and so is slope x position: beyond position 256 this is coarse. Under
                "eager", version 5 adds ALiBi twice (once inside the mask); "sdpa" adds it once, as the model was
                trained. Version 5 refuses an odd head_dim even where there is no rotation. The ALiBi
                cases are recorded under "sdpa"; their `logits_eager` is what "eager" gives.
"""

import dataclasses
import zlib
from dataclasses import dataclass, field


@dataclass
class Case:
    name: str
    family: str
    config: dict
    length: int = 12
    seed: int = 0
    qk_gain: float = 2.2
    pad_inside: bool = False
    store: str = "float32"
    shard_size: str = ""
    # A second folder with the same weights and the same answers under another config dialect.
    twin_of: str = ""
    dialect: dict = field(default_factory=dict)
    bare_names: bool = False  # tensor names without "transformer.", with the mask buffers of old GPT-2 files


def gpt2(name, length=12, **more):
    case = {k: more.pop(k) for k in ("qk_gain", "store", "shard_size") if k in more}
    config = dict(vocab_size=61, n_positions=40, n_embd=18, n_layer=2, n_head=3, bos_token_id=0, eos_token_id=0)
    return Case(name, "gpt2", {**config, **more}, length, **case)


def roberta(name, length=12, **more):
    case = {k: more.pop(k) for k in ("qk_gain", "store", "pad_inside") if k in more}
    config = dict(vocab_size=61, max_position_embeddings=50, hidden_size=18, num_hidden_layers=2,
                  num_attention_heads=3, intermediate_size=37, type_vocab_size=1, pad_token_id=1, is_decoder=False,
                  bos_token_id=0, eos_token_id=2)
    return Case(name, "roberta", {**config, **more}, length, **case)


def mpt(name, length=12, **more):
    case = {k: more.pop(k) for k in ("qk_gain", "store") if k in more}
    config = dict(vocab_size=61, d_model=18, n_heads=3, n_layers=2, max_seq_len=40, bos_token_id=0, eos_token_id=0)
    return Case(name, "mpt", {**config, **more}, length, **case)


def falcon(name, length=12, **more):
    case = {k: more.pop(k) for k in ("qk_gain", "store", "shard_size") if k in more}
    config = dict(vocab_size=61, hidden_size=18, num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=64,
                  bos_token_id=0, eos_token_id=0)
    return Case(name, "falcon", {**config, **more}, length, **case)


GPT2_ACTIVATIONS = ["gelu", "relu", "silu", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu", "gelu_python", "gelu_10",
                    "gelu_accurate", "tanh", "sigmoid", "mish", "relu2", "relu6", "swish", "leaky_relu", "linear",
                    "laplace"]

CASES = [
    gpt2("gpt2-plain"),
    roberta("roberta-encoder"),
    mpt("mpt-three-heads"),
    falcon("falcon-7b-shape"),

    gpt2("gpt2-odd-heads", 20, n_embd=15, n_head=5, n_layer=3, n_inner=37, vocab_size=67, layer_norm_epsilon=1e-3),
    gpt2("gpt2-unscaled", scale_attn_weights=False, activation_function="relu", n_embd=24, n_head=6, qk_gain=1.4),
    gpt2("gpt2-inverse-layer-scale", scale_attn_by_inverse_layer_idx=True, n_layer=3, activation_function="gelu",
         qk_gain=3.0),
    gpt2("gpt2-upcast", reorder_and_upcast_attn=True, scale_attn_by_inverse_layer_idx=True, n_embd=20, n_head=5,
         qk_gain=2.6),
    gpt2("gpt2-untied", tie_word_embeddings=False, vocab_size=101, n_embd=12),
    gpt2("gpt2-long", 38, n_embd=12, n_head=2, n_inner=7),
    gpt2("gpt2-fp16", store="float16"),
    gpt2("gpt2-sharded", shard_size="20KB", n_embd=20, n_head=4),
    Case("gpt2-2019-checkpoint", "gpt2", {}, twin_of="gpt2-plain", bare_names=True, dialect={
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new",
        "attn_pdrop": 0.1, "embd_pdrop": 0.1, "resid_pdrop": 0.1, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "n_ctx": 40, "n_embd": 18, "n_head": 3, "n_layer": 2, "n_positions": 40,
        "summary_activation": None, "summary_first_dropout": 0.1, "summary_proj_to_labels": True,
        "summary_type": "cls_index", "summary_use_proj": True, "vocab_size": 61, "bos_token_id": 0, "eos_token_id": 0}),
    *[gpt2(f"gpt2-activation-{a.replace('_', '-')}", 12, activation_function=a, n_embd=10, n_head=2, n_layer=1,
           vocab_size=31, n_inner=23) for a in GPT2_ACTIVATIONS],

    roberta("roberta-decoder", is_decoder=True, hidden_size=20, num_attention_heads=5, type_vocab_size=2, length=16),
    roberta("roberta-decoder-pad-inside", is_decoder=True, pad_inside=True),
    roberta("roberta-encoder-pad-inside", pad_inside=True, pad_token_id=5, type_vocab_size=2),
    roberta("roberta-relu-untied", hidden_act="relu", tie_word_embeddings=False, vocab_size=67),
    roberta("roberta-decoder-untied", is_decoder=True, tie_word_embeddings=False, hidden_act="gelu_new",
            layer_norm_eps=1e-3, hidden_size=15, num_attention_heads=5),
    roberta("roberta-six-heads-silu", hidden_act="silu", hidden_size=24, num_attention_heads=6, num_hidden_layers=3,
            layer_norm_eps=1e-5, intermediate_size=41),
    roberta("roberta-bf16", store="bfloat16", hidden_act="gelu_pytorch_tanh"),
    Case("roberta-transformers4-config", "roberta", {}, twin_of="roberta-encoder", dialect={
        "architectures": ["RobertaForMaskedLM"], "model_type": "roberta", "attention_probs_dropout_prob": 0.1,
        "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "hidden_size": 18, "initializer_range": 0.02, "intermediate_size": 37, "layer_norm_eps": 1e-12,
        "max_position_embeddings": 50, "num_attention_heads": 3, "num_hidden_layers": 2, "type_vocab_size": 1,
        "vocab_size": 61, "position_embedding_type": "absolute", "torch_dtype": "float32"}),

    dataclasses.replace(roberta("camembert-decoder", is_decoder=True, hidden_size=24), family="camembert"),
    dataclasses.replace(roberta("camembert-encoder", pad_token_id=1, type_vocab_size=1), family="camembert"),
    dataclasses.replace(roberta("xlm-roberta-decoder", is_decoder=True, num_attention_heads=2, store="float16"),
                        family="xlm-roberta"),
    dataclasses.replace(roberta("xlm-roberta-encoder", hidden_act="relu"), family="xlm-roberta"),

    mpt("mpt-six-heads", 16, d_model=24, n_heads=6, layer_norm_epsilon=1e-3),
    mpt("mpt-power-of-two-heads", d_model=20, n_heads=4, vocab_size=67),
    mpt("mpt-clip", d_model=15, n_heads=5, n_layers=3, qk_gain=6.0, attn_config={"clip_qkv": 2.9}),
    mpt("mpt-softmax-scale", qk_gain=4.0, attn_config={"softmax_scale": 0.21, "clip_qkv": 4.5}),
    mpt("mpt-long", 40, d_model=12, n_heads=2, n_layers=1),
    mpt("mpt-untied", d_model=12, tie_word_embeddings=False, vocab_size=101),
    mpt("mpt-biases", no_bias=False),
    mpt("mpt-expansion-ratio", expansion_ratio=3, d_model=15, n_heads=5),
    mpt("mpt-alibi-bias-max", 30, no_bias=False, expansion_ratio=2, n_heads=6, attn_config={"alibi_bias_max": 4}),
    mpt("mpt-bf16", store="bfloat16"),
    Case("mpt-2023-config", "mpt", {}, twin_of="mpt-three-heads", dialect={
        "architectures": ["MPTForCausalLM"], "model_type": "mpt", "d_model": 18, "n_heads": 3, "n_layers": 2,
        "attn_config": {"alibi": True, "alibi_bias_max": 8, "attn_impl": "torch", "attn_pdrop": 0,
                        "attn_type": "multihead_attention", "attn_uses_sequence_id": False, "clip_qkv": None,
                        "prefix_lm": False, "qk_ln": False, "softmax_scale": None},
        "emb_pdrop": 0, "embedding_fraction": 1.0, "expansion_ratio": 4, "init_device": "cpu",
        "learned_pos_emb": True, "logit_scale": None, "max_seq_len": 40, "no_bias": True,
        "norm_type": "low_precision_layernorm", "resid_pdrop": 0, "torch_dtype": "float32", "use_cache": False,
        "verbose": 0, "vocab_size": 61}),

    falcon("falcon-40b-shape", hidden_size=24, new_decoder_architecture=True, num_attention_heads=6, num_kv_heads=2,
           length=20),
    falcon("falcon-11b-one-norm", hidden_size=24, new_decoder_architecture=True, num_attention_heads=6, num_kv_heads=3,
           num_ln_in_parallel_attn=1, ffn_hidden_size=35, vocab_size=67),
    falcon("falcon-rw-shape", alibi=True, bias=True, multi_query=False, parallel_attn=False, hidden_size=24,
           num_attention_heads=6),
    falcon("falcon-sequential-rotary", bias=True, multi_query=False, parallel_attn=False, hidden_size=20,
           num_attention_heads=5, layer_norm_epsilon=1e-3),
    falcon("falcon-sequential-multi-query", parallel_attn=False),
    falcon("falcon-parallel-multi-head", bias=True, multi_query=False, activation="gelu_pytorch_tanh"),
    falcon("falcon-alibi-multi-query", alibi=True, hidden_size=20, num_attention_heads=5),
    falcon("falcon-alibi-40b-shape", hidden_size=24, alibi=True, new_decoder_architecture=True,
           num_attention_heads=6, num_kv_heads=2),
    falcon("falcon-alibi-long", 300, alibi=True, multi_query=True, hidden_size=10, num_attention_heads=5,
           num_hidden_layers=1, vocab_size=31, max_position_embeddings=320),
    falcon("falcon-rope-theta", rope_parameters={"rope_type": "default", "rope_theta": 500.0}, ffn_hidden_size=50,
           activation="relu"),
    falcon("falcon-rotary-long", 120, hidden_size=12, num_attention_heads=2, num_hidden_layers=1, vocab_size=31,
           max_position_embeddings=128),
    falcon("falcon-untied", tie_word_embeddings=False, hidden_size=12, vocab_size=101, activation="silu",
           num_hidden_layers=3, num_attention_heads=3),
    falcon("falcon-bf16", store="bfloat16"),
    falcon("falcon-40b-fp16-sharded", store="float16", shard_size="12KB", new_decoder_architecture=True,
           num_attention_heads=4, num_kv_heads=2, hidden_size=24),
    Case("falcon-7b-2023-dialect", "falcon", {}, twin_of="falcon-7b-shape", dialect={
        "architectures": ["RWForCausalLM"], "model_type": "RefinedWebModel", "alibi": False,
        "apply_residual_connection_post_layernorm": False, "attention_dropout": 0.0, "bias": False, "bos_token_id": 0,
        "eos_token_id": 0, "hidden_dropout": 0.0, "hidden_size": 18, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "multi_query": True, "n_head": 3, "n_layer": 2, "parallel_attn": True,
        "torch_dtype": "float32", "use_cache": True, "vocab_size": 61}),
    Case("falcon-40b-2023-dialect", "falcon", {}, twin_of="falcon-40b-shape", dialect={
        "architectures": ["RWForCausalLM"], "model_type": "RefinedWeb", "alibi": False,
        "apply_residual_connection_post_layernorm": False, "attention_dropout": 0.0, "bias": False, "bos_token_id": 0,
        "eos_token_id": 0, "hidden_dropout": 0.0, "hidden_size": 24, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "n_head": 6, "n_head_kv": 2, "n_layer": 2, "parallel_attn": True,
        "torch_dtype": "float32", "use_cache": True, "vocab_size": 61}),
    Case("falcon-transformers4-config", "falcon", {}, twin_of="falcon-rope-theta", dialect={
        "architectures": ["FalconForCausalLM"], "model_type": "falcon", "activation": "relu", "alibi": False,
        "attention_dropout": 0.0, "bias": False, "bos_token_id": 0, "eos_token_id": 0, "ffn_hidden_size": 50,
        "hidden_dropout": 0.0, "hidden_size": 18, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
        "max_position_embeddings": 64, "multi_query": True, "new_decoder_architecture": False,
        "num_attention_heads": 3, "num_hidden_layers": 2, "num_kv_heads": 3, "parallel_attn": True,
        "rope_scaling": None, "rope_theta": 500.0, "torch_dtype": "float32", "use_cache": True, "vocab_size": 61}),
]

for case in CASES:
    case.seed = zlib.crc32(case.name.encode()) % 1_000_000  # a new case leaves the others as they are
