#!/usr/bin/env python3
"""Times bench_decode and a peer's llama-bench in alternation on the same shape, and prints ratios.

Memory and clock of a shared machine drift by tens of percent within minutes, so only figures taken next to each other
compare: each round runs the peer once and ours once, and the ratio is that of the round; medians over rounds are
printed. The peer may be llama.cpp's or ik_llama.cpp's llama-bench (the latter has no -d and is asked with -gp).

    bench/compare.py --ours build/release/bench/bench_decode --model DIR --peer llama-bench --gguf FILE
    bench/compare.py --model DIR --peer a/llama-bench --peer b/llama-bench --gguf FILE --prefill 128,512 --depth 0,512
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def numbers(text):
    return [int(n) for n in text.split(",") if n]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"compare: {' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def ours(options, work, number):
    command = [options.ours, "--model", options.model, "--no-check", "--rounds", "3", "--threads", options.threads]
    command += ["--prefill", str(number) if work == "prefill" else "", "--depth", str(number) if work == "decode" else ""]
    command += ["--output", "json"]
    for name in ("load_in", "dtype", "past_dtype", "isa"):
        if getattr(options, name):
            command += ["--" + name.replace("_", "-"), getattr(options, name)]
    lines = json.loads(run([str(c) for c in command])).get("lines")
    if not lines:
        what = f"prefill of {number} tokens" if work == "prefill" else f"decoding at depth {number}"
        sys.exit(f"compare: ours ran no {what}: it does not fit in the context of {options.model}")
    line = lines[0]
    return line["tokens_per_second"], line["share_of_peak"]


def takes_depth(peer):
    text = subprocess.run([peer, "--help"], capture_output=True, text=True)
    return re.search(r"\s(-d|--n-depth)\b", text.stdout + text.stderr) is not None


def theirs(options, peer, with_depth, work, number):
    command = [peer, "-m", options.gguf, "-t", options.threads, "-r", "1", "-o", "json"]
    if work == "prefill":
        command += ["-p", number, "-n", 0]
    elif with_depth:
        command += ["-p", 0, "-n", options.steps, "-d", number]
    elif number == 0:
        command += ["-p", 0, "-n", options.steps]
    else:
        command += ["-p", 0, "-n", 0, "-gp", f"{number},{options.steps}"]
    text = run([str(c) for c in command])
    return json.loads(text[text.index("[") :])[0]["avg_ts"]


def compare(options, work, number, depths):
    """Medians over rounds: our rate and share, each peer's rate, and our rate over each peer's in the same round."""
    own, shares, rates = [], [], {p: [] for p in options.peer}
    for _ in range(options.rounds):
        for peer in options.peer:
            rates[peer].append(theirs(options, peer, depths[peer], work, number))
        rate, share = ours(options, work, number)
        own.append(rate)
        shares.append(share)
    ratios = [statistics.median(a / b for a, b in zip(own, rates[p])) for p in options.peer]
    return statistics.median(own), statistics.median(shares), [statistics.median(rates[p]) for p in options.peer], ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", default=ROOT / "build/release/bench/bench_decode")
    parser.add_argument("--model", required=True, help="model folder for ours")
    parser.add_argument("--peer", action="append", required=True, help="path of a llama-bench; may be given twice")
    parser.add_argument("--gguf", required=True, help="the same shape for the peer")
    parser.add_argument("--prefill", type=numbers, default=[128, 512])
    parser.add_argument("--depth", type=numbers, default=[0, 512])
    parser.add_argument("--steps", type=int, default=16, help="tokens that the peer generates")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default=2)
    parser.add_argument("--dtype")
    parser.add_argument("--load-in", help="ours: int8, fp4 or nf4; nearest to the peer's Q8_0 and Q4_0")
    parser.add_argument("--past-dtype")
    parser.add_argument("--isa", help="instruction set of ours; the peer's is what it was compiled for")
    options = parser.parse_args()
    depths = {p: takes_depth(p) for p in options.peer}
    names = [Path(p).resolve().parts[-4] if len(Path(p).resolve().parts) > 3 else p for p in options.peer]
    print("| work | ours, tokens/s | share of peak |" + "".join(f" {n} | ratio |" for n in names))
    print("|---|---:|---:|" + "---:|---:|" * len(names))
    for work, values in (("prefill", options.prefill), ("decode", options.depth)):
        for number in values:
            rate, share, rates, ratios = compare(options, work, number, depths)
            what = f"prefill of {number}" if work == "prefill" else f"decode at depth {number}"
            cells = "".join(f" {r:.1f} | {q:.2f} |" for r, q in zip(rates, ratios))
            print(f"| {what} | {rate:.1f} | {share:.2f} |{cells}", flush=True)


if __name__ == "__main__":
    main()
