"""What the bundled models reach on text that they never saw. Used by train_tiny_models.py --measure.

Held-out perplexity stands beside that of a bigram model on the same tokens. The bigram model is counted on the train
split, smoothed towards the unigram, and gets the smoothing that suits the held-out text best, so it is not cheated.
For tiny-roberta every token in turn is masked; its rival knows the neighbours on both sides.

Far context is measured on held-out stories: is the last name right, and does another name at the story's start change
the last name to the other one?
"""

import json
import math
import os

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

import make_corpus
import tiny_tokenizers

SEED = 2
CONTEXT = 256
HELDOUT_DOCUMENTS = 400
MASKED_DOCUMENTS = 60
BIGRAM_BYTES = 6_000_000
STORIES = 300
SMOOTHING = [0.1, 0.3, 1, 3, 10, 30, 100]


# --- the bigram rival -------------------------------------------------------------------------------------------------


class Bigram:
    def __init__(self, rows, vocab):
        self.pairs = torch.zeros(vocab, vocab, dtype=torch.float64)
        flat = torch.cat(rows)
        self.pairs.view(-1).index_add_(0, flat[:-1] * vocab + flat[1:], torch.ones(len(flat) - 1, dtype=torch.float64))
        single = self.pairs.sum(0) + 1
        self.single = single / single.sum()

    def table(self, k):
        """[vocab, vocab] probabilities of the next token, smoothed by k tokens' worth of the unigram."""
        return (self.pairs + k * self.single) / (self.pairs.sum(1, keepdim=True) + k)

    def perplexity(self, rows):
        left, right = torch.cat([r[:-1] for r in rows]), torch.cat([r[1:] for r in rows])
        return min(math.exp(-self.table(k)[left, right].log().mean()) for k in SMOOTHING)

    def masked(self, left, middle, right):
        """(pseudo-perplexity, accuracy) of the middle token given both its neighbours."""
        best = (math.inf, 0.0)
        for k in SMOOTHING:
            t = self.table(k)
            scores = t[left] * t[:, right].T
            scores /= scores.sum(1, keepdim=True)
            loss = -scores[torch.arange(len(middle)), middle].log().mean()
            best = min(best, (math.exp(loss), (scores.argmax(1) == middle).double().mean().item()))
        return best


# --- text -------------------------------------------------------------------------------------------------------------


def encoded(tokenizer, texts, separator):
    return [torch.tensor([*e.ids, separator]) for e in tokenizer.encode_batch(texts, add_special_tokens=False)]


def packed(rows):
    """Whole documents side by side in rows of at most CONTEXT tokens."""
    out, current = [], torch.tensor([], dtype=torch.long)
    for r in rows:
        if len(current) + len(r) > CONTEXT:
            out.append(current)
            current = r
        else:
            current = torch.cat([current, r])
    return [*out, current]


def padded(rows, value):
    length = max(len(r) for r in rows)
    return torch.stack([F.pad(r, (0, length - len(r)), value=value) for r in rows])


def batches(rows, size=64):
    return [rows[i:i + size] for i in range(0, len(rows), size)]


# --- causal models ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def causal_perplexity(model, rows):
    total, count = 0.0, 0
    for group in batches(rows):
        ids = padded(group, 0)
        wanted = padded(group, -100)[:, 1:]
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        total += F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=-100, reduction="sum").item()
        count += (wanted != -100).sum().item()
    return math.exp(total / count)


@torch.no_grad()
def greedy(model, tokenizer, text, count=24):
    ids = torch.tensor([tokenizer.encode(text).ids])
    for _ in range(count):
        following = model(input_ids=ids, use_cache=False).logits[:, -1:].argmax(-1)
        ids = torch.cat([ids, following], 1)
    return tokenizer.decode(ids[0].tolist(), skip_special_tokens=False)


@torch.no_grad()
def causal_answers(model, tokenizer, texts):
    """The token after each text."""
    answers = []
    for group in batches([torch.tensor(tokenizer.encode(t).ids) for t in texts]):
        logits = model(input_ids=padded(group, 0), use_cache=False).logits
        answers += [logits[i, len(r) - 1].argmax().item() for i, r in enumerate(group)]
    return answers


def first_ids(tokenizer, words):
    return [tokenizer.encode(w, add_special_tokens=False).ids[0] for w in words]


def far_context(answers_of, tokenizer):
    """Names right, right after the swap, and flipped by it, as shares of the stories."""
    found = make_corpus.heldout_stories(SEED, STORIES)
    names, others = (first_ids(tokenizer, column) for column in
                     ([s.answer for s, _, _ in found], [other for _, _, other in found]))
    before = answers_of([s.text for s, _, _ in found])
    after = answers_of([text for _, text, _ in found])
    share = lambda hits: round(sum(hits) / len(hits), 4)
    right = [b == n for b, n in zip(before, names)]
    return {"stories": len(found),
            "name_accuracy": share(right),
            "name_accuracy_one_owner": share([r for r, (s, _, _) in zip(right, found) if len(s.owners) == 1]),
            "name_accuracy_after_swap": share([a == o for a, o in zip(after, others)]),
            "flipped_by_swap": share([r and a == o for r, a, o in zip(right, after, others)])}


def measure_causal(folder, tokenizer, train, heldout):
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    rows = packed(heldout)
    ours, bigram = causal_perplexity(model, rows), Bigram(train, model.config.vocab_size).perplexity(rows)
    return {"parameters": model.num_parameters(), "heldout_tokens": sum(len(r) - 1 for r in rows),
            "perplexity": round(ours, 3), "bigram_perplexity": round(bigram, 3),
            **far_context(lambda texts: causal_answers(model, tokenizer, texts), tokenizer),
            "continuation": greedy(model, tokenizer, "I like to eat")}


# --- tiny-roberta -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def masked_logits(model, rows, places):
    """Logits at one place of each row."""
    out = []
    for group in batches(list(zip(rows, places)), 128):
        ids = padded([r for r, _ in group], 1)
        hidden = model.roberta(input_ids=ids, attention_mask=(ids != 1).long())[0]
        out.append(model.lm_head(hidden[torch.arange(len(group)), torch.tensor([p for _, p in group])]))
    return torch.cat(out)


def framed(tokenizer, text):
    return torch.tensor(tokenizer.encode(text).ids)


def each_masked(rows, mask_id):
    """Every inner token of every row masked in turn: (rows, places, tokens)."""
    out = []
    for r in rows:
        for place in range(1, len(r) - 1):
            changed = r.clone()
            changed[place] = mask_id
            out.append((changed, place, r[place].item()))
    return zip(*out)


def roberta_answers(model, tokenizer, texts):
    mask_id = tokenizer.token_to_id("<mask>")
    rows = [framed(tokenizer, t + "<mask>.") for t in texts]
    places = [(r == mask_id).nonzero().item() for r in rows]
    return masked_logits(model, rows, places).argmax(1).tolist()


def measure_roberta(folder, tokenizer, train, heldout_texts):
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    rows, places, tokens = each_masked([framed(tokenizer, t)[:CONTEXT] for t in heldout_texts[:MASKED_DOCUMENTS]],
                                       tokenizer.token_to_id("<mask>"))
    logits, middle = masked_logits(model, rows, places), torch.tensor(tokens)
    left = torch.tensor([2 if p == 1 else r[p - 1].item() for r, p in zip(rows, places)])  # </s> came before, in train
    right = torch.tensor([r[p + 1].item() for r, p in zip(rows, places)])
    bigram, bigram_accuracy = Bigram(train, model.config.vocab_size).masked(left, middle, right)
    fill = roberta_answers(model, tokenizer, ["I like to eat"])
    return {"parameters": model.num_parameters(), "heldout_tokens": len(middle),
            "perplexity": round(math.exp(F.cross_entropy(logits, middle)), 3), "bigram_perplexity": round(bigram, 3),
            "masked_accuracy": round((logits.argmax(1) == middle).double().mean().item(), 4),
            "bigram_masked_accuracy": round(bigram_accuracy, 4),
            **far_context(lambda texts: roberta_answers(model, tokenizer, texts), tokenizer),
            "continuation": "I like to eat" + tokenizer.decode(fill) + "."}


# --- all --------------------------------------------------------------------------------------------------------------


def measure_one(name, folder, train_texts, heldout_texts):
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    separator = tiny_tokenizers.separator(name, tokenizer)
    train = encoded(tokenizer, train_texts, separator)
    if name == "tiny-roberta":
        return measure_roberta(folder, tokenizer, train, heldout_texts)
    return measure_causal(folder, tokenizer, train, encoded(tokenizer, heldout_texts, separator))


def table(results):
    lines = ["| model | parameters | perplexity | bigram | last name right | one owner | flipped by swap | "
             "\"I like to eat\" |", "|---|---|---|---|---|---|---|---|"]
    for name, r in results.items():
        text = r["continuation"].replace("\n", " ").replace("|", "\\|")
        lines.append(f"| {name} | {r['parameters']:,} | {r['perplexity']:.2f} | {r['bigram_perplexity']:.2f} | "
                     f"{r['name_accuracy']:.1%} | {r['name_accuracy_one_owner']:.1%} | {r['flipped_by_swap']:.1%} | {text} |")
    return "\n".join(lines)


def measure_all(directory, names):
    train = make_corpus.take(make_corpus.documents(SEED, "train"), BIGRAM_BYTES, None)
    heldout = make_corpus.take(make_corpus.documents(SEED, "heldout"), None, HELDOUT_DOCUMENTS)
    results = {n: measure_one(n, os.path.join(directory, n), train, heldout) for n in names
               if os.path.isdir(os.path.join(directory, n))}
    with open(os.path.join(directory, "measures.json"), "w", encoding="utf-8", newline="\n") as f:
        json.dump(results, f, indent=2, ensure_ascii=False)
        f.write("\n")
    print(table(results))
