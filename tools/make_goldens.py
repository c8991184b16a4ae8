#!/usr/bin/env python3
"""Record what transformers computes, for the engine's golden tests.

Usage:
    make_goldens.py                                   everything, into tests/golden/data
    make_goldens.py --output-dir /tmp/g --only gpt2   the cases whose name begins with gpt2
    make_goldens.py --models models --only bundled    the bundled models only

For each case of golden_cases.py a folder <name>/ with a model as save_pretrained writes it (random weights) and
expected.safetensors:

    ids                 int64 [n]              the text
    logits              float32 [n, vocab]     float32 run, attention as named in provenance.json
    hidden_states.<i>   float32 [n, hidden]    i = 0 (embeddings) ... layers; the last one comes after the final norm
                                               where the family has one
    keys.<i> values.<i> float32 [kv_heads, n, head_dim]   as cached: keys after rotation
    greedy              int64 [20]             the best token, 20 times, after ids[:8]; causal cases only
    rows                int64 [r]              decoders of golden_decoders.py only: the rows of which logits and hidden
                                               states are kept; keys and values are not
    logits_eager        float32 [n, vocab]     Falcon with ALiBi only: what "eager" gives, see golden_cases.py

logits, hidden_states, keys and values stand there a second time with the suffix _f64 (logits_f64, keys_f64.0): the same
weights, run in float64. For each bundled model a folder bundled-<name>/ holds expected.safetensors alone: ids1..ids3
and logits1..logits3, and a longer text ids4 with the logits of the rows named in rows4.

Where transformers leaves float64 in a float64 run, golden_families.py patches it for that run alone, and refuses a run
that leaves it all the same. Falcon's ALiBi in bfloat16 is not patched: it is part of what the model computes. Falcon caches the new architecture's
keys and values once for each query head; they are stored here once for each key head, after a check that the copies
are equal.
"""

import argparse
import contextlib
import json
import math
import os
import shutil

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import safetensors.torch
import tokenizers
import torch
import torch.nn.functional as F
import transformers

import golden_experts
import golden_families
import make_corpus
from golden_cases import CASES as FIRST_CASES
from golden_decoders import CASES as DECODER_CASES
from golden_decoders import families
from golden_families import FAMILIES, in_double, replaced

transformers.utils.logging.disable_progress_bar()

GREEDY_FROM, GREEDY_COUNT = 8, 20
CASES = FIRST_CASES + DECODER_CASES + golden_experts.CASES
FAMILIES |= families() | golden_experts.families()
CLEAR_DIFFERENCE = 1e-2  # of logits, where a setting has to matter
CLEAR_MARGIN = 2e-3  # best logit minus second best, in every greedy step
BUNDLED_TEXTS = ["I like to eat", "One, two, three, four", 'Anna said, "I am going']
MODEL_FILES = ("config.json", "generation_config.json")


# --- random weights ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def randomize(model, seed, qk_gain):
    """Every parameter random, none left at a default that could hide a fault."""
    golden_families.check(model)
    family = golden_families.of(model.config)
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=g)
        if golden_families.is_norm(name):
            p.copy_(family.norm_centre + 0.3 * noise if name.endswith("weight") else 0.3 * noise)
        elif p.dim() == 1:
            p.copy_(0.3 * noise)
        else:
            fan_in = p.shape[0] if family.conv1d else p.shape[1]
            p.copy_(0.7 * noise if golden_families.is_embedding(family, name) else noise / math.sqrt(fan_in))
        if any(part in name for part in ("q_norm", "k_norm", "query_layernorm", "key_layernorm", "q_layernorm",
                                         "k_layernorm")):
            p += (qk_gain - 1) * (p + (1 - family.norm_centre))
        if name.endswith("A_log"):  # steps of a recurrence that keep nearly all, and that keep next to nothing
            p.copy_(1.5 * noise - 1)
        if name.endswith("dt_bias"):
            p.copy_(2 * noise - 1)
        mask = golden_families.queries_and_keys(family, name, p, model.config)
        if family.conv1d:
            p[..., mask] *= qk_gain
        else:
            p[mask] *= qk_gain
    if golden_experts.experts_of(model.config):
        golden_experts.randomize_buffers(model, g)


def config_of(case, **other):
    return transformers.CONFIG_MAPPING[case.family](**case.config | other)


def save_model(case, folder):
    family = FAMILIES[case.family]
    model = family.build(config_of(case)).eval()
    randomize(model, case.seed, case.qk_gain)
    if hasattr(case, "mxfp4"):
        golden_experts.round_to_mxfp4(model)
    options = {"max_shard_size": case.shard_size} if case.shard_size else {}
    model.to(getattr(torch, case.store)).save_pretrained(folder, **options)


# --- runs -------------------------------------------------------------------------------------------------------------


def load(folder, attention=None):
    config = transformers.AutoConfig.from_pretrained(folder)
    family = golden_families.of(config)
    if family.beyond(config):
        model = family.build(config)
        model.load_state_dict(safetensors.torch.load_file(os.path.join(folder, "model.safetensors")), strict=False)
        model.tie_weights()
        return model.eval()
    model = family.model.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=attention or family.attention(config)).eval()
    return golden_experts.plain_loops(model) if golden_experts.experts_of(config) else model


def cached(model, past):
    """keys and values of each layer, [kv_heads, n, head_dim]."""
    kv_heads = golden_families.of(model.config).kv_heads_once(model.config)
    for layer in past.layers:
        pair = [layer.keys[0], layer.values[0]]
        yield [once_for_each_key_head(t, kv_heads) for t in pair] if kv_heads else pair


def once_for_each_key_head(t, kv_heads):
    grouped = t.view(kv_heads, -1, *t.shape[1:])
    assert torch.equal(grouped, grouped[:, :1].expand_as(grouped))
    return grouped[:, 0]


class Hooked:
    """Keys and values of a RoBERTa that keeps no cache, taken from its Linears."""

    def __init__(self, model):
        self.taken, self.handles = {}, []
        heads = model.config.num_attention_heads
        for i, layer in enumerate(model.roberta.encoder.layer):
            for kind in ("key", "value"):
                linear = getattr(layer.attention.self, kind)
                self.handles.append(linear.register_forward_hook(
                    lambda _m, _i, out, key=(i, kind): self.taken.__setitem__(
                        key, out[0].view(out.shape[1], heads, -1).transpose(0, 1))))

    def pairs(self, layers):
        for handle in self.handles:
            handle.remove()
        return [[self.taken[i, "key"], self.taken[i, "value"]] for i in range(layers)]


@torch.no_grad()
def run(model, ids, suffix="", rows=()):
    """All recorded tensors of one run over the whole text; or logits and hidden states of some rows alone."""
    if rows:
        return run_rows(model, ids, suffix, torch.tensor(rows))
    hooked = None if golden_families.of(model.config).causal(model.config) else Hooked(model)
    out = model(input_ids=ids[None], use_cache=True, output_hidden_states=True)
    pairs = hooked.pairs(model.config.num_hidden_layers) if hooked else list(cached(model, out.past_key_values))
    result = {f"logits{suffix}": out.logits[0]}
    result |= {f"hidden_states{suffix}.{i}": h[0] for i, h in enumerate(out.hidden_states)}
    for i, (keys, values) in enumerate(pairs):
        result |= {f"keys{suffix}.{i}": keys, f"values{suffix}.{i}": values}
    return {name: t.contiguous().clone() for name, t in result.items()}


@torch.no_grad()
def run_rows(model, ids, suffix, rows):
    out = model(input_ids=ids[None], use_cache=False, output_hidden_states=True)
    states = out.hidden_states
    if model.config.model_type == "mamba2":  # whose class leaves out the embeddings, and gives the last layer's twice
        states = (model.get_input_embeddings()(ids[None]), *states[:-2], states[-1])
    result = {f"logits{suffix}": out.logits[0, rows]}
    result |= {f"hidden_states{suffix}.{i}": h[0, rows] for i, h in enumerate(states)}
    return {name: t.contiguous().clone() for name, t in result.items()}


@torch.no_grad()
def require_to_matter(case, folder, model, ids):
    """The logits part when a setting that the case is about is another one."""
    want = model(input_ids=ids[None], use_cache=False).logits
    for key, value in case.matters.items() if hasattr(case, "matters") else ():
        others = {key: value}
        if key == "use_sliding_window" or key == "sliding_window":
            others["layer_types"] = case.matters.get("layer_types", case.config.get("layer_types"))
        other = FAMILIES[case.family].build(config_of(case, **{k: v for k, v in others.items() if k == key or v}))
        other.load_state_dict(model.state_dict())
        other.set_attn_implementation("eager")
        gap = (other.eval()(input_ids=ids[None], use_cache=False).logits - want).abs().max().item()
        if gap < CLEAR_DIFFERENCE:
            raise SystemExit(f"{case.name}: {key} = {value} gives the same logits (they part by {gap:.1e})")


@torch.no_grad()
def greedy(model, ids):
    """20 best tokens after ids[:8], each from a full run; and the smallest margin over the second best."""
    text, margin = ids[:GREEDY_FROM].tolist(), math.inf
    for _ in range(GREEDY_COUNT):
        best = model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1].topk(2)
        margin = min(margin, (best.values[0] - best.values[1]).item())
        text.append(best.indices[0].item())
    return torch.tensor(text[GREEDY_FROM:]), margin


def random_ids(case, attempt):
    c = case.config
    g = torch.Generator().manual_seed(case.seed * 1000 + attempt)
    ids = torch.randint(c["vocab_size"], (case.length,), generator=g)
    if FAMILIES[case.family].padding:
        pad = c["pad_token_id"]
        ids[ids == pad] = pad + 1
        if case.pad_inside:
            ids[[3, 6, 7]] = pad
    return ids


@torch.no_grad()
def entropy_share(model, ids):
    """Mean attention entropy divided by that of uniform attention; 1 means that attention sees no difference."""
    shares = []

    def look(weights):  # [1, heads, n, n]
        entropy = torch.special.entr(weights).sum(-1)
        shares.append((entropy[..., 1:] / torch.log((weights > 0).sum(-1).clamp(min=2))[..., 1:]).mean().item())

    def watching(q, k, v, attn_mask=None, **_):
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + attn_mask, -1)
        look(weights)
        return weights @ v

    with replaced(F, "scaled_dot_product_attention", watching):
        out = model(input_ids=ids[None], use_cache=False,
                    output_attentions=model.config._attn_implementation == "eager")
    for weights in getattr(out, "attentions", None) or []:
        look(weights)
    return sum(shares) / max(len(shares), 1)


@torch.no_grad()
def drawn_anew(model, ids, tensors):
    """How far from the float64 run rounding takes the logits when it is drawn anew, by moving each weight by about half
    an ULP of float32: the most of four draws. Within `in_double`.

    The tolerance is 4 times the float32 run's distance, which is one draw. Where attention hardly decides between two
    tokens (GPT-Neo does not divide its scores), another order of summation may give an error of another size: of 200
    orders of transformers' own, a third was farther than 4 times the first. So a golden whose `float32_minus_float64`
    is small beside this was near by luck, and may fail without a fault."""
    rows = tensors.get("rows", torch.arange(len(ids)))
    weights = {name: p.clone() for name, p in model.named_parameters()}
    most = 0
    for seed in range(4):
        g = torch.Generator().manual_seed(seed)
        for name, p in model.named_parameters():
            p.copy_(weights[name] * (1 + 2.0 ** -24 * torch.randn(p.shape, generator=g, dtype=torch.float64)))
        drawn = model(input_ids=ids[None], use_cache=False).logits[0, rows]
        most = max(most, (drawn - tensors["logits_f64"]).abs().max().item())
    for name, p in model.named_parameters():
        p.copy_(weights[name])
    return most


def settled(model, ids, greedy):
    """Whether neither text leaves the choice of experts to rounding."""
    texts = (ids, torch.cat([ids[:GREEDY_FROM], greedy]))
    return not golden_experts.experts_of(model.config) or all(golden_experts.settled(model, text) for text in texts)


# --- one case ---------------------------------------------------------------------------------------------------------


def expected(case, folder):
    """(tensors, remarks) of one case."""
    model = load(folder)
    family = golden_families.of(model.config)
    tensors, attempt = {}, 0
    ids = random_ids(case, attempt)
    if family.causal(model.config):
        tensors["greedy"], margin = greedy(model, ids)
        while margin < CLEAR_MARGIN or not settled(model, ids, tensors["greedy"]):
            attempt += 1
            ids = random_ids(case, attempt)
            tensors["greedy"], margin = greedy(model, ids)
    require_to_matter(case, folder, model, ids)
    tensors["ids"] = ids
    rows = getattr(case, "rows", ())
    if rows:
        tensors["rows"] = torch.tensor(rows)
    tensors |= run(model, ids, rows=rows)
    share = entropy_share(model, ids)
    with in_double(model):
        tensors |= run(model, ids, "_f64", rows)
        anew = drawn_anew(model, ids, tensors)
    if family.attention(model.config) == "sdpa":
        tensors["logits_eager"] = load(folder, "eager")(input_ids=ids[None], use_cache=False).logits[0].detach()
    gap = (tensors["logits"] - tensors["logits_f64"]).abs().max().item()
    return tensors, {"attention_entropy_share": round(share, 3), "float32_minus_float64": float(f"{gap:.1e}"),
                     "drawn_anew": float(f"{anew:.1e}"),
                     "text_seed": case.seed * 1000 + attempt}


def provenance(case, config):
    family = FAMILIES[case.family]
    name = family.model.__name__ + (f" with {family.with_beyond.__name__}" if family.beyond(config) else "")
    return {"class": name, "attn_implementation": family.attention(config),
            "weights_seed": case.seed, "qk_gain": case.qk_gain, "stored_as": case.store}


def versions():
    return {"torch": torch.__version__, "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__, "made_by": "tools/make_goldens.py"}


def save_tensors(tensors, path, record):
    metadata = {k: str(v) for k, v in record.items()}
    safetensors.torch.save_file(dict(sorted(tensors.items())), path, metadata=metadata)


def make_case(case, folder):
    save_model(case, folder)
    tensors, remarks = expected(case, folder)
    record = {**versions(), **provenance(case, transformers.AutoConfig.from_pretrained(folder)), **remarks}
    save_tensors(tensors, os.path.join(folder, "expected.safetensors"), record)
    if hasattr(case, "mxfp4"):
        golden_experts.store_mxfp4(folder)
    return record


def bare(folder):
    """Old GPT-2 files: names without the prefix, and the causal mask stored as a weight."""
    path = os.path.join(folder, "model.safetensors")
    tensors = {k.removeprefix("transformer."): v for k, v in safetensors.torch.load_file(path).items()}
    layers = {k.split(".")[1] for k in tensors if k.startswith("h.")}
    for i in layers:
        tensors[f"h.{i}.attn.bias"] = torch.ones(40, 40).tril()[None, None]
    safetensors.torch.save_file(dict(sorted(tensors.items())), path, metadata={"format": "pt"})


def make_wrapped(case, folder, original):
    """The original as the language model inside a larger one, beside tensors of its other parts."""
    with open(os.path.join(original, "config.json"), encoding="utf-8") as f:
        inner = json.load(f)
    config = {"model_type": case.wrapper, "architectures": ["ForConditionalGeneration"], "text_config": inner,
              "vision_config": {"hidden_size": 8, "model_type": "siglip_vision_model"}, "image_token_index": 60,
              "mm_tokens_per_image": 4, "dtype": "bfloat16"}
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2)
        f.write("\n")
    tensors = {case.prefix + name.removeprefix("model.") if name.startswith("model.") else
               case.prefix.removesuffix("model.") + name if case.prefix.startswith("language_model.") else name: t
               for name, t in safetensors.torch.load_file(os.path.join(original, "model.safetensors")).items()}
    tensors |= {name: torch.ones(4, 4) for name in (
        "vision_tower.patch_embed.weight", "model.visual.blocks.0.proj.weight", "multi_modal_projector.linear.weight")}
    if case.wrapper == "qwen3_5":
        tensors["mtp.fc.weight"] = torch.ones(4, 4)
    safetensors.torch.save_file(dict(sorted(tensors.items())), os.path.join(folder, "model.safetensors"),
                                metadata={"format": "pt"})
    os.symlink(os.path.join("..", os.path.basename(original), "expected.safetensors"),
               os.path.join(folder, "expected.safetensors"))
    return {"twin_of": case.twin_of, "read_by_transformers": False}


def make_fused(case, folder, original):
    """The same under the names of transformers 5, all experts of a layer in one tensor."""
    dtype = json.load(open(os.path.join(original, "config.json"), encoding="utf-8"))["dtype"]
    model = transformers.AutoModelForCausalLM.from_pretrained(original, dtype=getattr(torch, dtype))
    model.save_pretrained(folder, save_original_format=False)
    os.symlink(os.path.join("..", os.path.basename(original), "expected.safetensors"),
               os.path.join(folder, "expected.safetensors"))
    return {"twin_of": case.twin_of, "read_by_transformers": True}


def make_twin(case, folder, original):
    """The original's weights and answers under another config; transformers must agree where it can read it."""
    os.makedirs(folder)
    if getattr(case, "wrapper", ""):
        return make_wrapped(case, folder, original)
    if hasattr(case, "fused"):
        return make_fused(case, folder, original)
    dialect = case.dialect
    if not case.family:  # of a decoder: what differs
        with open(os.path.join(original, "config.json"), encoding="utf-8") as f:
            dialect = json.load(f) | dialect
        dialect = {k: v for k, v in dialect.items() if v is not None or k == "rope_scaling"}
    for file in ("model.safetensors", "expected.safetensors"):
        if case.family:
            shutil.copy(os.path.join(original, file), folder)
        else:
            os.symlink(os.path.join("..", os.path.basename(original), file), os.path.join(folder, file))
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(dialect, f, indent=2)
        f.write("\n")
    if case.bare_names:
        bare(folder)
    known = dialect["model_type"] in FAMILIES
    if known:
        want = safetensors.torch.load_file(os.path.join(folder, "expected.safetensors"))
        rows = want["rows"].tolist() if "rows" in want else ()
        assert torch.equal(run(load(folder), want["ids"], rows=rows)["logits"], want["logits"]), case.name
    return {"twin_of": case.twin_of, "read_by_transformers": known}


# --- bundled models ---------------------------------------------------------------------------------------------------


def long_text():
    story = next(s for s, _, _ in make_corpus.heldout_stories(7, 50, 2) if len(s.text) > 420)
    return story.text


@torch.no_grad()
def make_bundled(name, model_folder, folder):
    model = load(model_folder)
    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(model_folder, "tokenizer.json"))
    texts = [torch.tensor(tokenizer.encode(text).ids) for text in [*BUNDLED_TEXTS, long_text()]]
    tensors = {f"ids{i}": ids for i, ids in enumerate(texts, 1)}
    last = len(texts[-1]) - 1
    tensors["rows4"] = rows = torch.tensor([0, 1, last // 2, last - 1, last])

    def logits(suffix=""):
        for i, ids in enumerate(texts, 1):
            found = model(input_ids=ids[None], use_cache=False).logits[0]
            tensors[f"logits{i}{suffix}"] = found[rows] if i == len(texts) else found

    logits()
    if golden_families.of(model.config).causal(model.config):
        tensors["greedy1"] = greedy_after(model, texts[0])
    with in_double(model):
        logits("_f64")
    record = {**versions(), "class": type(model).__name__, "attn_implementation": "eager", "model": name,
              "texts": json.dumps([*BUNDLED_TEXTS, long_text()])}
    os.makedirs(folder)
    save_tensors(tensors, os.path.join(folder, "expected.safetensors"), record)
    return record


def greedy_after(model, ids):
    text = ids.tolist()
    for _ in range(GREEDY_COUNT):
        text.append(model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1].argmax().item())
    return torch.tensor(text[len(ids):])


# --- all --------------------------------------------------------------------------------------------------------------


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def tidy(folder):
    """Only what an engine reads; and files that everybody may read."""
    for file in os.listdir(folder):
        if file == "generation_config.json":
            os.remove(os.path.join(folder, file))
        else:
            os.path.islink(os.path.join(folder, file)) or os.chmod(os.path.join(folder, file), 0o644)


def report(name, record, folder):
    size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
    print(f"{name:36} {size / 1024:6.0f} KiB  {json.dumps(record) if 'twin_of' in record else ''}"
          f"entropy {record.get('attention_entropy_share')}  f32-f64 {record.get('float32_minus_float64')}"
          f"  drawn anew {record.get('drawn_anew')}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", default="tests/golden/data")
    parser.add_argument("--models", default="models", help="folder of the bundled models")
    parser.add_argument("--only", default="", help="only the cases whose name begins so")
    args = parser.parse_args()
    torch.set_num_threads(1)  # one order of summation
    torch.use_deterministic_algorithms(True)
    os.makedirs(args.output_dir, exist_ok=True)
    place = lambda name: os.path.join(args.output_dir, name)
    records_path = place("provenance.json")
    records = json.load(open(records_path, encoding="utf-8")) if os.path.exists(records_path) else {}
    records = {name: record for name, record in records.items() if os.path.isdir(place(name))}
    for case in [c for c in CASES if c.name.startswith(args.only)]:
        folder = fresh(place(case.name))
        records[case.name] = make_twin(case, folder, place(case.twin_of)) if case.twin_of else make_case(case, folder)
        tidy(folder)
        report(case.name, records[case.name], folder)
    for name in sorted(os.listdir(args.models)) if os.path.isdir(args.models) else []:
        golden, model_folder = f"bundled-{name}", os.path.join(args.models, name)
        if os.path.isdir(model_folder) and golden.startswith(args.only):
            records[golden] = make_bundled(name, model_folder, fresh(place(golden)))
            report(golden, records[golden], place(golden))
    with open(records_path, "w", encoding="utf-8") as f:
        json.dump(dict(sorted(records.items())), f, indent=2)
        f.write("\n")


if __name__ == "__main__":
    main()
