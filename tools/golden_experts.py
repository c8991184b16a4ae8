"""The cases of golden_cases.py for decoders with experts, and their records for golden_families.py.

As in golden_decoders.py. A text in which a router's choice hangs on a thread is refused: another implementation could
rightly choose otherwise (`settled`). Experts lie in tensors of their own, as on the Hub; a `fused` twin has them in one,
under the names of transformers 5.
"""

import contextlib
import os
import zlib
from dataclasses import dataclass

import safetensors.torch
import torch
import transformers

from golden_decoders import (DEFAULT, LLAMA3, MIXED, WITHOUT_WINDOW, YARN, Decoder, DecoderCase, case, keep_double,
                             old_rope, queries_and_keys, Kind, twin)
from golden_families import replaced

TYPES = """mixtral qwen2_moe qwen3_moe olmoe granitemoe glm4_moe ernie4_5_moe hunyuan_v1_moe minimax_m2 exaone_moe phimoe
    gpt_oss""".split()
NOISE, TRIALS, CONTINUOUS = 1e-3, 8, 0.03


class Experts(Decoder):
    def build(self, config):
        return plain_loops(transformers.AutoModelForCausalLM.from_config(config))


def plain_loops(model):
    """Experts one after the other: grouped products do not take float64."""
    model.set_experts_implementation("eager")
    return model


def keep_all_double(model, stack):
    """Phi-MoE makes its frequencies anew in each call."""
    keep_double(model, stack)
    for name in ("arange", "tensor"):
        make = getattr(torch, name)

        def wide(*args, make=make, dtype=None, **more):
            return make(*args, dtype=torch.float64 if dtype is torch.float32 else dtype, **more)

        stack.enter_context(replaced(torch, name, wide))


def families():
    return {name: Experts(transformers.AutoModelForCausalLM, ("embed_tokens",), queries_and_keys(Kind()),
                          double=keep_all_double) for name in TYPES}


def randomize_buffers(model, g):
    """Corrections of the routers' scores, which are zeros at birth; and what would be too small to matter."""
    for name, buffer in model.named_buffers():
        if "correction_bias" in name:
            buffer.copy_(0.3 * torch.randn(buffer.shape, generator=g))
    for name, p in model.named_parameters():
        if "correction_bias" in name or name.endswith("sinks"):
            p.copy_((1.5 if name.endswith("sinks") else 0.3) * torch.randn(p.shape, generator=g))
        elif p.dim() == 3:
            turned = model.config.model_type == "gpt_oss"
            p.copy_((2.5 if turned else 1.4) * torch.randn(p.shape, generator=g) / p.shape[1 if turned else 2] ** 0.5)
        elif "router" in name or name.endswith(("gate.weight", "wg.weight")):
            p *= 2


def routers(model):
    return [m for m in model.modules() if "router" in type(m).__name__.lower() or type(m).__name__.endswith("Gate")]


@torch.no_grad()
def settled(model, ids):
    """No router chooses otherwise, or jumps, when what it sees is moved a little."""
    seen = []
    with contextlib.ExitStack() as stack:
        for router in routers(model):
            handle = router.register_forward_hook(lambda m, args, out: seen.append((m, args, out)))
            stack.callback(handle.remove)
        model(input_ids=ids[None], use_cache=False)
    g = torch.Generator().manual_seed(1)
    for router, (x, *others), (_, weights, chosen) in seen:
        order = chosen.argsort(-1)
        for _ in range(TRIALS):
            _, other_weights, other = router(x + NOISE * torch.randn(x.shape, generator=g), *others)
            other_order = other.argsort(-1)
            if not torch.equal(chosen.gather(-1, order), other.gather(-1, other_order)):
                return False
            if (weights.gather(-1, order) - other_weights.gather(-1, other_order)).abs().max() > CONTINUOUS:
                return False
    return True


def experts_of(config):
    return config.model_type in TYPES


# --- files ------------------------------------------------------------------------------------------------------------

MXFP4_VALUES = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def to_mxfp4(weight):
    """Codes [.., in / 32, 16], exponents [.., in / 32] and the values of a matrix [.., in]."""
    blocks = weight.view(*weight.shape[:-1], -1, 32)
    exponents = torch.ceil(torch.log2(blocks.abs().amax(-1) / 6)).clamp(-20, 20)
    codes = (blocks / 2 ** exponents[..., None]).unsqueeze(-1).sub(MXFP4_VALUES).abs().argmin(-1)
    values = (MXFP4_VALUES[codes] * 2 ** exponents[..., None]).view(weight.shape)
    packed = (codes[..., ::2] | codes[..., 1::2] << 4).to(torch.uint8)
    return packed, (exponents + 127).to(torch.uint8), values


@torch.no_grad()
def round_to_mxfp4(model):
    for name, p in model.named_parameters():
        if p.dim() == 3:
            p.copy_(to_mxfp4(p.transpose(1, 2).contiguous())[2].transpose(1, 2))


def store_mxfp4(folder):
    """The experts of a saved model, whose values are such, as OpenAI's files hold them."""
    path = os.path.join(folder, "model.safetensors")
    tensors = {}
    for name, t in safetensors.torch.load_file(path).items():
        if t.dim() == 3:
            tensors[name + "_blocks"], tensors[name + "_scales"], values = to_mxfp4(t.float().transpose(1, 2).contiguous())
            assert torch.equal(values.to(t.dtype).transpose(1, 2), t), name
        else:
            tensors[name] = t
    safetensors.torch.save_file(dict(sorted(tensors.items())), path, metadata={"format": "pt"})


@dataclass
class FusedTwin(DecoderCase):
    fused: bool = True


def fused(of):
    return FusedTwin(of + "-fused", "", {}, twin_of=of)


@dataclass
class Mxfp4Case(DecoderCase):
    mxfp4: bool = True


SMALL = dict(hidden_size=24, intermediate_size=20, num_attention_heads=4)
FEW = SMALL | dict(num_local_experts=5, num_experts_per_tok=2)
OWN = SMALL | dict(num_experts=6, num_experts_per_tok=3, moe_intermediate_size=14)
WITHOUT_ROPE_OBJECT = old_rope()

CASES = [
    case("mixtral-plain", "mixtral", **FEW, head_dim=8, rope_parameters=DEFAULT),
    twin("mixtral-plain-transformers4", "mixtral-plain", **old_rope()),
    fused("mixtral-plain"),
    case("mixtral-window", "mixtral", 70, **FEW | dict(num_local_experts=3, num_experts_per_tok=3), sliding_window=9,
         num_key_value_heads=1, store="float16", rms_norm_eps=1e-3, matters=WITHOUT_WINDOW),
    case("mixtral-one-of-nine", "mixtral", **FEW | dict(num_local_experts=9, num_experts_per_tok=1), head_dim=10,
         tie_word_embeddings=True, hidden_act="gelu", num_hidden_layers=1, store="float32"),
    case("qwen3-moe-normalised", "qwen3_moe", **OWN, head_dim=8, norm_topk_prob=True, matters={"norm_topk_prob": False}),
    twin("qwen3-moe-normalised-transformers4", "qwen3-moe-normalised", **old_rope()),
    case("qwen3-moe-some-layers", "qwen3_moe", **OWN, head_dim=6, num_hidden_layers=4, decoder_sparse_step=2,
         mlp_only_layers=[1], attention_bias=True, tie_word_embeddings=True, matters={"norm_topk_prob": True}),
    case("qwen3-moe-window", "qwen3_moe", 70, **OWN | dict(num_experts_per_tok=6), head_dim=10, use_sliding_window=True,
         sliding_window=9, num_key_value_heads=1, hidden_act="gelu_new", store="float16", num_hidden_layers=1,
         matters={"use_sliding_window": False}),
    case("qwen2-moe-shared", "qwen2_moe", **OWN, shared_expert_intermediate_size=18, matters={"norm_topk_prob": True}),
    fused("qwen2-moe-shared"),
    case("qwen2-moe-some-layers", "qwen2_moe", **OWN, shared_expert_intermediate_size=10, num_hidden_layers=4,
         decoder_sparse_step=2, mlp_only_layers=[3], norm_topk_prob=True, qkv_bias=False, tie_word_embeddings=True,
         matters={"norm_topk_prob": False}),
    case("qwen2-moe-windows", "qwen2_moe", 70, **OWN, shared_expert_intermediate_size=12, use_sliding_window=True,
         sliding_window=9, max_window_layers=3, num_hidden_layers=4, num_key_value_heads=4, store="float16",
         rms_norm_eps=1e-3, matters={"layer_types": ["full_attention"] * 4}),
    twin("qwen2-moe-windows-transformers4", "qwen2-moe-windows", **old_rope(), layer_types=None),
    case("olmoe-plain", "olmoe", **SMALL, num_experts=6, num_experts_per_tok=3, matters={"norm_topk_prob": True}),
    case("olmoe-normalised", "olmoe", **SMALL, num_experts=7, num_experts_per_tok=2, norm_topk_prob=True,
         num_key_value_heads=4, tie_word_embeddings=True, matters={"norm_topk_prob": False}),
    case("olmoe-biases", "olmoe", **SMALL, num_experts=4, num_experts_per_tok=4, attention_bias=True,
         num_key_value_heads=1, rms_norm_eps=1e-3, store="float32", num_hidden_layers=1),
    case("granite-moe-multipliers", "granitemoe", **FEW, embedding_multiplier=12.0, logits_scaling=6.0,
         residual_multiplier=0.22, attention_multiplier=0.1, qk_gain=4.0, matters={"residual_multiplier": 1.0}),
    fused("granite-moe-multipliers"),
    case("granite-moe-biases", "granitemoe", **FEW | dict(num_local_experts=3, num_experts_per_tok=3), attention_bias=True,
         embedding_multiplier=0.5, logits_scaling=0.25, residual_multiplier=1.5, attention_multiplier=0.7,
         tie_word_embeddings=True, store="float16", matters={"attention_multiplier": 1.0}),
    case("granite-moe-plain", "granitemoe", **FEW | dict(num_local_experts=8, num_experts_per_tok=1),
         num_key_value_heads=1, attention_multiplier=0.4, hidden_act="gelu", num_hidden_layers=1),
]


def glm(name, family="glm4_moe", length=53, **more):
    own = SMALL | dict(n_routed_experts=6, num_experts_per_tok=2, n_shared_experts=1, moe_intermediate_size=14, head_dim=8)
    return case(name, family, length, **own | more)


ERNIE = SMALL | dict(moe_num_experts=6, moe_k=2, moe_num_shared_experts=1, moe_intermediate_size=14, num_hidden_layers=3)
HUNYUAN = SMALL | dict(num_experts=5, moe_topk=2, head_dim=8)
EXAONE = SMALL | dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=14, num_hidden_layers=3)
OSS = SMALL | dict(num_local_experts=5, num_experts_per_tok=2, head_dim=8, sliding_window=9,
                   rope_parameters=YARN | {"truncate": False})
PHI = FEW | dict(attention_bias=True, lm_head_bias=True)
PHI_LONG = {"rope_type": "longrope", "short_factor": [1.0, 1.1, 1.2], "long_factor": [1.0, 2.5, 4.0], "short_mscale": 1.2,
            "long_mscale": 1.3, "original_max_position_embeddings": 32}

CASES += [
    glm("glm4-moe-groups", n_group=3, topk_group=2, use_qk_norm=True, routed_scaling_factor=1.7,
        matters={"topk_group": 3, "routed_scaling_factor": 1.0}),
    twin("glm4-moe-groups-transformers4", "glm4-moe-groups", **old_rope(), partial_rotary_factor=0.5),
    glm("glm4-moe-bare", n_shared_experts=2, num_experts_per_tok=3, attention_bias=True, norm_topk_prob=False,
        first_k_dense_replace=0, num_hidden_layers=1, tie_word_embeddings=True, matters={"norm_topk_prob": True}),
    glm("glm4-moe-late", first_k_dense_replace=2, num_hidden_layers=3, store="float16", n_routed_experts=4,
        num_key_value_heads=1, rope_parameters=DEFAULT | {"partial_rotary_factor": 1.0}),
    case("ernie-moe-shared", "ernie4_5_moe", **ERNIE),
    case("ernie-moe-biases", "ernie4_5_moe", **ERNIE | dict(moe_layer_interval=2, moe_num_shared_experts=2, moe_k=3),
         use_bias=True, tie_word_embeddings=False, moe_norm_min=0.9, matters={"moe_norm_min": 1e-12}),
    case("ernie-moe-unshared", "ernie4_5_moe", **ERNIE | dict(moe_num_shared_experts=0, moe_layer_start_index=0,
                                                              moe_layer_end_index=1), num_key_value_heads=1,
         store="float16"),
    case("hunyuan-moe-plain", "hunyuan_v1_moe", **HUNYUAN),
    case("hunyuan-moe-list", "hunyuan_v1_moe", **HUNYUAN | dict(moe_topk=[1, 3]), attention_bias=True,
         tie_word_embeddings=True, num_key_value_heads=4),
    case("hunyuan-moe-alpha", "hunyuan_v1_moe", **HUNYUAN | dict(num_experts=3, moe_topk=3), num_hidden_layers=1,
         rope_parameters={"rope_type": "dynamic", "alpha": 50.0, "rope_theta": 10000.0, "factor": 1.0},
         matters={"rope_parameters": DEFAULT}),
    case("minimax-m2-part", "minimax_m2", **FEW, head_dim=8, rope_parameters=DEFAULT | {"partial_rotary_factor": 0.5},
         matters={"rope_parameters": DEFAULT}),
    twin("minimax-m2-part-transformers4", "minimax-m2-part", **old_rope(), rotary_dim=4),
    fused("minimax-m2-part"),
    case("minimax-m2-whole", "minimax_m2", **FEW | dict(num_local_experts=7, num_experts_per_tok=3), head_dim=10,
         tie_word_embeddings=True, num_key_value_heads=4, rms_norm_eps=1e-3),
    case("minimax-m2-all", "minimax_m2", **FEW | dict(num_local_experts=3, num_experts_per_tok=3), head_dim=6,
         num_key_value_heads=1, store="float16", num_hidden_layers=1),
    case("exaone-moe-windows", "exaone_moe", 70, **EXAONE, sliding_window=9, sliding_window_pattern=2,
         matters={"layer_types": ["full_attention"] * 3, "routed_scaling_factor": 1.0}),
    fused("exaone-moe-windows"),
    case("exaone-moe-groups", "exaone_moe", **EXAONE | dict(num_experts=9, num_shared_experts=2), n_group=3, topk_group=1,
         mlp_layer_types=["sparse", "dense", "sparse"], sliding_window=20, layer_types=MIXED, norm_topk_prob=False,
         tie_word_embeddings=True, matters={"topk_group": 3, "norm_topk_prob": True}),
    case("exaone-moe-dense-first", "exaone_moe", **EXAONE | dict(num_hidden_layers=2), first_k_dense_replace=1,
         sliding_window=30, num_key_value_heads=1, layer_types=["full_attention"] * 2, routed_scaling_factor=0.8,
         store="float16"),
    case("phimoe-mixer", "phimoe", **PHI, router_jitter_noise=0.2, matters={"router_jitter_noise": 0.01}),
    fused("phimoe-mixer"),
    case("phimoe-bare", "phimoe", 70, **PHI | dict(attention_bias=False, lm_head_bias=False, num_local_experts=8),
         sliding_window=9, tie_word_embeddings=True, num_key_value_heads=1, rms_norm_eps=1e-3, matters=WITHOUT_WINDOW),
    case("phimoe-longrope", "phimoe", 30, **PHI, num_hidden_layers=1, original_max_position_embeddings=32,
         rope_parameters=PHI_LONG, matters={"rope_parameters": DEFAULT}),
    case("gpt-oss-windows", "gpt_oss", 70, **OSS, matters={"layer_types": ["full_attention"] * 2, "swiglu_limit": 100.0}),
    twin("gpt-oss-windows-transformers4", "gpt-oss-windows",
         **old_rope(10000.0, **{k: v for k, v in (YARN | {"truncate": False}).items() if k != "rope_theta"}),
         layer_types=None),
    case("gpt-oss-bare", "gpt_oss", **OSS | dict(num_local_experts=3, num_experts_per_tok=3, swiglu_limit=1.5,
                                                 rope_parameters=DEFAULT), attention_bias=False, num_key_value_heads=1,
         tie_word_embeddings=True, store="float32", matters={"swiglu_limit": 7.0}),
    case("gpt-oss-types", "gpt_oss", 70, **OSS | dict(num_hidden_layers=3, sliding_window=20), store="float16",
         layer_types=["full_attention", "sliding_attention", "sliding_attention"], num_key_value_heads=4),
]

mxfp4 = case("gpt-oss-mxfp4", "gpt_oss", **OSS | dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1))
CASES.append(Mxfp4Case(**mxfp4.__dict__))

for c in CASES:
    c.seed = zlib.crc32(c.name.encode()) % 1_000_000
