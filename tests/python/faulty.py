"""Faults of a past, played in a cache, by the names that pkv.check should give them."""

import torch
import transformers


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


FAULTS = {
    "heads-shifted": lambda k, v: (k.roll(1, 1), v.roll(1, 1)),
    "keys-and-values-swapped": lambda k, v: (v, k),
    "values-shifted": lambda k, v: (k, torch.cat([v[:, :, 1:], v[:, :, -1:]], 2)),
    "rows-and-heads-swapped": lambda k, v: tuple(x.transpose(1, 2).contiguous().view(x.shape) for x in (k, v)),
    "past-in-int8": lambda k, v: (int8(k), int8(v)),
    "past-in-fp16": lambda k, v: (k.half().to(k.dtype), v.half().to(v.dtype)),
    "past-in-bf16": lambda k, v: (k.bfloat16().to(k.dtype), v.bfloat16().to(v.dtype)),
    "page-lost": lambda k, v: (zero_page(k), zero_page(v)),
}


def cache_with(fault):
    made = type("FaultyCache", (Faulty,), {"change": staticmethod(FAULTS[fault])})
    return lambda longest: made()
