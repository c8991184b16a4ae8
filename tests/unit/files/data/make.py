# Makes the files of this folder with the reference implementation.
import json
import struct

import safetensors
import torch
from safetensors.torch import save_file

readable = {
    "f32": torch.tensor([[1.5, -2.0, 0.25], [3.0, 4.0, -0.5]]),
    "f16": torch.tensor([1.0, -0.5, 65504.0], dtype=torch.float16),
    "bf16": torch.tensor([1.0, -2.5, 3.0e38], dtype=torch.bfloat16),
    "f64": torch.tensor([0.1], dtype=torch.float64),
    "i64": torch.tensor([-1, 2**40]),
    "u8": torch.tensor([0, 127, 255], dtype=torch.uint8),
    "i8": torch.tensor([-128], dtype=torch.int8),
    "u16": torch.tensor([65535], dtype=torch.uint16),
    "i16": torch.tensor([-2], dtype=torch.int16),
    "u32": torch.tensor([4294967295], dtype=torch.uint32),
    "u64": torch.tensor([7], dtype=torch.uint64),
    "bool": torch.tensor([True, False]),
    "rank0": torch.tensor(7.5),
    "empty": torch.zeros(0, 3),
    "rank5": torch.arange(2.0).reshape(1, 2, 1, 1, 1),
    'name "\\ \u00e9\u4e2d\n\x01\x7f': torch.tensor([9], dtype=torch.int32),
}
save_file(readable, "golden.safetensors", metadata={"format": "pt"})

unreadable = {"f8": torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn), "f32": torch.tensor([1.0])}
save_file(unreadable, "f8.safetensors")

# save_file never makes unaligned data; other writers do, and the reference implementation reads it.
header = json.dumps({"u8": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
                     "f32": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9]}}).encode()
unaligned = struct.pack("<Q", len(header)) + header + b"\x05" + struct.pack("<2f", 1.25, -3)
assert len(safetensors.deserialize(unaligned)) == 2
open("unaligned.safetensors", "wb").write(unaligned)
