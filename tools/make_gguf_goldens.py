"""Makes tests/golden/gguf: the little models of tests/golden/data as llama.cpp's own converter writes them.

    python tools/make_gguf_goldens.py LLAMA_CPP tests/golden/gguf [NAME...]

LLAMA_CPP: llama.cpp's source, with its folders conversion/ and gguf-py/ (those at hand were made with that of
llama-cpp-python 0.3.36, torch 2.15 and transformers 5.24). The models have no tokenizer, so the files have none.
Matrices stay in their folder's format. Without names: the models that are there already.
"""
import json
import logging
import os
import pathlib
import shutil
import sys
import tempfile

llama_cpp, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]

import gguf  # noqa: E402
from conversion import get_model_class  # noqa: E402
from conversion.base import ModelBase, TextModel  # noqa: E402
from safetensors import safe_open  # noqa: E402

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "data"
# What a GGUF file has no key for is set to what its readers must take; as in tests/golden/gguf_models_test.cc.
SAID = {
    "gemma2-windows": {"query_pre_attn_scalar": 12},
    "gemma3-pattern-6": {"query_pre_attn_scalar": 8},
    "smollm3-list": {"no_rope_layers": None, "layer_types": None, "use_sliding_window": False, "sliding_window": None},
}
TYPES = {"BF16": gguf.LlamaFileType.MOSTLY_BF16, "F16": gguf.LlamaFileType.MOSTLY_F16, "F32": gguf.LlamaFileType.ALL_F32}

load_hparams = ModelBase.load_hparams


def with_old_keys(folder, is_mistral_format=False):
    """Keys of transformers 4, which the converter reads of some families and transformers 5 no longer writes."""
    config = load_hparams(folder, is_mistral_format)
    rope = config.get("rope_parameters") or {}
    kind = config.get("model_type")
    if kind == "gpt2":
        config.setdefault("n_ctx", config["n_positions"])
    if kind == "gpt_neox":
        config.setdefault("rotary_pct", rope.get("partial_rotary_factor", 0.25))
    if kind == "cohere2":
        config.setdefault("rotary_pct", 1)
    if kind == "falcon" and not config.get("new_decoder_architecture") and config.get("multi_query", True):
        config["num_kv_heads"] = 1
    return config


def without_vocabulary_cut(self, data, name, bid):
    """Gemma 3's own cuts the embedding to the tokenizer's size; there is no tokenizer."""
    shift = self.norm_shift(name)
    yield from TextModel.modify_tensors(self, data + shift if shift else data, name, bid)


def format_of(folder):
    formats = set()
    for file in folder.glob("model*.safetensors"):
        with safe_open(file, "pt") as tensors:
            for key in tensors.keys():
                view = tensors.get_slice(key)
                if len(view.get_shape()) == 2:
                    formats.add(view.get_dtype())
    return TYPES[max(formats)]


def convert(name, scratch):
    folder = DATA / name
    config = json.loads((folder / "config.json").read_text())
    if name in SAID:
        copy = scratch / name
        shutil.copytree(folder, copy)
        config.update(SAID[name])
        (copy / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
        folder = copy
    architecture = config["architectures"][0]
    maker = get_model_class({"MptForCausalLM": "MPTForCausalLM"}.get(architecture, architecture))
    maker.set_vocab = lambda self: self._set_vocab_none()
    if architecture.startswith("Gemma3"):
        maker.modify_tensors = without_vocabulary_cut
    for state in ("_alpha_n", "_alpha_p", "_beta", "_eps"):  # kept by the class, whichever model it is of
        if hasattr(maker, state):
            setattr(maker, state, {})
    maker(folder, format_of(folder), out / f"{name}.gguf", eager=True).write()


def main():
    logging.disable(logging.CRITICAL)
    ModelBase.load_hparams = staticmethod(with_old_keys)
    names = sys.argv[3:] or sorted(file.stem for file in out.glob("*.gguf"))
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            convert(name, pathlib.Path(scratch))
            print(name, os.path.getsize(out / f"{name}.gguf"))


if __name__ == "__main__":
    main()
