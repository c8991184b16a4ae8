"""pkv.review: many models, in any executor; rows as they come, failures among them."""

from __future__ import annotations

import importlib
import json
import os
import sys
import uuid
import warnings
from concurrent.futures import Executor, as_completed
from typing import Any, Iterator, Optional, Sequence, Union

from .errors import Error
from .rows_file import add_row, read_rows

Job = Union[str, dict[str, Any]]


def review(models: Sequence[Job], *, executor: Optional[Executor] = None, text: Any = "I like to eat",
           log: Union[str, os.PathLike[str], None] = None, threads: int = 0, **options: Any) -> Iterator[dict[str, Any]]:
    """Checks each model and yields a row for each, in the order in which they are done.

    A model is the name or folder of one that pkv runs, "transformers:NAME" for one that transformers loads, or
    "package.module:function" for a function that returns (model, tokenizer) on the worker; or a dict with "model" and its
    own "text" or other options of ``pkv.check``. ``executor``: anything with ``submit`` whose futures are those of
    ``concurrent.futures``: a process pool (start method "spawn"), ``dask.distributed``'s ``client.get_executor()``,
    ``mpi4py.futures``; none: one after the other, here. A failing model is a row with "ok": False and the error's parts.
    ``log``: a file of JSON lines; what stands in it and was checked is not checked again.
    """
    jobs = [_job(model, text, threads, options) for model in models]
    keys = [job["key"] for job in jobs]
    if len(set(keys)) != len(keys):
        raise Error("a model is given twice with the same options", found=next(k for k in keys if keys.count(k) > 1))
    done = {row["key"]: row for row in read_rows(log) if row.get("ok")} if log is not None else {}
    for job in jobs:
        if job["key"] in done:
            yield done[job["key"]]
    rest = [job for job in jobs if job["key"] not in done]
    _warn_of_fork(executor)

    def kept(row: dict[str, Any]) -> dict[str, Any]:
        if log is not None:
            add_row(log, row)
        return row

    if executor is None:
        for job in rest:
            yield kept(run_job(job))
        return
    waiting = {}
    for job in rest:
        try:
            waiting[executor.submit(run_job, job)] = job
        except Exception as error:  # noqa: BLE001 - a pool that is broken takes no more
            yield kept(_failed(job, error))
    for future in as_completed(waiting):
        try:
            row = future.result()
        except Exception as error:  # noqa: BLE001 - a worker that was killed
            row = _failed(waiting[future], error)
        yield kept(row)


def _job(model: Job, text: Any, threads: int, options: dict[str, Any]) -> dict[str, Any]:
    own = dict(model) if isinstance(model, dict) else {"model": model}
    if not isinstance(own.get("model"), str):
        raise Error("a job carries a name, not a model", expected="a name, a folder, or package.module:function",
                    found=type(own.get("model")).__name__, hint="workers load the model themselves")
    job = {"text": text, **options, **own}
    key = json.dumps({k: v for k, v in job.items()}, sort_keys=True, default=str)
    # Equal jobs are merged by some executors; the id makes each its own.
    return {"job": job, "key": key, "threads": threads, "id": uuid.uuid4().hex}


def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """What a worker does. Never raises but for what ends the worker."""
    try:
        if job["threads"] and "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(job["threads"])
        options = dict(job["job"])
        name, text = options.pop("model"), options.pop("text")
        model, tokenizer = load(name, job["threads"])
        from .checking import check

        report = check(model, tokenizer, text, **options)
        return {"key": job["key"], "model": name, "ok": True, "verdict": report.verdict, "holds": report.holds,
                "max |Δ|": getattr(report, "max_abs", None), "bound": getattr(report, "bound", None),
                "cause": getattr(report, "cause", ""), "sentence": getattr(report, "sentence", ""), "worker": os.getpid()}
    except Exception as error:  # noqa: BLE001
        return _failed(job, error)


def load(name: str, threads: int = 0) -> tuple[Any, Any]:
    """(model, tokenizer or None) of a job's name."""
    if name.startswith("transformers:"):
        import transformers

        folder = name.split(":", 1)[1]
        model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        return model, transformers.AutoTokenizer.from_pretrained(folder)
    module, colon, function = name.rpartition(":")
    if colon and not os.path.exists(name):
        try:
            make = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise Error("there is no such function on the worker", where=name, found=str(error),
                        hint="a module that can be imported there") from error
        made = make()
        return made if isinstance(made, tuple) else (made, None)
    from .engine import Model

    return Model(name, threads=threads), None


def _failed(job: dict[str, Any], error: BaseException) -> dict[str, Any]:
    row = {"key": job["key"], "model": job["job"]["model"], "ok": False, "verdict": "not checked", "holds": False}
    if isinstance(error, Error):
        return {**row, "what": error.what, "where": error.where, "expected": error.expected, "found": error.found,
                "hint": error.hint}
    return {**row, "what": f"{type(error).__name__}: {error}"[:400], "where": "", "expected": "", "found": "", "hint": ""}


def _warn_of_fork(executor: Optional[Executor]) -> None:
    context = getattr(executor, "_mp_context", None)
    method = context.get_start_method() if context is not None else ""
    if method == "fork" and "torch" in sys.modules:
        warnings.warn("this pool forks, and torch is loaded: its threads do not survive that, and workers may hang. Use "
                      'ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")).', stacklevel=3)
