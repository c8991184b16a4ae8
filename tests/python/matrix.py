"""Faults of a past, played in a cache, and what pkv.check calls them: python3 tests/python/matrix.py [DTYPE [DEVICE]].

Not a test: it prints the table of docs/python.md.
"""

import sys

import torch
import transformers

import pkv
from pkv import surveying

from faulty import FAULTS, cache_with

FAMILIES = ("llama", "gpt2", "gpt_neox", "bloom", "qwen3", "olmo2")


def of_family(name, dtype="float32", device="cpu", faults=("none", *FAULTS)):
    ids = torch.randint(3, 97, (18,), generator=torch.Generator().manual_seed(9)).tolist()
    for fault in faults:
        model = surveying.build(name).to(device=device, dtype=getattr(torch, dtype))
        if fault == {"float16": "past-in-fp16", "bfloat16": "past-in-bf16"}.get(dtype):
            continue
        cache = None if fault == "none" else cache_with(fault)
        report = pkv.check(model, None, ids, splits=[12, 17], cache=cache)
        named = [c["cause"] for c in report.causes if c["confirmed"] and c["cause"] != "rounding"]
        yield {"family": name, "dtype": dtype, "device": device, "fault": fault, "verdict": report.verdict, "named": named,
               "max": report.max_abs}


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for family in FAMILIES:
        for row in of_family(family, *sys.argv[1:3]):
            print(row, flush=True)
