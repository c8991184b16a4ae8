#!/usr/bin/env python3
"""Train and measure the five bundled models: tiny-gpt2, tiny-roberta, tiny-mpt, tiny-falcon, tiny-qwen3.

Usage:
    train_tiny_models.py --output-dir models                      all five side by side, on a GPU if there is one
    train_tiny_models.py --output-dir /tmp/try --steps 20 --corpus-bytes 300000     a quick try on any machine
    train_tiny_models.py --measure models                         recompute every figure from the saved folders

What comes out: one folder for each model, as save_pretrained writes it (config.json, generation_config.json, float32
model.safetensors) with the files of its tokenizer and training.json, which says how it was trained. --measure writes
measures.json into the given folder and prints the same figures as a Markdown table.

Training stops after --steps steps or --seconds seconds, whichever comes first; the learning rate falls to zero in
either case. The corpus comes from make_corpus.py and the tokenizers from tiny_tokenizers.py. One seed fixes the corpus,
the first weights and the order of the batches; sums on a GPU may still differ in the last bits.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
import transformers
from tokenizers import Tokenizer

import make_corpus
import tiny_measure
import tiny_tokenizers

CONTEXT = 256
WIDTH, HEADS = 96, 6
NAMES = list(tiny_tokenizers.BUILDERS)
MASKED_SHARE = 0.15


# --- models -----------------------------------------------------------------------------------------------------------


def gpt2_model(tokenizer):
    end = tokenizer.token_to_id("<|endoftext|>")
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=tokenizer.get_vocab_size(), n_positions=CONTEXT, n_embd=WIDTH, n_layer=5, n_head=HEADS,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=end, eos_token_id=end))


def roberta_model(tokenizer):
    return transformers.RobertaForMaskedLM(transformers.RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=CONTEXT + 2, hidden_size=WIDTH,
        num_hidden_layers=5, num_attention_heads=HEADS, intermediate_size=4 * WIDTH, type_vocab_size=1,
        layer_norm_eps=1e-5, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        bos_token_id=0, pad_token_id=1, eos_token_id=2))


def mpt_model(tokenizer):
    padded_vocab = -(-tokenizer.get_vocab_size() // 32) * 32  # more rows than tokens, as MPT-7B has
    return transformers.MptForCausalLM(transformers.MptConfig(
        vocab_size=padded_vocab, d_model=WIDTH, n_heads=HEADS, n_layers=5, max_seq_len=CONTEXT, expansion_ratio=4,
        learned_pos_emb=True, no_bias=True, use_cache=False, bos_token_id=0, eos_token_id=0,
        attn_config={"alibi": True, "alibi_bias_max": 8}))


def falcon_model(tokenizer):
    return transformers.FalconForCausalLM(transformers.FalconConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=WIDTH, num_hidden_layers=6, num_attention_heads=3,
        max_position_embeddings=CONTEXT, multi_query=True, parallel_attn=True, new_decoder_architecture=False,
        bias=False, alibi=False, bos_token_id=11, eos_token_id=11))


def qwen3_model(tokenizer):
    end = tokenizer.token_to_id("<|endoftext|>")
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=WIDTH, intermediate_size=256, num_hidden_layers=5,
        num_attention_heads=HEADS, num_key_value_heads=2, head_dim=24, max_position_embeddings=CONTEXT,
        use_sliding_window=True, sliding_window=64, max_window_layers=2,  # layers 0 and 1 see everything
        tie_word_embeddings=True, bos_token_id=end, eos_token_id=end))


MODELS = {"tiny-gpt2": gpt2_model, "tiny-roberta": roberta_model, "tiny-mpt": mpt_model, "tiny-falcon": falcon_model,
          "tiny-qwen3": qwen3_model}


# --- batches ----------------------------------------------------------------------------------------------------------


class Stream:
    """All documents' tokens in one row with a separator after each; rows of a batch are cut from it at random."""

    def __init__(self, tokenizer, texts, separator, device, seed):
        rows = [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        starts = torch.tensor([0] + [len(r) + 1 for r in rows[:-1]]).cumsum(0)
        self.tokens = torch.tensor([t for r in rows for t in (*r, separator)], device=device)
        self.starts = starts[starts < len(self.tokens) - CONTEXT].to(device)
        self.random = torch.Generator(device).manual_seed(seed)
        self.device = device

    def integers(self, high, count):
        return torch.randint(high, (count,), generator=self.random, device=self.device)

    def uniform(self, *shape):
        return torch.rand(shape, generator=self.random, device=self.device)

    def rows(self, count, length):
        """Half of the rows begin with a document, half anywhere."""
        at_document = self.starts[self.integers(len(self.starts), count)]
        anywhere = self.integers(len(self.tokens) - CONTEXT, count)
        first = torch.where(self.uniform(count) < 0.5, at_document, anywhere)
        return self.tokens[first[:, None] + torch.arange(length, device=self.device)]


def causal_loss(model, stream, batch):
    ids = stream.rows(batch, CONTEXT)
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())


def framed(stream, batch):
    """<s> text </s> <pad>...: half of the rows full, half cut to any length."""
    text = stream.rows(batch, CONTEXT - 2)
    length = torch.where(stream.uniform(batch) < 0.5, CONTEXT - 2, 4 + stream.integers(CONTEXT - 6, batch))[:, None]
    place = torch.arange(CONTEXT, device=stream.device)[None]
    ids = F.pad(text, (1, 1), value=0)
    ids = torch.where(place == length + 1, 2, ids)
    return torch.where(place > length + 1, 1, ids)


def masked_loss(model, stream, batch, mask_id):
    """15 % of the tokens are asked for: of these 80 % masked, 10 % replaced by any, 10 % left."""
    ids = framed(stream, batch)
    asked = (stream.uniform(*ids.shape) < MASKED_SHARE) & (ids > 3)
    how = stream.uniform(*ids.shape)
    seen = torch.where(asked & (how < 0.8), mask_id, ids)
    seen = torch.where(asked & (how >= 0.9), 4 + stream.integers(mask_id - 4, ids.numel()).view_as(ids), seen)
    logits = model(input_ids=seen, attention_mask=(ids != 1).long()).logits
    labels = torch.where(asked, ids, -100)
    return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten())


# --- training one model -----------------------------------------------------------------------------------------------


def optimizer_of(model, rate):
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
                             lr=rate, betas=(0.9, 0.98), fused=next(model.parameters()).is_cuda)


def rate_at(step, progress, peak, warm_steps):
    """Linear warm-up, then a cosine down to zero."""
    return peak * min(1.0, (step + 1) / warm_steps) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def fit(name, model, compute_loss, args):
    """Train in place; returns {steps, seconds, loss}."""
    optimizer = optimizer_of(model, args.rate)
    device = next(model.parameters()).device.type
    start, step, progress, average = None, 0, 0.0, None
    while progress < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, progress, args.rate, args.warm_steps)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            loss = compute_loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % 200 == 1:
            average = loss.item()
            start = start or time.time()  # the first step compiles; the clock starts after it
            print(f"{name} step {step} seconds {time.time() - start:.0f} loss {average:.4f}", flush=True)
        progress = max(step / args.steps, (time.time() - start) / args.seconds)
    return {"steps": step, "seconds": round(time.time() - start), "last_loss": round(loss.item(), 4)}


def compiled(model, loss_of, wanted):
    """The same module, compiled if that is wanted and works."""
    if not wanted:
        return model
    fast = torch.compile(model)
    try:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss_of(fast).backward()
        return fast
    except Exception as error:  # any failure of the compiler only costs speed
        print(f"not compiled: {error}", flush=True)
        return model
    finally:
        model.zero_grad(set_to_none=True)


def read_corpus(path):
    with open(path, encoding="utf-8") as f:
        return f.read().rstrip("\n").split("\n\n")


def beginning(name, texts, args):
    """(tokenizer, model, note for the record): new ones, or those saved in --resume."""
    if not args.resume:
        tokenizer = tiny_tokenizers.train(name, texts[: args.tokenizer_documents])
        return tokenizer, MODELS[name](tokenizer), {}
    folder = os.path.join(args.resume, name)
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    with open(os.path.join(folder, "training.json"), encoding="utf-8") as f:
        return tokenizer, type(MODELS[name](tokenizer)).from_pretrained(folder), {"continues": json.load(f)}


def train_one(name, args):
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    texts = read_corpus(args.corpus)
    tokenizer, model, before = beginning(name, texts, args)
    stream = Stream(tokenizer, texts, tiny_tokenizers.separator(name, tokenizer), device, args.seed)
    model.to(device).train()
    if name == "tiny-roberta":
        mask_id = tokenizer.token_to_id("<mask>")
        loss_of = lambda m: masked_loss(m, stream, args.batch, mask_id)
    else:
        loss_of = lambda m: causal_loss(m, stream, args.batch)
    fast = compiled(model, loss_of, args.compile and device == "cuda")
    done = fit(name, model, lambda: loss_of(fast), args)
    record = {**done, **settings(args), "corpus_tokens": len(stream.tokens), **before}
    save_one(name, model.cpu().eval(), tokenizer, record, args)


def settings(args):
    kept = ["seed", "batch", "rate", "warm_steps", "corpus_bytes", "tokenizer_documents"]
    return {**{k: getattr(args, k) for k in kept}, "context": CONTEXT, "torch": torch.__version__,
            "transformers": transformers.__version__,
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"}


def save_one(name, model, tokenizer, record, args):
    folder = os.path.join(args.output_dir, name)
    os.makedirs(folder, exist_ok=True)
    model.save_pretrained(folder)
    if not os.path.exists(os.path.join(folder, "generation_config.json")):  # RoBERTa does not generate
        transformers.GenerationConfig.from_model_config(model.config).save_pretrained(folder)
    tiny_tokenizers.save(name, tokenizer, folder)
    tiny_tokenizers.write_json(folder, "training.json", record, indent=2)
    print(f"{name} saved: {record}", flush=True)


# --- all five ---------------------------------------------------------------------------------------------------------


def write_corpus(args):
    path = os.path.join(args.output_dir, "corpus.txt")
    texts = make_corpus.take(make_corpus.documents(args.seed, "train"), args.corpus_bytes, None)
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write("\n\n".join(texts) + "\n")
    return path


def train_all(args, argv):
    """One process for each model, all on the same device."""
    os.makedirs(args.output_dir, exist_ok=True)
    corpus = write_corpus(args)
    command = [sys.executable, os.path.abspath(__file__), *argv, "--corpus", corpus]
    running = {name: subprocess.Popen([*command, "--worker", name]) for name in args.models}
    failed = [name for name, process in running.items() if process.wait() != 0]
    os.remove(corpus)
    if failed:
        sys.exit(f"training failed: {', '.join(failed)}")


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", default="models")
    parser.add_argument("--models", nargs="+", choices=NAMES, default=NAMES, help="which to train (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--seconds", type=float, default=math.inf, help="time for each model")
    parser.add_argument("--batch", type=int, default=64, help=f"rows of {CONTEXT} tokens in a step")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--warm-steps", type=int, default=400)
    parser.add_argument("--corpus-bytes", type=int, default=60_000_000)
    parser.add_argument("--tokenizer-documents", type=int, default=20_000)
    parser.add_argument("--compile", action="store_true", help="use torch.compile on a GPU")
    parser.add_argument("--resume", metavar="DIR", help="go on from the models and tokenizers saved in DIR")
    parser.add_argument("--measure", metavar="DIR", help="measure the models saved in DIR and train nothing")
    parser.add_argument("--corpus", help=argparse.SUPPRESS)
    parser.add_argument("--worker", choices=NAMES, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main():
    args = parse(sys.argv[1:])
    if args.measure:
        tiny_measure.measure_all(args.measure, [n for n in NAMES if n in args.models])
    elif args.worker:
        train_one(args.worker, args)
    else:
        train_all(args, sys.argv[1:])


if __name__ == "__main__":
    main()
