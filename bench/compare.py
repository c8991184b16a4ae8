#!/usr/bin/env python3
"""Times bench_decode and a peer's llama-bench in alternation on the same shapes, and prints ratios.

Memory and clock of a shared machine drift by tens of percent within minutes, so only figures taken next to each other
compare: each round runs the peer once and ours once, and the ratio is that of the round; medians over rounds are
printed. The peer may be llama.cpp's or ik_llama.cpp's llama-bench (the latter has no -d and is asked with -gp).

    bench/compare.py --shape today --peer AVX2=a/llama-bench --peer AVX3=b/llama-bench
    bench/compare.py --shape qwen3-0.6b --dtype bf16 --peer llama-bench --prefill 512 --depth 0,2048
    bench/compare.py --model DIR --gguf FILE --peer a/llama-bench --peer b/llama-bench

--shape writes a preset of tools/make_synthetic.py with random weights as a folder and as GGUF, once, into --work. A
peer can be given with the instruction set that ours is to use against it, which should be what it was compiled for.
Both get --threads threads; bind the whole command to as many processors (taskset) where there are more.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TODAY = ["smollm2-135m", "gemma3-270m", "qwen3-0.6b", "llama-3.2-1b"]


def numbers(text):
    return [int(n) for n in text.split(",") if n]


def peer(text):
    """(instruction set of ours or None, path)."""
    isa, said, path = text.rpartition("=")
    return (isa if said else None, path)


def run(command):
    command = [str(c) for c in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as e:
        sys.exit(f"compare: {command[0]}: {e.strerror}")
    if done.returncode != 0:
        sys.exit(f"compare: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def made(shape, options):
    """The folder and the GGUF file of a shape, written if they are not there."""
    folder = options.work / f"{shape}-{options.dtype}"
    gguf = folder.with_suffix(folder.suffix + ".gguf")
    if not (folder.exists() and gguf.exists()):
        if folder.exists() or gguf.exists():
            sys.exit(f"compare: of {folder} and {gguf} only one is there; remove it")
        options.work.mkdir(parents=True, exist_ok=True)
        print(f"compare: writing {folder} and {gguf.name}", file=sys.stderr)
        run([sys.executable, ROOT / "tools/make_synthetic.py", shape, folder, "--dtype", options.dtype, "--gguf", gguf])
    return folder, gguf


def ours(options, model, isa, kind, values):
    """For each value tokens per second and share of the machine's peak."""
    command = [options.ours, "--model", model, "--no-check", "--rounds", "3", "--threads", options.threads]
    given = ",".join(map(str, values))
    command += ["--prefill", given if kind == "prefill" else "", "--depth", given if kind == "decode" else ""]
    command += ["--output", "json"]
    for name in ("load_in", "dtype", "past_dtype"):
        if getattr(options, name):
            command += ["--" + name.replace("_", "-"), getattr(options, name)]
    if isa or options.isa:
        command += ["--isa", isa or options.isa]
    lines = json.loads(run(command)).get("lines")
    if len(lines) != len(values):
        sys.exit(f"compare: ours ran {len(lines)} of {kind} {given}: the others do not fit in the context of {model}")
    return [(line["tokens_per_second"], line["share_of_peak"]) for line in lines]


def takes_depth(path):
    text = subprocess.run([path, "--help"], capture_output=True, text=True)
    return re.search(r"\s(-d|--n-depth)\b", text.stdout + text.stderr) is not None


def theirs(options, path, gguf, with_depth, kind, values):
    """For each value tokens per second."""
    command = [path, "-m", gguf, "-t", options.threads, "-r", "2", "-o", "json"]
    given = ",".join(map(str, values))

    def asked(*more):
        text = run(command + list(more))
        return [entry["avg_ts"] for entry in json.loads(text[text.index("[") :])]

    if kind == "prefill":
        return asked("-p", given, "-n", 0)
    if with_depth:
        return asked("-p", 0, "-n", options.steps, "-d", given)
    return [asked("-p", 0, "-n", options.steps if n == 0 else 0, *(["-gp", f"{n},{options.steps}"] if n else []))[0]
            for n in values]


def compare(options, model, gguf, isa, paths, kind, values):
    """Rows of work: medians over rounds of our rate and share, of each peer's rate and of the ratio in one round."""
    depths = {p: takes_depth(p) for p in paths}
    rounds = []
    for _ in range(options.rounds):
        peers = [theirs(options, p, gguf, depths[p], kind, values) for p in paths]
        rounds.append((ours(options, model, isa, kind, values), peers))
    middle = statistics.median
    for i, value in enumerate(values):
        work = f"prefill of {value}" if kind == "prefill" else f"decode at depth {value}"
        rate, share = middle(o[i][0] for o, _ in rounds), middle(o[i][1] for o, _ in rounds)
        cells = "".join(f" {middle(t[p][i] for _, t in rounds):.1f} | {middle(o[i][0] / t[p][i] for o, t in rounds):.2f} |"
                        for p in range(len(paths)))
        print(f"| {work} | {rate:.1f} | {share:.2f} |{cells}", flush=True)


def table(options, name, model, gguf, isa, paths):
    places = [Path(p).resolve().parts for p in paths]
    names = [place[-4] if len(place) > 3 else path for place, path in zip(places, paths)]
    print(f"\n{name}, {options.threads} threads{', ' + isa if isa else ''}\n")
    print("| work | ours, tokens/s | share of peak |" + "".join(f" {n} | ratio |" for n in names))
    print("|---|---:|---:|" + "---:|---:|" * len(names))
    for kind, values in (("prefill", options.prefill), ("decode", options.depth)):
        if values:
            compare(options, model, gguf, isa, paths, kind, values)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", default=ROOT / "build/release/bench/bench_decode")
    parser.add_argument("--shape", action="append", default=[], help=f"may be given more than once; today: {', '.join(TODAY)}")
    parser.add_argument("--work", type=Path, default=ROOT / "build/shapes", help="where shapes are written")
    parser.add_argument("--model", help="model folder for ours, in place of --shape")
    parser.add_argument("--gguf", help="the same shape for the peer")
    parser.add_argument("--peer", action="append", type=peer, required=True, metavar="[ISA=]PATH",
                        help="a llama-bench; may be given more than once")
    parser.add_argument("--prefill", type=numbers, default=[512])
    parser.add_argument("--depth", type=numbers, default=[0, 2048])
    parser.add_argument("--steps", type=int, default=16, help="tokens that the peer generates")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", help="of the weights: of --shape fp16, if not given")
    parser.add_argument("--load-in", help="ours: int8, fp4 or nf4; nearest to the peer's Q8_0 and Q4_0")
    parser.add_argument("--past-dtype")
    parser.add_argument("--isa", help="instruction set of ours where a peer has none before its path")
    options = parser.parse_args()
    if bool(options.shape) == bool(options.model) or bool(options.model) != bool(options.gguf):
        parser.error("either --shape, or --model and --gguf")
    if options.shape and not options.dtype:
        options.dtype = "fp16"
    shapes = [s for given in options.shape for s in (TODAY if given == "today" else [given])]
    models = [(f"{s}, {options.dtype}", *made(s, options)) for s in shapes]
    if options.model:
        models = [(Path(options.model).name, options.model, options.gguf)]
    for name, model, gguf in models:
        for isa in dict.fromkeys(isa for isa, _ in options.peer):
            table(options, name, model, gguf, isa or options.isa, [path for i, path in options.peer if i == isa])


if __name__ == "__main__":
    main()
