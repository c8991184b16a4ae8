"""Faults of a past, played in a cache, and what pkv.check calls them: python3 tests/python/matrix.py [DTYPE [DEVICE]].

Not a test: it prints the table of docs/python.md.
"""

import sys

import torch
import transformers

import pkv
from pkv import surveying

FAMILIES = ("llama", "gpt2", "gpt_neox", "bloom", "qwen3", "olmo2")


class Faulty(transformers.DynamicCache):
    """Hands the layers something else than what was kept, once there is a past."""

    change = staticmethod(lambda keys, values: (keys, values))

    def update(self, keys, values, layer, *args, **kwargs):
        before = 0
        if layer < len(self.layers) and self.layers[layer].get_seq_length():
            before = int(self.layers[layer].get_seq_length())
        keys, values = super().update(keys, values, layer, *args, **kwargs)
        if not before:
            return keys, values
        past = type(self).change(keys[:, :, :before], values[:, :, :before])
        return torch.cat([past[0], keys[:, :, before:]], 2), torch.cat([past[1], values[:, :, before:]], 2)


def zero_page(x):
    x = x.clone()
    x[:, :, 4:8] = 0
    return x


def int8(x):
    scale = x.float().abs().amax(-1, keepdim=True) / 127
    return ((x.float() / scale.clamp(min=1e-30)).round() * scale).to(x.dtype)


def without_first(x):
    x = x.clone()
    x[:, :, :2] = 0
    return x


FAULTS = {
    "none": lambda k, v: (k, v),
    "heads-shifted": lambda k, v: (k.roll(1, 1), v.roll(1, 1)),
    "keys-and-values-swapped": lambda k, v: (v, k),
    "values-shifted": lambda k, v: (k, torch.cat([v[:, :, 1:], v[:, :, -1:]], 2)),
    "rows-and-heads-swapped": lambda k, v: tuple(x.transpose(1, 2).contiguous().view(x.shape) for x in (k, v)),
    "past-in-int8": lambda k, v: (int8(k), int8(v)),
    "past-in-fp16": lambda k, v: (k.half().to(k.dtype), v.half().to(v.dtype)),
    "page-lost": lambda k, v: (zero_page(k), zero_page(v)),
}


def cache_with(fault):
    made = type("FaultyCache", (Faulty,), {"change": staticmethod(FAULTS[fault])})
    return lambda longest: made()


def of_family(name, dtype="float32", device="cpu", faults=tuple(FAULTS)):
    ids = torch.randint(3, 97, (18,), generator=torch.Generator().manual_seed(9)).tolist()
    for fault in faults:
        model = surveying.build(name).to(device=device, dtype=getattr(torch, dtype))
        if fault == "past-in-fp16" and dtype == "float16":
            continue
        report = pkv.check(model, None, ids, splits=[12, 17], cache=cache_with(fault))
        named = [c["cause"] for c in report.causes if c["confirmed"] and c["cause"] != "rounding"]
        yield {"family": name, "dtype": dtype, "device": device, "fault": fault, "verdict": report.verdict, "named": named,
               "max": report.max_abs}


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for family in FAMILIES:
        for row in of_family(family, *sys.argv[1:3]):
            print(row, flush=True)
