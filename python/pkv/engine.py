"""Models that pkv runs itself, on the CPU, with the same bits however a text is cut."""

from __future__ import annotations

import os
import pathlib
from typing import Any, Callable, Iterator, Optional, Sequence, Union

from . import _pkv
from .errors import Error

Past = _pkv.Past

_SHARE = pathlib.Path(__file__).absolute().parent / "share" / "pkv"


def _models() -> pathlib.Path:
    return pathlib.Path(os.environ["PKV_MODELS"]) if os.environ.get("PKV_MODELS") else _SHARE / "models"


def bundled() -> list[str]:
    """The names of the models that come with pkv."""
    folder = _models()
    return sorted(p.name for p in folder.iterdir() if (p / "config.json").exists()) if folder.is_dir() else []


def _folder(name: Union[str, os.PathLike[str]]) -> str:
    if not pathlib.Path(name).exists() and str(name) in bundled():
        return str(_models() / str(name))
    return _pkv.find_model(str(name))


class Model:
    """A model of a folder, one that comes with pkv (``pkv.bundled()``), or one of the Hugging Face Hub.

        model = pkv.Model("tiny-gpt2")
        past = model.new_past()
        model.logits("I like to", past)
        fork = past.fork()
        for piece in model.stream(" eat", past=past): ...

    Texts may be given as ids. Errors are pkv.Error. ``dtype`` and ``load_in`` are as the program's options: "fp16",
    "int8", "nf4"; ``run_as`` plays another implementation's faults ("window=4").
    """

    def __init__(self, name: Union[str, os.PathLike[str]], *, dtype: str = "", load_in: str = "", past_dtype: str = "",
                 run_as: str = "", backend: str = "cpu", threads: int = 0) -> None:
        folder = _folder(name)
        self._engine = _pkv.Engine(folder, dtype, load_in, past_dtype, run_as, backend, threads)
        self._tokenizer: Optional[_pkv.Tokenizer] = None

    def __repr__(self) -> str:
        e = self._engine
        return f"<pkv.Model {e.name}: {e.family}, {e.format}, {e.layers} layers, vocabulary {e.vocab}, {e.system}>"

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def vocab(self) -> int:
        return self._engine.vocab

    @property
    def context(self) -> int:
        """Tokens that the config allows."""
        return self._engine.context

    @property
    def tokenizer(self) -> _pkv.Tokenizer:
        if self._tokenizer is None:
            self._tokenizer = _pkv.Tokenizer(self._engine.folder)
        return self._tokenizer

    def ids(self, text: Union[str, Sequence[int]]) -> list[int]:
        """Ids of a text; ids stay what they are."""
        return list(self.tokenizer.encode(text)) if isinstance(text, str) else [int(i) for i in text]

    def _next_ids(self, text: Union[str, Sequence[int]], past: Optional[Past]) -> list[int]:
        if isinstance(text, str) and past is not None and len(past) > 0:
            return list(self.tokenizer.encode(text, False))
        return self.ids(text)

    def new_past(self) -> Past:
        """An empty past. ``past.fork()``, ``past.rewind(n)``, ``len(past)``, ``past.ids``."""
        return self._engine.new_past()

    def logits(self, text: Union[str, Sequence[int]], past: Optional[Past] = None, last: bool = False) -> Any:
        """Logits of each token, fp32 [tokens, vocab], or of the last alone, [1, vocab]; ``past`` holds them afterwards.

        For ``memoryview``, ``numpy.asarray`` or ``torch.from_dlpack``.
        """
        return self._engine.logits(self._next_ids(text, past), past, last)

    def generate(self, text: Union[str, Sequence[int]], *, past: Optional[Past] = None, max_new_tokens: int = 20,
                 on_token: Optional[Callable[[int], Any]] = None, **sampling: Any) -> list[int]:
        """Ids that the model goes on with. ``on_token`` is told each, and ends the text by returning False.

        ``do_sample``, ``temperature``, ``top_k``, ``top_p``, ``min_p``, ``repetition_penalty``, ``seed``,
        ``eos_token_id`` and ``use_past`` are as in transformers and the program. ``past`` may hold any text: what it
        shares with this one is used.
        """
        known = {"do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "use_past",
                 "eos_token_id"}
        unknown = sorted(set(sampling) - known)
        if unknown:
            raise Error("no such option", where=f"generate({unknown[0]}=...)", expected=", ".join(sorted(known)))
        told = None if on_token is None else (lambda i: on_token(i) is not False)
        return list(self._engine.generate(self.ids(text), past, max_new_tokens, sampling, told)[0])

    def stream(self, text: Union[str, Sequence[int]], **options: Any) -> Iterator[str]:
        """The text that the model goes on with, piece by piece. Options as of generate()."""
        import queue
        import threading

        pieces: queue.Queue[Any] = queue.Queue()
        stop = threading.Event()
        decoder = _pkv.TextStream(self.tokenizer, True)

        def work() -> None:
            try:
                self.generate(text, on_token=lambda i: (pieces.put(decoder.push(i)), not stop.is_set())[1], **options)
                pieces.put(decoder.finish())
                pieces.put(None)
            except BaseException as error:  # noqa: BLE001 - it is raised by whoever listens
                pieces.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            while True:
                piece = pieces.get()
                if piece is None:
                    return
                if isinstance(piece, BaseException):
                    raise piece
                if piece:
                    yield piece
        finally:
            stop.set()
            thread.join()

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids))

    def save(self, path: Union[str, os.PathLike[str]], past: Past) -> None:
        """Writes a past to a file that this model, and it alone, can go on from."""
        self._engine.save(str(path), past)

    def restore(self, path: Union[str, os.PathLike[str]], text: Union[str, Sequence[int]]) -> Past:
        """The past of the longest beginning that the file and ``text`` share, but for its last token."""
        return self._engine.restore(str(path), self.ids(text))

    def check(self, text: Union[str, Sequence[int]] = "I like to eat", **options: Any) -> Any:
        from .checking import check

        return check(self, None, text, **options)
