"""python -m pkv survey: which models of the installed transformers can reuse their past?"""

from __future__ import annotations

import json
import pathlib
import time
import warnings
from typing import Any, Iterator, Optional, Sequence

from .errors import Error
from .live import first_line
from .rows_file import add_row, read_rows
from .tiny_configs import CONFIGS, common

TOKENS = 45  # longer than any window or regime of the tiny configurations
FIXED = ("A_log", "dt_bias", ".D", "dt_proj.bias", "time_decay", "time_first")  # drawn otherwise, they blow states up


def model_types() -> list[str]:
    """Every causal model_type of the installed transformers, and the variants that have configurations here."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as causal

    return sorted(set(causal) | set(CONFIGS))


def build(name: str, seed: int = 3) -> Any:
    """A tiny model of random weights, wide enough that logits say something."""
    import torch
    import transformers

    model_type = name.split()[0]
    config = dict(CONFIGS.get(name, common()))
    attention = config.pop("_attn_implementation", None)
    made = transformers.AutoConfig.for_model(model_type, **config)
    if hasattr(made, "is_decoder"):  # of encoders, which keep no past otherwise
        made.is_decoder = True
    torch.manual_seed(seed)
    more = {"attn_implementation": attention} if attention else {}
    model = transformers.AutoModelForCausalLM.from_config(made, **more).float().eval()
    draw = torch.Generator().manual_seed(seed + 2)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if any(word in key for word in FIXED):
                continue
            drawn = torch.randn(p.shape, generator=draw)
            if p.dim() <= 1:
                p.add_(drawn * 0.2)
            else:
                p.copy_(drawn * (1.6 / max(p.shape[-1], 1) ** 0.5))
    return model


def survey_one(name: str, dtype: str = "float32", device: str = "cpu", caches: Sequence[str] = ("static",),
               tokens: int = TOKENS, seed: int = 9) -> dict[str, Any]:
    """One row: what the check of a tiny model of that type found. A text at which two experts tie is not taken."""
    import torch

    from .checking import check

    row: dict[str, Any] = {"model_type": name, "dtype": dtype, "device": device}
    start = time.perf_counter()
    try:
        model = build(name)
        model = model.to(device=device, dtype=getattr(torch, dtype))
    except Exception as error:  # noqa: BLE001 - what cannot be built is a row, too
        return {**row, "verdict": "not built", "why": first_line(error)[:160],
                "given": name in CONFIGS, "seconds": time.perf_counter() - start}
    vocab = int(model.config.get_text_config().vocab_size)
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, min(97, vocab), (tokens,), generator=draw).tolist()
    try:
        report = check(model, None, ids, splits=[1, tokens // 2, tokens - 1], caches=list(caches), name=name)
    except Exception as error:  # noqa: BLE001
        return {**row, "verdict": "not checked", "why": first_line(error)[:160] + (
            f" ({getattr(error, 'found', '')[:120]})" if isinstance(error, Error) else ""),
            "seconds": time.perf_counter() - start}
    if [c["cause"] for c in report.causes] == ["router-near-tie"] and seed < 12:
        return survey_one(name, dtype, device, caches, tokens, seed + 1)
    rows = {e["experiment"]: e for e in report._check.experiments()}
    bound = report.bound
    worst = lambda names: max([rows[n]["max |Δ|"] for n in names if n in rows and rows[n]["max |Δ|"] is not None],
                              default=None)
    steps, chunks = worst(["token by token"]), worst(["chunks of 2", "chunks of 3", "chunks of 7"])
    says = lambda x: None if x is None else ("agrees" if x <= bound else "differs")
    row["text"] = seed
    return {**row, "verdict": report.verdict, "max": report.max_abs, "bound": bound, "noise": report._check.noise,
            "steps": says(steps), "steps max": steps, "chunks": says(chunks), "chunks max": chunks,
            "generate": report.ways.get("generate", {}).get("verdict"),
            "generate max": report.ways.get("generate", {}).get("max |Δ|"),
            "past": report.past, "fork": report.powers.get("fork"), "rewind": report.powers.get("rewind"),
            "rewind, recording": report.powers.get("rewind, recording"),
            "is_croppable": report.powers.get("is_croppable"),
            "causes": [c["cause"] for c in report.causes if c["confirmed"]],
            "statement": report.causes[0]["statement"] if report.causes else "",
            "evidence": report.causes[0]["evidence"] if report.causes else "",
            "caches": [{k: c[k] for k in ("cache", "verdict", "max |Δ|", "why")} for c in report._caches],
            "left out": {e["experiment"]: e["left out"] for e in report._check.experiments() if e["left out"]},
            "seconds": time.perf_counter() - start}


def survey(names: Optional[Sequence[str]] = None, *, log: Optional[str] = None, dtype: str = "float32",
           device: str = "cpu", caches: Sequence[str] = ("static",)) -> Iterator[dict[str, Any]]:
    """Rows as they come. ``log``: a file of JSON lines; what stands in it already is not done again."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)  # the models are so small that threads only wait for each other
    known = read_rows(log) if log else ()
    done = {row["model_type"]: row for row in known if row.get("dtype") == dtype and row.get("device") == device}
    for name in names or model_types():
        row = done.get(name) or survey_one(name, dtype, device, caches)
        if name not in done and log:
            add_row(log, row)
        yield row


# --- The page

def figure(x: Any) -> str:
    return "" if x is None else f"{x:.1e}"


def reproduction(row: dict[str, Any]) -> str:
    name = row["model_type"]
    return (f"```python\nfrom pkv import check, surveying\n"
            f"report = check(surveying.build({name!r}), None, list(range(3, {3 + TOKENS})), splits=\"last\")\n"
            f"print(report)\n```")


def short(text: Any) -> str:
    text = str(text or "")
    text = text.split(":", 1)[0] if text.startswith(("cannot be rewound", "no:")) else text
    return text.replace("|", "\\|")[:60]


def page(rows: Sequence[dict[str, Any]]) -> str:
    """docs/transformers.md"""
    import torch
    import transformers

    checked = [r for r in rows if r["verdict"] not in ("not built", "not checked")]
    differ = [r for r in checked if r["verdict"] in ("differs", "not finite")]
    silent = [r for r in checked if "silently wrong" in str(r.get("rewind, recording"))]
    empty = [r for r in checked if r["verdict"] == "test is empty"]
    lines = ["# Which models of transformers can reuse their past?", "",
             f"Made by `python -m pkv survey` with transformers {transformers.__version__} and torch {torch.__version__}: a "
             f"tiny model of random weights of causal model types, {TOKENS} tokens, fp32, on the CPU. Random weights "
             "exaggerate: how far trained models are off is not said here. Numbers are the largest |Δ| of a logit against "
             "the text fed whole; logits are about 6.", "",
             f"{len(rows)} of {len(model_types())} causal model types and variants: {len(checked)} checked, {len(differ)} differ, {len(silent)} have a "
             f"crop() that is silently wrong, {len(empty)} keep no past; {len(rows) - len(checked)} could not be built or "
             "called and are listed at the end.", "", "## What differs", ""]
    for r in differ:
        lines += [f"### {r['model_type']}", "",
                  f"{', '.join(r['causes']) or 'cause unknown'}: {r['statement'] or 'nothing that was tried explains it'}. "
                  f"{r['evidence'][:1].upper() + r['evidence'][1:] + '.' if r['evidence'] else ''} Token by token {figure(r['steps max'])}, in "
                  f"chunks {figure(r['chunks max'])}, as generate() calls {figure(r['generate max']) or 'not run'}; rounding "
                  f"explains {figure(r['bound'])}.", "", reproduction(r), ""]
    lines += ["## crop() that is silently wrong", "",
              "After `activate_past_recording()`, as assisted generation does it: " +
              (", ".join(f"{r['model_type']} ({r['rewind, recording'].split('(')[-1].rstrip(')')})" for r in silent) or
               "none") + ".", "", "## All", "",
              "| model_type | past | verdict | one by one | chunks | as generate | fork | crop | crop, recording | static cache |",
              "|---|---|---|---|---|---|---|---|---|---|"]
    for r in checked:
        static: dict[str, Any] = next((c for c in r["caches"] if c["cache"] == "static"), {})
        lines.append("| " + " | ".join(
            [r["model_type"], short(r["past"].split("[")[-1].rstrip("]").replace("Layer", "") or r["past"]), r["verdict"],
             f"{r['steps'] or ''} {figure(r['steps max'])}", f"{r['chunks'] or ''} {figure(r['chunks max'])}",
             f"{r['generate'] or ''}", short(r["fork"]), short(r["rewind"]), short(r["rewind, recording"]),
             short(static.get("verdict"))]) + " |")
    others = [r for r in rows if r not in checked]
    if others:
        lines += ["", "## Not checked", ""] + [f"- {r['model_type']}: {r['why']}" for r in others]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    import argparse

    parser = argparse.ArgumentParser(prog="python -m pkv survey", description=__doc__)
    parser.add_argument("names", nargs="*", help="model types (default: all)")
    parser.add_argument("--log", default="survey.jsonl", help="JSON lines, which an interrupted survey goes on from")
    parser.add_argument("--page", help="write a page in Markdown")
    parser.add_argument("--json", help="write all rows as one JSON file")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--caches", default="static", help="comma-separated; empty: none")
    args = parser.parse_args(arguments)
    rows = []
    caches = [c for c in args.caches.split(",") if c]
    for row in survey(args.names or None, log=args.log, dtype=args.dtype, device=args.device, caches=caches):
        rows.append(row)
        print(f"{row['model_type']:24} {row['verdict']:22} {','.join(row.get('causes', []))} "
              f"{figure(row.get('max'))} {row.get('why', '')}", flush=True)
    if args.page:
        pathlib.Path(args.page).write_text(page(rows), encoding="utf-8")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(rows, indent=1, ensure_ascii=False, default=str) + "\n",
                                           encoding="utf-8")
    return 0
