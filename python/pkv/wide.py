"""A model in fp64 computes some things in fp32 nevertheless, because its code says so. Here it does not."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class Doubles(TorchFunctionMode):
    """While it is entered, what asks for fp32 gets fp64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.float:
            return args[0].double()
        if kwargs.get("dtype") is torch.float32:
            kwargs["dtype"] = torch.float64
        if torch.float32 in [a for a in args if isinstance(a, torch.dtype)]:
            args = tuple(torch.float64 if isinstance(a, torch.dtype) and a is torch.float32 else a for a in args)
        return func(*args, **kwargs)
