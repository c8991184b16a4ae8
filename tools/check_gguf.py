#!/usr/bin/env python3
"""What pkv makes of a real GGUF file, against transformers with the file's decoded weights in fp32 (gguf_file=).

    tools/check_gguf.py PKV FILE [TEXT_FILE]

Prints the largest difference of a logit, the mean divergence and how many top tokens are others, on the first 128 tokens of
the text; the same of `--numerics llama.cpp`; whether both write the same 24 tokens greedily; perplexity of both; and what
`pkv check` says. Token ids are pkv's: transformers reads no tokenizer.ggml.pre. Needs torch, transformers, gguf and
safetensors.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

ROOT = Path(__file__).resolve().parent.parent
TOKENS, NEW, PROMPT = 128, 24, 16


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def compare(name, logits, judge):
    p, q = (torch.log_softmax(x.double(), -1) for x in (judge, logits))
    divergence = (p.exp() * (p - q)).sum(-1).mean().item()
    others = (logits.argmax(-1) != judge.argmax(-1)).sum().item()
    print(f"{name}: largest difference of a logit {(logits - judge).abs().max().item():.4f}, of logits to "
          f"{judge.abs().max().item():.1f}; mean KL {divergence:.2e}; {others} of {len(judge)} top tokens others")


def main():
    pkv, file = Path(sys.argv[1]), Path(sys.argv[2])
    logging.disable_progress_bar()
    text = Path(sys.argv[3]) if len(sys.argv) > 3 else ROOT / "tests/golden/perplexity/text.txt"
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32,
                                                 attn_implementation="eager").eval()
    ids = [int(i) for i in run(pkv, "tokenize", file, "--text-file", text).split()][:TOKENS]
    given = ",".join(map(str, ids))
    with torch.no_grad():
        judge = model(torch.tensor([ids])).logits[0].float()
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "logits.safetensors")
        for options in ([], ["--past-dtype", "fp32"], ["--numerics", "llama.cpp"]):
            run(pkv, "logits", file, "--ids", given, "--output-file", out, *options)
            compare(" ".join(["pkv", *options]), load_file(out)["logits"].float().reshape(judge.shape), judge)
    prompt = ids[:PROMPT]
    with torch.no_grad():
        theirs = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=NEW, eos_token_id=None,
                                repetition_penalty=1.0)[0][PROMPT:].tolist()
    said = json.loads(run(pkv, "generate", file, "--ids", ",".join(map(str, prompt)), "--greedy", "--new-tokens", NEW,
                          "--ignore-eos", "--output", "json"))
    ours = said["sequences"][0]["ids"]
    print(f"greedy: {'the same' if ours[-NEW:] == theirs else 'others'}: {theirs}" +
          ("" if ours[-NEW:] == theirs else f" and {ours[-NEW:]}"))
    losses = torch.nn.functional.cross_entropy(judge[:-1].double(), torch.tensor(ids[1:]))
    print(f"perplexity of transformers on these tokens: {math.exp(losses.item()):.4f}")
    print(run(pkv, "check", file, "--ids", ",".join(map(str, ids[:40]))))


if __name__ == "__main__":
    main()
