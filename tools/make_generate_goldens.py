#!/usr/bin/env python3
"""Goldens for `pkv generate`, made by transformers' generate() and its logits processors.

    tools/make_generate_goldens.py

Writes to tests/golden/generate/:

    text.json      library: versions; cases: a bundled model, a prompt, the arguments of generate(), and what came out
        ids        the new tokens, up to the first whose score leads the next best by less than CLEAR_MARGIN: from there
                   on rounding may decide
        complete   nothing was cut off: the last id is the last that generate() gave
        margin     the least lead of all that are left
    scores.json    library: versions; logits: vectors of fp32 values; cases: which vector, the tokens of the text, the
                   settings, and the tokens that transformers' processors leave, with their processed scores

Draws cannot be compared, random streams differ; so what they are made from is. The processors are put together by
transformers itself (_get_logits_processor). A case in which rounding decides what is left is refused.
"""

import copy
import json
import os

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "tests", "golden", "generate")
MODELS = ["tiny-gpt2", "tiny-mpt", "tiny-falcon"]
CLEAR_MARGIN = 1e-3  # of scores between 1 and 20: a hundred times what the models' logits differ by
PROMPTS = ["Once upon a time", "I like to eat", "Lily and Tom went to the park.", "\n"]
VOCAB = 500


def text_cases(model, tokenizer):
    eos = model.generation_config.eos_token_id
    for prompt in PROMPTS:
        yield prompt, {"max_new_tokens": 200, "eos_token_id": None}
    yield PROMPTS[0], {"max_new_tokens": 240}
    yield PROMPTS[1], {"max_new_tokens": 1}
    yield PROMPTS[2], {"max_new_tokens": 100, "eos_token_id": [eos, tokenizer.encode(" and", add_special_tokens=False)[0]]}
    for penalty in (0.7, 1.1, 1.3, 3.0):
        yield PROMPTS[0], {"max_new_tokens": 120, "repetition_penalty": penalty, "eos_token_id": None}
    for stops in (["."], ["the"], [" to ", "and"], ["e w", "x"], ["no such words"], [" She", "H", "es"]):
        yield PROMPTS[1], {"max_new_tokens": 60, "stop_strings": stops, "eos_token_id": None}
    # Begins in the prompt and ends behind it.
    yield "Once upon a ti", {"max_new_tokens": 40, "stop_strings": ["time", "tim", " tin"]}


def text_case(name, model, tokenizer, prompt, arguments):
    model.generation_config.eos_token_id = arguments.get("eos_token_id", model.generation_config.eos_token_id)
    ids = torch.tensor([tokenizer.encode(prompt)])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, return_dict_in_generate=True,
                         output_scores=True, tokenizer=tokenizer if "stop_strings" in arguments else None, **arguments)
    new = out.sequences[0, ids.shape[1]:].tolist()
    leads = [(best.values[0, 0] - best.values[0, 1]).item() for best in (s.topk(2) for s in out.scores)]
    unclear = next((i for i, lead in enumerate(leads) if lead < CLEAR_MARGIN), len(new))
    return {"model": name, "prompt": prompt, "prompt_ids": ids[0].tolist(), "arguments": arguments,
            "ids": new[:unclear], "complete": unclear == len(new),
            "margin": float(f"{min(leads[:unclear], default=0):.2g}")}


def make_texts():
    cases = []
    for name in MODELS:
        folder = os.path.join(ROOT, "models", name)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        own = model.generation_config
        for prompt, arguments in text_cases(model, tokenizer):
            model.generation_config = copy.deepcopy(own)
            cases.append(text_case(name, model, tokenizer, prompt, arguments))
            c = cases[-1]
            print(f"{name:12} {len(c['ids']):4} of {arguments['max_new_tokens']:3} complete {c['complete']!s:5} "
                  f"margin {c['margin']:8} {prompt!r} {arguments}", flush=True)
    return cases


def vectors():
    g = torch.Generator().manual_seed(1)
    yield "normal", torch.randn(VOCAB, generator=g) * 4
    yield "wide", torch.randn(VOCAB, generator=g) * 30 - 100
    yield "flat", torch.randn(VOCAB, generator=g) * 0.01 + 5
    yield "ties", (torch.randn(VOCAB, generator=g) * 8).round() / 4
    peaked = torch.randn(VOCAB, generator=g)
    peaked[17] = 40.0
    yield "peaked", peaked


SETTINGS = [
    {"temperature": 0.7, "top_k": 0}, {"temperature": 1.9, "top_k": 0}, {"top_k": 1}, {"top_k": 7}, {"top_k": 50},
    {"top_k": 63}, {"top_k": 499}, {"top_k": 500}, {"top_k": 5000},
    {"top_k": 0, "top_p": 0.1}, {"top_k": 0, "top_p": 0.5}, {"top_k": 0, "top_p": 0.9}, {"top_k": 0, "top_p": 0.999},
    {"top_k": 0, "top_p": 0.0}, {"top_k": 0, "min_p": 0.02}, {"top_k": 0, "min_p": 0.3}, {"top_k": 0, "min_p": 1.0},
    {"top_k": 20, "top_p": 0.8}, {"temperature": 0.6, "top_k": 40, "top_p": 0.95},
    {"temperature": 1.5, "top_k": 40, "top_p": 0.9, "min_p": 0.05},
    {"temperature": 0.8, "top_k": 0, "top_p": 0.9, "min_p": 0.1}, {"temperature": 1.3, "top_k": 30, "min_p": 0.2},
    {"repetition_penalty": 1.3, "top_k": 10}, {"repetition_penalty": 0.6, "temperature": 1.2, "top_k": 25},
    {"repetition_penalty": 1.2, "temperature": 0.9, "top_k": 40, "top_p": 0.85, "min_p": 0.03},
]


def clear(scores, settings):
    """No threshold of top_p or min_p lies within 1e-5 of what it is compared with, nor between equal scores."""
    exact = scores.double()
    if settings.get("temperature", 1.0) != 1.0:
        exact = exact / settings["temperature"]
    if 0 < settings["top_k"] < VOCAB:
        exact[scores < scores.topk(settings["top_k"]).values[-1]] = -torch.inf
    if settings.get("top_p", 1.0) < 1:
        ordered, order = exact.sort(descending=True)
        cumulative = ordered.softmax(-1).cumsum(-1)
        if (cumulative - settings["top_p"]).abs().min() < 1e-5 and settings["top_p"] > 0:
            return False
        kept = max(1, int((cumulative < settings["top_p"]).sum()) + 1)
        if kept < VOCAB and ordered[kept - 1] == ordered[kept]:
            return False
        exact[order[kept:]] = -torch.inf
    share = exact.softmax(-1) / exact.softmax(-1).max()
    return "min_p" not in settings or settings["min_p"] == 1.0 or (share - settings["min_p"]).abs().min() > 1e-5


def make_scores():
    model = AutoModelForCausalLM.from_pretrained(os.path.join(ROOT, "models", MODELS[0]))
    logits = dict(vectors())
    cases, unclear = [], []
    text = torch.tensor([[3, 17, 3, 200, 499]])
    for settings in SETTINGS:
        config = GenerationConfig(do_sample=True, **settings)
        processors = model._get_logits_processor(generation_config=config, input_ids_seq_length=text.shape[1])
        penalty = GenerationConfig(repetition_penalty=settings.get("repetition_penalty", 1.0))
        penalise = model._get_logits_processor(generation_config=penalty, input_ids_seq_length=text.shape[1])
        for name, values in logits.items():
            if not clear(penalise(text, values[None].clone())[0], settings):
                unclear.append((name, settings))
                continue
            scores = processors(text, values[None].clone())[0]
            left = torch.isfinite(scores).nonzero()[:, 0]
            cases.append({"logits": name, "text": text[0].tolist(), "settings": settings,
                          "ids": left.tolist(), "scores": scores[left].tolist()})
    print(f"scores: {len(cases)} cases; unclear and left out: {unclear}")
    return {name: values.tolist() for name, values in logits.items()}, cases


def save(name, content):
    versions = {"transformers": transformers.__version__, "torch": torch.__version__,
                "made_by": "tools/make_generate_goldens.py"}
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items() if key != "cases"]
        cases = ",\n".join(json.dumps(case) for case in content["cases"])
        f.write("{" + ",\n".join([f'"library": {json.dumps(versions)}', *lines, f'"cases": [\n{cases}\n]']) + "}\n")


def main():
    torch.set_num_threads(1)  # one order of summation
    os.makedirs(OUT, exist_ok=True)
    logits, cases = make_scores()
    save("scores.json", {"logits": logits, "cases": cases})
    save("text.json", {"cases": make_texts()})


if __name__ == "__main__":
    main()
