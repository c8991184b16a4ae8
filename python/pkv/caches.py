"""Kinds of cache that the installed transformers offers, by the names that users know."""

from __future__ import annotations

from typing import Any, Callable, Optional

from .errors import Error
from .live import first_line

KINDS = ("dynamic", "static", "quantized", "offloaded")


def factory_of(kind: Any, model: Any) -> tuple[str, Optional[Callable[[int], Any]], str]:
    """(name, what makes one for texts of at most so many tokens, why there is none)"""
    if isinstance(kind, (tuple, list)) and len(kind) == 2 and callable(kind[1]):
        return str(kind[0]), kind[1], ""
    if callable(kind):
        return getattr(kind, "__name__", "a cache"), kind, ""
    name, _, backend = str(kind).partition(":")
    if name not in KINDS:
        raise Error("no such kind of cache", where=f"caches=[{kind!r}]", expected=", ".join(KINDS) +
                    ", or (name, function of the longest length)", hint="quantized:fp8, quantized:quanto, quantized:hqq")
    try:
        from transformers import cache_utils
    except Exception as error:  # noqa: BLE001 - a broken optional package breaks it, which is the environment's fault
        return str(kind), None, f"transformers.cache_utils cannot be imported: {first_line(error)}"
    config = model.config

    def dynamic(_: int) -> Any:
        return cache_utils.DynamicCache(config=config)

    def static(longest: int) -> Any:
        return cache_utils.StaticCache(config=config, max_cache_len=longest)

    def quantized(_: int) -> Any:
        return cache_utils.QuantizedCache(backend or _quantizer(), config)

    def offloaded(_: int) -> Any:
        return cache_utils.DynamicCache(config=config, offloading=True)

    make = {"dynamic": dynamic, "static": static, "quantized": quantized, "offloaded": offloaded}[name]
    if name == "offloaded":
        import torch

        if not torch.cuda.is_available():
            return str(kind), None, "needs CUDA"
    try:
        make(8)
    except Exception as error:  # noqa: BLE001
        return str(kind), None, first_line(error)
    return str(kind), make, ""


def _quantizer() -> str:
    """A quantiser that is installed; fp8 needs none."""
    import importlib.util

    for package, name in (("optimum.quanto", "quanto"), ("hqq", "hqq")):
        try:
            if importlib.util.find_spec(package) is not None:
                return name
        except ModuleNotFoundError:
            continue
    return "fp8"
