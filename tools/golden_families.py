"""One record per family: all that make_goldens.py and make_quant_goldens.py have to know of it.

To add a family, add a record to FAMILIES and cases to golden_cases.py. `check` refuses a record that forgets something
which would make the goldens weak without a word: an embedding, a norm, queries and keys; `only_double` refuses a
float64 run that holds narrower numbers inside, which would loosen every tolerance that is derived from it.
"""

import contextlib
import math
from dataclasses import dataclass
from typing import Callable

import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.models.falcon import modeling_falcon
from transformers.models.mpt import modeling_mpt


@dataclass(frozen=True)
class Family:
    model: type  # transformers' class

    # Parts of the names of embeddings' weights; norms are known by "ln_" and "norm".
    embeddings: tuple

    # (name, mask, config): sets those outputs of a weight or bias in `mask` to True that make queries and keys.
    queries_and_keys: Callable

    conv1d: bool = False  # weights are stored [in, out]
    causal: Callable = lambda config: True
    attention: Callable = lambda config: "eager"  # the implementation to be recorded

    # (model, stack): enters into the stack what keeps a float64 run of the model in float64.
    double: Callable = lambda model, stack: None
    kv_heads_once: Callable = lambda config: None  # number of key heads where the cache repeats them for each query head
    norm_centre: float = 1  # what norms' weights are drawn around
    padding: bool = False  # ids other than the case's own padding avoid pad_token_id

    # What the original code computes and transformers' class passes over: whether a config asks for it, and the class
    # with it put in.
    beyond: Callable = lambda config: False
    with_beyond: Callable = None

    def build(self, config):
        model = self.model(config)
        return self.with_beyond(model) if self.beyond(config) else model


def of(config):
    return FAMILIES[config.model_type]


@contextlib.contextmanager
def replaced(owner, name, value):
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


# --- checks -----------------------------------------------------------------------------------------------------------


def is_norm(name):
    return any(part in name.lower() for part in ("ln_", "norm"))


def is_embedding(family, name):
    return any(part in name for part in family.embeddings)


def queries_and_keys(family, name, weight, config):
    """The rows (of Conv1D the columns) of a weight or bias that make queries and keys, as a mask over its outputs."""
    mask = torch.zeros(weight.shape[-1] if family.conv1d else weight.shape[0], dtype=torch.bool)
    family.queries_and_keys(name, mask, config)
    return mask


def check(model):
    """Refuses a record that does not fit the model."""
    family, config = of(model.config), model.config
    marked = set()
    for name, module in model.named_modules():
        embedding, norm = isinstance(module, torch.nn.Embedding), "norm" in type(module).__name__.lower()
        for own, parameter in module.named_parameters(recurse=False):
            full = f"{name}.{own}"
            if embedding and not is_embedding(family, full):
                raise SystemExit(f"{config.model_type}: {full} is an embedding that `embeddings` does not name")
            if norm and not is_norm(full):
                raise SystemExit(f"{config.model_type}: {full} is a norm's and not known as such")
            if parameter.dim() == 2 and not embedding and queries_and_keys(family, full, parameter, config).any():
                marked.add(tuple(part for part in full.split(".") if part.isdigit()))
    types = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    attending = sum("attention" in kind and kind != "linear_attention" for kind in types)
    if len(marked) != attending:
        raise SystemExit(f"{config.model_type}: `queries_and_keys` finds them in {len(marked)} of {attending} layers")


class OnlyDouble(TorchDispatchMode):
    """Every operation's floating-point results are float64, but for those inside of `as_it_is`."""

    resting = False

    def __init__(self, what):
        super().__init__()
        self.what = what

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for t in result if isinstance(result, (tuple, list)) else (result,):
            narrow = isinstance(t, torch.Tensor) and t.is_floating_point() and t.dtype != torch.float64
            if narrow and not OnlyDouble.resting:
                raise SystemExit(f"{self.what}: {function} gives {t.dtype} in a float64 run; add to the family's "
                                 "`double` what keeps it in float64")
        return result


def as_it_is(function):
    """The function, whose narrower numbers belong to what the model computes."""
    def call(*args, **kwargs):
        with replaced(OnlyDouble, "resting", True):
            return function(*args, **kwargs)
    return call


@contextlib.contextmanager
def in_double(model):
    """The model in float64, for runs of which every operation is checked to be so. float32 again afterwards."""
    family = of(model.config)
    model.double()
    narrow = torch.Tensor.float
    with contextlib.ExitStack() as stack:
        stack.enter_context(replaced(torch.Tensor, "float", lambda t: t if t.dtype == torch.float64 else narrow(t)))
        family.double(model, stack)
        stack.enter_context(OnlyDouble(model.config.model_type))
        yield
    model.float()


# --- GPT-2 ------------------------------------------------------------------------------------------------------------


def two_thirds(name, mask, _config):
    """Fused queries, keys and values, in this order."""
    if "c_attn" in name or "Wqkv" in name:
        mask[: len(mask) // 3 * 2] = True


def without_upcast(model, stack):
    """reorder_and_upcast_attn insists on float32, and means the same."""
    for block in model.transformer.h:
        stack.enter_context(replaced(block.attn, "reorder_and_upcast_attn", False))


# --- RoBERTa ----------------------------------------------------------------------------------------------------------


def query_and_key(name, mask, _config):
    mask[:] = ".query." in name or ".key." in name


# --- MPT --------------------------------------------------------------------------------------------------------------


def passed_over(config):
    """Options that MosaicML's own MPT code has and transformers' class passes over."""
    return not config.no_bias or config.expansion_ratio != 4 or config.attn_config.alibi_bias_max != 8


def as_mosaicml(model):
    """transformers' MPT, with the parts that it passes over put in: biases, expansion_ratio, alibi_bias_max."""
    c, bias, width = model.config, not model.config.no_bias, model.config.d_model
    inner = c.expansion_ratio * width
    for block in model.transformer.blocks:
        block.attn.Wqkv = torch.nn.Linear(width, 3 * width, bias=bias)
        block.attn.out_proj = torch.nn.Linear(width, width, bias=bias)
        block.ffn.up_proj = torch.nn.Linear(width, inner, bias=bias)
        block.ffn.down_proj = torch.nn.Linear(inner, width, bias=bias)
    if bias:
        for norm in [n for b in model.transformer.blocks for n in (b.norm_1, b.norm_2)] + [model.transformer.norm_f]:
            norm.bias = torch.nn.Parameter(torch.zeros(width))
    most = c.attn_config.alibi_bias_max
    model.transformer.build_mpt_alibi_tensor = lambda heads, length, device=None: modeling_mpt.build_mpt_alibi_tensor(
        heads, length, most, device)
    return model


def double_alibi(num_heads, sequence_length, alibi_bias_max=8, device=None):
    power = 2 ** math.ceil(math.log2(num_heads))
    slopes = [2.0 ** (-i * alibi_bias_max / power) for i in range(1, power + 1)]
    if power != num_heads:
        slopes = (slopes[1::2] + slopes[::2])[:num_heads]
    return torch.tensor(slopes, dtype=torch.float64)[:, None, None] * torch.arange(1 - sequence_length, 1)[None, None]


def with_double_alibi(_model, stack):
    stack.enter_context(replaced(modeling_mpt, "build_mpt_alibi_tensor", double_alibi))


# --- Falcon -----------------------------------------------------------------------------------------------------------


def all_but_last_of_block(name, mask, config):
    """Fused outputs come in blocks; the last of each makes values."""
    if "query_key_value" not in name:
        return
    if config.new_decoder_architecture:
        blocks = config.num_kv_heads, config.num_attention_heads // config.num_kv_heads + 2
    else:
        blocks = (config.num_attention_heads + 2,) if config.multi_query else (config.num_attention_heads, 3)
    mask.view(*blocks, config.head_dim)[..., :-1, :] = True


def double_positions(model, stack):
    """Angles, which are computed also where ALiBi is used; and ALiBi, whose bfloat16 belongs to what is computed."""
    config = model.config

    def rotary(x, position_ids):
        inverse = config.rope_parameters["rope_theta"] ** -(
            torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim)
        angles = position_ids[..., None].double() * inverse
        angles = torch.cat([angles, angles], -1)
        return angles.cos(), angles.sin()

    alibi = as_it_is(modeling_falcon.build_alibi_tensor)
    stack.enter_context(replaced(model.transformer.rotary_emb, "forward", rotary))
    stack.enter_context(replaced(modeling_falcon, "build_alibi_tensor", alibi))


FAMILIES = {
    "gpt2": Family(transformers.GPT2LMHeadModel, ("wte", "wpe"), two_thirds, conv1d=True, double=without_upcast),
    "roberta": Family(transformers.RobertaForCausalLM, ("embeddings.weight",), query_and_key, padding=True,
                      causal=lambda config: config.is_decoder),
    "camembert": Family(transformers.CamembertForCausalLM, ("embeddings.weight",), query_and_key, padding=True,
                        causal=lambda config: config.is_decoder),
    "xlm-roberta": Family(transformers.XLMRobertaForCausalLM, ("embeddings.weight",), query_and_key, padding=True,
                          causal=lambda config: config.is_decoder),
    "mpt": Family(transformers.MptForCausalLM, ("wte",), two_thirds, double=with_double_alibi,
                  beyond=passed_over, with_beyond=as_mosaicml),
    # Under "eager", ALiBi is added twice.
    "falcon": Family(transformers.FalconForCausalLM, ("word_embeddings.weight",), all_but_last_of_block,
                     double=double_positions, attention=lambda config: "sdpa" if config.alibi else "eager",
                     kv_heads_once=lambda config: config.num_kv_heads if config.new_decoder_architecture else None),
}
