#!/usr/bin/env python3
"""Save the golden models of tests/golden/data a second time, as PyTorch checkpoints.

Usage:
    make_pytorch_goldens.py                                 everything, into tests/golden/pytorch
    make_pytorch_goldens.py --output-dir /tmp/p --only gpt2

Each folder <name>/ holds a config.json and pytorch_model.bin, or shards and their index, all by torch.save; and is the
same model as one of tests/golden/data, with the same bits (provenance.json says which, and how it was saved). The cases
are the forms in which checkpoints are found: tied weights that share a storage, views with offsets and strides,
parameters, masks kept as buffers, shards, an old or a new protocol, storages of a graphics card, and the names and
configs with which Falcon and MPT were published in 2023.
"""

import argparse
import json
import os
import shutil
from collections import OrderedDict

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import safetensors.torch
import torch
import transformers

transformers.utils.logging.disable_progress_bar()

DATA = "tests/golden/data"

# config.json as the repositories of 2023 have it, at the size of the golden models.
FALCON_2023 = {
    "alibi": False, "apply_residual_connection_post_layernorm": False, "architectures": ["RWForCausalLM"],
    "attention_dropout": 0.0, "auto_map": {
        "AutoConfig": "configuration_RW.RWConfig", "AutoModel": "modelling_RW.RWModel",
        "AutoModelForSequenceClassification": "modelling_RW.RWForSequenceClassification",
        "AutoModelForTokenClassification": "modelling_RW.RWForTokenClassification",
        "AutoModelForQuestionAnswering": "modelling_RW.RWForQuestionAnswering",
        "AutoModelForCausalLM": "modelling_RW.RWForCausalLM"},
    "bias": False, "bos_token_id": 11, "eos_token_id": 11, "hidden_dropout": 0.0, "hidden_size": 18,
    "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "RefinedWebModel", "multi_query": True,
    "n_head": 3, "n_layer": 2, "parallel_attn": True, "torch_dtype": "bfloat16", "transformers_version": "4.27.4",
    "use_cache": True, "vocab_size": 61}
FALCON_40B_2023 = {
    "alibi": False, "apply_residual_connection_post_layernorm": False, "architectures": ["RWForCausalLM"],
    "attention_dropout": 0.0, "auto_map": {
        "AutoConfig": "configuration_RW.RWConfig", "AutoModelForCausalLM": "modelling_RW.RWForCausalLM"},
    "bias": False, "bos_token_id": 11, "eos_token_id": 11, "hidden_dropout": 0.0, "hidden_size": 24,
    "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "RefinedWeb", "n_head": 4, "n_head_kv": 2,
    "n_layer": 2, "parallel_attn": True, "torch_dtype": "float16", "transformers_version": "4.26.0", "use_cache": True,
    "vocab_size": 61}
MPT_2023 = {
    "architectures": ["MPTForCausalLM"], "attn_config": {
        "alibi": True, "alibi_bias_max": 8, "attn_impl": "torch", "attn_pdrop": 0, "attn_type": "multihead_attention",
        "attn_uses_sequence_id": False, "clip_qkv": None, "prefix_lm": False, "qk_ln": False, "softmax_scale": None},
    "auto_map": {"AutoConfig": "configuration_mpt.MPTConfig", "AutoModelForCausalLM": "modeling_mpt.MPTForCausalLM"},
    "d_model": 18, "emb_pdrop": 0, "embedding_fraction": 1.0, "expansion_ratio": 4, "init_config": {
        "emb_init_std": None, "emb_init_uniform_lim": None, "fan_mode": "fan_in", "init_div_is_residual": True,
        "init_gain": 0, "init_nonlinearity": "relu", "init_std": 0.02, "name": "kaiming_normal_", "verbose": 0},
    "init_device": "cpu", "learned_pos_emb": True, "logit_scale": None, "max_seq_len": 40, "model_type": "mpt",
    "n_heads": 3, "n_layers": 2, "no_bias": True, "norm_type": "low_precision_layernorm", "resid_pdrop": 0,
    "tokenizer_name": "EleutherAI/gpt-neox-20b", "torch_dtype": "bfloat16", "transformers_version": "4.28.1",
    "use_cache": False, "verbose": 0, "vocab_size": 61}


# --- what a state dict may be ----------------------------------------------------------------------------------------


def state_dict(name):
    """A golden model's, as its own module gives it: tied weights twice, sharing a storage."""
    folder = os.path.join(DATA, name)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    stored = safetensors.torch.load_file(os.path.join(folder, "model.safetensors")) if os.path.exists(
        os.path.join(folder, "model.safetensors")) else {}
    state = model.state_dict()
    assert all(torch.equal(state[k], v) for k, v in stored.items()), name
    return state


def stored(name):
    """The tensors of a golden folder, by the names in its file."""
    return OrderedDict(safetensors.torch.load_file(os.path.join(DATA, name, "model.safetensors")))


def with_position_ids(state):
    """As RoBERTa had it before version 4.31: the positions kept as a buffer, an expanded view."""
    state["roberta.embeddings.position_ids"] = torch.arange(50).expand((1, -1))
    return state


def views(state):
    """Every tensor a view with an offset into one flat storage, the matrices transposed there; and strides of 0."""
    tensors = [(k, v.t() if v.dim() == 2 else v) for k, v in state.items()]
    flat = torch.cat([t.reshape(-1) for _, t in tensors])
    result, at = OrderedDict(), 0
    for k, t in tensors:
        part = flat[at:at + t.numel()].view(t.shape)
        result[k] = part.t() if part.dim() == 2 else part
        at += t.numel()
    result["h.0.attn.masked_bias"] = torch.tensor(-1e4)
    result["h.0.attn.bias"] = torch.ones(1).expand(1, 1, 3, 4)
    return result


def parameters(state):
    return OrderedDict((k, torch.nn.Parameter(v, requires_grad=v.is_floating_point())) for k, v in state.items())


# --- saving ----------------------------------------------------------------------------------------------------------


def save_shards(state, folder, count, **options):
    """As save_pretrained wrote them; tied weights stay in one shard, so that they stay shared."""
    names = list(state)
    place = {}
    for i, name in enumerate(names):
        same = [n for n in names[:i] if state[n].data_ptr() == state[name].data_ptr()]
        place[name] = place[same[0]] if same else i * count // len(names)
    files = [f"pytorch_model-{i + 1:05}-of-{count:05}.bin" for i in range(count)]
    for i, file in enumerate(files):
        torch.save({n: state[n] for n in names if place[n] == i}, os.path.join(folder, file), **options)
    index = {"metadata": {"total_size": sum(t.numel() * t.element_size() for t in state.values())},
             "weight_map": {n: files[place[n]] for n in sorted(names)}}
    with open(os.path.join(folder, "pytorch_model.bin.index.json"), "w", encoding="utf-8") as f:
        json.dump(index, f, indent=2, sort_keys=True)
        f.write("\n")


def save(state, folder, shards=1, **options):
    if shards > 1:
        save_shards(state, folder, shards, **options)
    else:
        torch.save(state, os.path.join(folder, "pytorch_model.bin"), **options)


def save_on_card(state, folder):
    """As if the storages lay on a graphics card: their location says so."""
    torch.serialization.register_package(0, lambda storage: "cuda:0", lambda storage, location: None)
    try:
        save(state, folder)
    finally:
        torch.serialization._package_registry[:] = [
            p for p in torch.serialization._package_registry if p[0] != 0]


CASES = {
    # name: (golden model, its config if it is another, how it is saved)
    "gpt2-tied": ("gpt2-plain", None, lambda f: save(state_dict("gpt2-plain"), f)),
    "gpt2-2019-names": ("gpt2-2019-checkpoint", None, lambda f: save(stored("gpt2-2019-checkpoint"), f)),
    "gpt2-fp16-parameters": ("gpt2-fp16", None, lambda f: save(parameters(state_dict("gpt2-fp16")), f)),
    "gpt2-views": ("gpt2-2019-checkpoint", None, lambda f: save(views(
        {k: v for k, v in stored("gpt2-2019-checkpoint").items() if not k.endswith(".attn.bias")}), f)),
    "gpt2-untied-protocol-4": ("gpt2-untied", None, lambda f: save(state_dict("gpt2-untied"), f, pickle_protocol=4)),
    "roberta-buffers": ("roberta-encoder", None, lambda f: save(with_position_ids(state_dict("roberta-encoder")), f)),
    "roberta-bf16-on-card": ("roberta-bf16", None, lambda f: save_on_card(state_dict("roberta-bf16"), f)),
    "mpt-2023-sharded": ("mpt-bf16", MPT_2023, lambda f: save(state_dict("mpt-bf16"), f, 2)),
    "mpt-untied-protocol-5": ("mpt-untied", None, lambda f: save(state_dict("mpt-untied"), f, pickle_protocol=5)),
    "falcon-7b-2023-sharded": ("falcon-bf16", FALCON_2023, lambda f: save(state_dict("falcon-bf16"), f, 2)),
    "falcon-40b-2023-sharded": (
        "falcon-40b-fp16-sharded", FALCON_40B_2023, lambda f: save(state_dict("falcon-40b-fp16-sharded"), f, 3)),
}


def make_case(name, folder):
    of, config, write = CASES[name]
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    if config is None:
        shutil.copy(os.path.join(DATA, of, "config.json"), folder)
    else:
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
            json.dump(config, f, indent=2)
            f.write("\n")
    write(folder)
    files = sorted(f for f in os.listdir(folder) if f.endswith(".bin"))
    print(f"{name:<26} {of:<26} {sum(os.path.getsize(os.path.join(folder, f)) for f in files):>7} bytes, "
          f"{len(files)} files")
    return {"same_as": of, "files": files, "config": "of 2023" if config else "the same"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", default="tests/golden/pytorch")
    parser.add_argument("--only", default="", help="only the cases whose name begins so")
    args = parser.parse_args()
    os.makedirs(args.output_dir, exist_ok=True)
    records_path = os.path.join(args.output_dir, "provenance.json")
    records = json.load(open(records_path, encoding="utf-8"))["cases"] if os.path.exists(records_path) else {}
    for name in [n for n in CASES if n.startswith(args.only)]:
        records[name] = make_case(name, os.path.join(args.output_dir, name))
    with open(records_path, "w", encoding="utf-8") as f:
        json.dump({"torch": torch.__version__, "transformers": transformers.__version__,
                   "made_by": "tools/make_pytorch_goldens.py", "cases": dict(sorted(records.items()))}, f, indent=2)
        f.write("\n")


if __name__ == "__main__":
    main()
