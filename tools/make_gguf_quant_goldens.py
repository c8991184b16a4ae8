#!/usr/bin/env python3
"""Record what PyPI's gguf makes of blocks of ggml's formats, for tests/golden/gguf_quant_test.cc.

Usage: make_gguf_quant_goldens.py            writes tests/golden/quant/gguf.safetensors

Needs gguf, numpy and safetensors. Tensors NAME/blocks, uint8 [n, bytes], and NAME/values, float32 [n, elements]: random
bytes whose scales are finite, any random bytes, and blocks whose scales are infinite, not a number, zeros of either
sign, and the smallest and largest that there are.
"""

import json
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType, quants
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/quant/gguf.safetensors"
# Where a block's scales of 16 bits lie.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [], "NVFP4": [],
    "TQ1_0": [52], "TQ2_0": [64],
}
ODD = [0x7C00, 0xFC00, 0x7E01, 0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF]


def main():
    rng = np.random.default_rng(20261130)
    tensors = {}
    for name, scales in SCALES.items():
        kind = GGMLQuantizationType[name]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        finite = rng.integers(0, 256, (4, size), dtype=np.uint8)
        for block in finite:
            for at in scales:
                block[at:at + 2] = np.frombuffer(np.float16(rng.normal()).tobytes(), np.uint8)
        odd = rng.integers(0, 256, (len(ODD), size), dtype=np.uint8)
        for i, block in enumerate(odd):
            for k, at in enumerate(scales):
                block[at:at + 2] = np.frombuffer(np.uint16(ODD[(i + 3 * k) % len(ODD)]).tobytes(), np.uint8)
        if name == "MXFP4":
            odd[:, 0] = [0, 1, 2, 127, 252, 253, 254, 255]
        if name == "NVFP4":
            odd[:, :4] = np.array([0, 1, 7, 8, 0x38, 0x7E, 0x7F, 0x80, 0x87, 0xFF, 0xB8, 0x40, 2, 3, 9, 0x77] * 2).reshape(8, 4)
        blocks = np.concatenate([finite, rng.integers(0, 256, (2, size), dtype=np.uint8), odd])
        with np.errstate(all="ignore"):
            values = quants.dequantize(blocks, kind)
        assert values.shape == (len(blocks), elements) and values.dtype == np.float32, name
        tensors[f"{name}/blocks"], tensors[f"{name}/values"] = blocks, values
    made = {"made_by": "tools/make_gguf_quant_goldens.py",
            "versions": json.dumps({"gguf": "0.19.0", "numpy": np.__version__})}
    save_file(tensors, OUT, made)


main()
