#!/usr/bin/env python3
"""Goldens for `pkv perplexity`, made by transformers with the loop of its guide "Perplexity of fixed-length models".

    tools/make_perplexity_goldens.py

Writes to tests/golden/perplexity/:

    text.txt           stories of tools/make_corpus.py, held out from what the bundled models were trained on
    expected.json      library: versions; cases: for each model and stride
        tokens         of the text
        predicted      tokens that the loop scored
        mean_nll       nats per predicted token, float64 weights and arithmetic
        mean_nll_f32   the same of transformers' own fp32 run: how far rounding alone moves the figure
        standard_error of mean_nll: sample deviation / sqrt(predicted)
        guide_mean_nll as the guide adds up: it multiplies a window's mean by one less than the tokens it scored even
                       where the window before has given the first one a context, so it differs for stride < context

The windows are the guide's. What is added up here is the loss of every scored token, each once.
"""

import json
import os
import subprocess
import sys

import torch
import transformers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "tests", "golden", "perplexity")
MODELS = ["tiny-gpt2", "tiny-mpt", "tiny-falcon"]
CONTEXT = 256


def windows(length, stride):
    """(begin, first scored target, end) of each window."""
    previous = 0
    for begin in range(0, length, stride):
        end = min(begin + CONTEXT, length)
        yield begin, max(previous, begin + 1), end
        previous = end
        if end == length:
            break


@torch.no_grad()
def losses(model, ids, stride):
    """The loss of every scored token, and the mean as the guide weighs it."""
    scored, guide_sum, guide_count = [], 0.0, 0
    previous = 0
    for begin, first, end in windows(len(ids), stride):
        inputs = ids[begin:end].unsqueeze(0)
        logits = model(inputs, use_cache=False).logits[0]
        rows = torch.log_softmax(logits[first - begin - 1:end - begin - 1].double(), dim=-1)
        own = -rows.gather(1, ids[first:end].unsqueeze(1)).squeeze(1)
        scored.append(own)
        if len(own):
            guide_sum += own.mean().item() * (end - previous - 1)
            guide_count += end - previous - 1
        previous = end
    return torch.cat(scored), guide_sum / guide_count


def measure(name, text, stride):
    folder = os.path.join(ROOT, "models", name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor(tokenizer(text)["input_ids"])
    # Eager: the other kernels compute a part in fp32 whatever the weights are.
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    single, _ = losses(model.eval(), ids, stride)
    exact, guide = losses(model.double(), ids, stride)
    return {
        "model": name,
        "stride": stride,
        "tokens": len(ids),
        "predicted": len(exact),
        "mean_nll": exact.mean().item(),
        "mean_nll_f32": single.mean().item(),
        "standard_error": (exact.std() / len(exact) ** 0.5).item(),
        "guide_mean_nll": guide,
    }


def main():
    os.makedirs(OUT, exist_ok=True)
    path = os.path.join(OUT, "text.txt")
    corpus = os.path.join(ROOT, "tools", "make_corpus.py")
    subprocess.run([sys.executable, corpus, "--split", "heldout", "--documents", "64", "--output", path], check=True)
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    cases = [measure(name, text, stride) for name in MODELS for stride in (CONTEXT, CONTEXT // 2)]
    library = f"transformers {transformers.__version__}, torch {torch.__version__}"
    with open(os.path.join(OUT, "expected.json"), "w", encoding="utf-8") as file:
        json.dump({"library": library, "context": CONTEXT, "cases": cases}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
