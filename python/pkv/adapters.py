"""Other programs' models as systems that can be fed. Their packages are imported by whoever holds such a model."""

from __future__ import annotations

from typing import Any, Sequence

from .errors import Error


class LlamaCpp:
    """A ``llama_cpp.Llama``, made with ``logits_all=True``. One text at a time lives in it: a session that is gone on
    with after another was fed is fed anew from what it held, so that two pasts at once are not tested."""

    def __init__(self, llama: Any, name: str = "llama.cpp") -> None:
        if not getattr(llama, "_logits_all", getattr(getattr(llama, "context_params", None), "logits_all", True)):
            raise Error("this Llama keeps the logits of the last token only", where="logits_all", expected="True",
                        found="False", hint="Llama(model_path, logits_all=True)")
        self.llama, self.name, self.owner = llama, name, None

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "system": "llama-cpp-python", "vocab": int(self.llama.n_vocab()),
                "longest": int(self.llama.n_ctx()), "longest_is": "n_ctx"}

    def fresh(self) -> "_LlamaSession":
        return _LlamaSession(self)


class _LlamaSession:
    def __init__(self, of: LlamaCpp) -> None:
        self.of, self.ids = of, []  # type: ignore[var-annotated]

    def _own(self) -> None:
        if self.of.owner is not self:
            self.of.llama.reset()
            if hasattr(self.of.llama, "_ctx") and hasattr(self.of.llama._ctx, "kv_cache_clear"):
                self.of.llama._ctx.kv_cache_clear()
            self.of.owner = self  # type: ignore[assignment]
            if self.ids:
                self.of.llama.eval(self.ids)

    def feed(self, ids: Sequence[int]) -> Any:
        self._own()
        before = self.of.llama.n_tokens
        self.of.llama.eval(list(ids))
        self.ids = self.ids + list(ids)
        return self.of.llama.scores[before:self.of.llama.n_tokens].copy()

    def rewind(self, length: int) -> None:
        self._own()
        context = getattr(self.of.llama, "_ctx", None)
        if context is not None and hasattr(context, "kv_cache_seq_rm"):
            if context.kv_cache_seq_rm(-1, length, -1) is False:  # which eval() would not look at
                raise Error("this past cannot be cut", where="kv_cache_seq_rm", found="False")
        self.of.llama.n_tokens, self.ids = length, self.ids[:length]

    def length(self) -> int:
        return int(self.of.llama.n_tokens) if self.of.owner is self else len(self.ids)


class OnnxGenAI:
    """An ``onnxruntime_genai.Model``; ``generator(model)`` makes a new ``Generator``. Where it shows the last token's
    logits only, tokens are fed one by one."""

    def __init__(self, model: Any, generator: Any, name: str = "ONNX Runtime GenAI") -> None:
        self.model, self.generator, self.name = model, generator, name

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "system": "onnxruntime-genai"}

    def fresh(self) -> "_OnnxSession":
        return _OnnxSession(self.generator(self.model))


class _OnnxSession:
    def __init__(self, generator: Any) -> None:
        self.generator = generator

    def feed(self, ids: Sequence[int]) -> Any:
        import numpy

        rows: list[Any] = []
        at = 0
        while at < len(ids):
            part = list(ids[at:]) if not rows else [ids[at]]
            if at == 0 and len(ids) > 1:  # one first, so that all logits of a longer call can be told from the last's
                part = [ids[0]]
            self.generator.append_tokens(numpy.array(part, dtype=numpy.int32))
            got = numpy.asarray(self.generator.get_logits(), dtype=numpy.float32)
            rows.append(got.reshape(-1, got.shape[-1])[-1:])
            at += len(part)
        return numpy.concatenate(rows)

    def rewind(self, length: int) -> None:
        self.generator.rewind_to(length)

    def length(self) -> int:
        return int(self.generator.token_count())
