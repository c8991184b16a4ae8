#!/usr/bin/env python3
"""How often `pkv check --recorded` takes a healthy model of transformers for a faulty one.

Small models of some 30 families, drawn at random, in fp32, bf16 and fp16, with eager attention and sdpa, are recorded by
record_transformers.py, cut in four ways, and checked. Nothing is planted, so every verdict of a fault is a false alarm.
A comparison is one text, cut one way. The seeds are other ones than those that bounds were chosen by (docs/causes.md).

Needs PyTorch and transformers, and a pkv that was built. On one core some 30 comparisons a second without probes.

Usage:
    healthy_in_transformers.py --pkv build/release/pkv
    healthy_in_transformers.py --pkv build/release/pkv --families "llama;qwen3_moe" --texts 2 --probes --seed 9
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time

import record_transformers

TOKENS, VOCAB = 24, 320
SPLITS = {"last": [23, 1], "halves": [12, 12], "single": [1] * 24, "mixed": [3, 5, 16]}
PLAIN = dict(vocab_size=VOCAB, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)
EXPERTS = dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=24)
OF_GPT = dict(vocab_size=VOCAB, n_embd=48, n_layer=3, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2)
WINDOWS = dict(sliding_window=9, layer_types=["sliding_attention", "full_attention", "sliding_attention"])
FAMILIES = {
    "llama": {}, "mistral": dict(head_dim=12, sliding_window=9), "ministral": dict(WINDOWS, head_dim=12),
    "qwen2": {}, "qwen3": dict(head_dim=12), "gemma": dict(head_dim=12), "gemma2": dict(head_dim=12, sliding_window=9),
    "gemma3_text": dict(WINDOWS, head_dim=12), "phi": dict(num_key_value_heads=4),
    "phi3": {}, "gpt_neox": dict(rotary_pct=0.5), "starcoder2": dict(sliding_window=9), "stablelm": dict(partial_rotary_factor=0.5), "olmo": {},
    "olmo2": {}, "olmo3": dict(WINDOWS), "granite": dict(attention_multiplier=1 / 12), "cohere": {}, "cohere2": dict(sliding_window=9),
    "glm": dict(head_dim=12), "glm4": dict(head_dim=12), "exaone4": dict(WINDOWS), "smollm3": {}, "nemotron": {},
    "apertus": {}, "arcee": {}, "helium": dict(head_dim=12), "seed_oss": dict(head_dim=12), "ernie4_5": dict(head_dim=12),
    "gpt2": OF_GPT, "gpt_bigcode": OF_GPT, "gptj": dict(OF_GPT, rotary_dim=8), "codegen": dict(OF_GPT, rotary_dim=8),
    "bloom": dict(vocab_size=VOCAB, hidden_size=48, n_layer=3, n_head=4),
    "opt": dict(vocab_size=VOCAB, hidden_size=48, num_hidden_layers=3, ffn_dim=80, num_attention_heads=4,
                max_position_embeddings=64, word_embed_proj_dim=48),
    "mixtral": dict(num_local_experts=6), "qwen2_moe": dict(EXPERTS, shared_expert_intermediate_size=32),
    "qwen3_moe": dict(EXPERTS, head_dim=12), "olmoe": dict(num_experts=6, num_experts_per_tok=2),
    "granitemoe": dict(num_local_experts=6, num_experts_per_tok=2, attention_multiplier=1 / 12),
    "gpt_oss": dict(head_dim=12, num_local_experts=6, num_experts_per_tok=2, sliding_window=9),
    # As their configs are by default, which no published model is: scores that are not scaled down, 3.5 times as large
    # as others', blow roundings up.
    "granite, unscaled": dict(model="granite"),
    "granitemoe, unscaled": dict(model="granitemoe", num_local_experts=6, num_experts_per_tok=2),
}


def model_of(family, attention, seed):
    import torch
    import transformers

    own = dict(FAMILIES[family])
    kind = own.pop("model", family)
    settings = own if "n_embd" in own or family in ("bloom", "opt") else {**PLAIN, **own}
    config = transformers.AutoConfig.for_model(kind, **settings)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention).float().eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=draw) * (1.5 / weight.shape[-1] ** 0.5))
            else:
                weight.add_(torch.randn(weight.shape, generator=draw) * 0.1)
    return model


def verdict(pkv, folder):
    """(whether it is said to be well, the outcome, its sentence, the difference as a share of the bound)"""
    files = [os.path.join(folder, f"{name}.safetensors") for name in ("without", "with")]
    done = subprocess.run([pkv, "check", "--recorded", *files, "--output", "json"], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(f"{pkv} failed: {done.stderr}")
    report = json.loads(done.stdout)
    told, bound = report["verdict"], report["bound"]["value"]
    return told["holds"], told["outcome"], told["sentence"], report["total"]["max_abs"] / bound if bound else 0


def without_probes(path):
    """The same recording as one that holds the two runs alone."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if name in ("ids", "logits")}
        metadata = {key: value for key, value in file.metadata().items() if not key.startswith(("probe", "rows.probe"))}
    save_file(tensors, path, metadata=metadata)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pkv", required=True, help="the program")
    parser.add_argument("--families", default=";".join(FAMILIES), help="a name, or several with ; between them")
    parser.add_argument("--formats", default="fp32,bf16,fp16")
    parser.add_argument("--attention", default="eager,sdpa")
    parser.add_argument("--splits", default=",".join(SPLITS))
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--probes", action=argparse.BooleanOptionalAction, default=False,
                        help="the extra runs, too, not the wider pair alone")
    parser.add_argument("--keep", metavar="FOLDER", help="keep what was taken for a fault")
    return parser.parse_args()


def main():
    args = parse()
    record_transformers.be_quiet()
    import torch

    torch.set_num_threads(1)
    sums, alone, started = collections.Counter(), collections.Counter(), time.time()
    most = collections.defaultdict(float)
    for family in args.families.split(";"):
        for attention in args.attention.split(","):
            try:
                model = model_of(family, attention, args.seed)
                model(torch.tensor([[3, 4, 5]]))
            except (ValueError, ImportError, RuntimeError, AttributeError) as error:
                print(f"no {family} with {attention}: {str(error).splitlines()[0][:80]}", flush=True)
                continue
            weights = {name: t.clone() for name, t in model.state_dict().items()}
            for format_ in args.formats.split(","):
                model.to(torch.float32).load_state_dict(weights)
                model.to(getattr(torch, record_transformers.FORMATS[format_]))
                for text in range(args.texts):
                    draw = torch.Generator().manual_seed(1000 * args.seed + text)
                    ids = torch.randint(3, VOCAB, (TOKENS,), generator=draw).tolist()
                    for split in args.splits.split(","):
                        with tempfile.TemporaryDirectory() as folder:
                            record_transformers.record_model(model, ids, SPLITS[split], folder, args.probes,
                                                             known={"model": family})
                            told = verdict(args.pkv, folder)
                            if args.keep and told[1] in ("differs", "not finite"):
                                to = os.path.join(args.keep, f"{family}-{attention}-{format_}-{text}-{split}")
                                os.makedirs(to, exist_ok=True)
                                for name in ("without", "with"):
                                    os.system(f"cp {folder}/{name}.safetensors {to}/")
                            without_probes(os.path.join(folder, "with.safetensors"))
                            bare = verdict(args.pkv, folder)
                        for sum_, (well, outcome, sentence, share) in ((sums, told), (alone, bare)):
                            sum_[format_, outcome] += 1
                            most[sum_ is sums, format_] = max(most[sum_ is sums, format_], share)
                            if not well:
                                which = "two runs alone" if sum_ is alone else "probes" if args.probes else "wider runs"
                                print(f"{which}: {family} | {attention} | {format_} | text {text} | {split}: {outcome}: "
                                      f"{sentence[:300]}", flush=True)
            print(f"{family} {attention}: {sum(sums.values())} comparisons, {time.time() - started:.0f} s", flush=True)
    for name, of in (("with probes" if args.probes else "with wider runs", sums), ("the two runs alone", alone)):
        print(f"{name}: {sum(of.values())} comparisons")
        for (format_, outcome), count in sorted(of.items()):
            print(f"    {format_:<6}{outcome:<24}{count}")
        shares = ", ".join(f"{f} {x:.2f}" for (own, f), x in sorted(most.items()) if own == (of is sums))
        print(f"    largest difference, of the bound: {shares}")


if __name__ == "__main__":
    main()
