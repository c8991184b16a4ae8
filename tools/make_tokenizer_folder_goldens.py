#!/usr/bin/env python3
"""Goldens for folders in which several files have a say about the tokenizer; made by AutoTokenizer of transformers.

    tools/make_tokenizer_folder_goldens.py             writes tests/golden/tokenizer_folders/goldens.json
    tools/make_tokenizer_folder_goldens.py --against BATCH --seed 1 --count 500
                                                       writes nothing; compares with what the program BATCH says, see below

Two small tokenizers are trained here, one of bytes and one of pieces with byte fallback. Around them folders are drawn
at random: other parts of tokenizer.json, or vocab.json and merges.txt in its place; tokenizer_config.json with named,
extra and added tokens, flags and a class; special_tokens_map.json; added_tokens.json; a model_type. Folders that
transformers refuses, texts at which the library breaks off and folders that it reads in two ways (it draws lots between
added tokens of one normalised form) are left out.

goldens.json is an object:

    library        names and versions of what made it
    vocabularies   by name, the `model` of a tokenizer.json
    folders        a list: `class` that AutoTokenizer takes, `vocabulary` by name, `merges_apart` when vocab.json and merges.txt
                   hold it, `files` by name without it, and `texts`: text, ids, ids without special tokens where they
                   are others, decoded, and decoded without special tokens where that is another text

BATCH reads a line {"folder": ..., "texts": [...]} and answers one with {"texts": [{"ids": ..., "bare": ..., "decoded": ...,
"skipped": ...}]} or {"error": ...}.
"""

import argparse
import collections
import json
import os
import random
import shutil
import subprocess
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false", RUST_BACKTRACE="0")

import tokenizers
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "tests", "golden", "tokenizer_folders", "goldens.json")

TRAINING = ["I like to eat the cake and the bread", "Hello world, hello there.", "user assistant system the their them",
            "do n't ca n't I 'm . , ! ?", "naïve café été 12 345 2024", "Привет мир", "你好 世界", "नमस्ते दुनिया"] * 20
PARTS = ["a", "I", "like", " ", "  ", "\n", "\t", "é", "e\u0301", "\u212b", "\ufb01", "\u3000", "\u00a0", "1", "23", "\u0663", ".", ",", "!",
         "'s", "'LL", "<pad>", "<|endoftext|>", "[X]", "\U0001f600", "中文", "\u0130", "ß", "_", "-", "\u200b", "café", "Hello", "world", "▁",
         "\ud7a3", "\u1100\u1161", "\u0958", "\u2028", "x\u0327\u0301", "<s>", "</s>", "<unk>", "<mask>", "[PAD]", "<|user|>", "<|im_end|>",
         "<img>", "hello", "HELLO", "नमस्ते", "मस्ते", "Привет", "<0x41>", "▁▁", "<eos>", "<bos>"]
TOKENS = ["<pad>", "[X]", " like", "café", "cafe\u0301", "Hello", "12", "\n", "  ", "e\u0301", "LIKE", "wor", "\ufb01", "I ", "'s", "<|user|>",
          "<|im_end|>", "[PAD]", "<mask>", "<s>", "</s>", "<|endoftext|>", "▁", "<img>"]
ROLES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]
CLASSES = [None, "GPT2Tokenizer", "GPT2TokenizerFast", "CodeGenTokenizer", "RobertaTokenizer", "BartTokenizerFast", "GPTNeoXTokenizerFast",
           "LlamaTokenizer", "LlamaTokenizerFast", "CodeLlamaTokenizer", "GemmaTokenizer", "GemmaTokenizerFast", "Qwen2Tokenizer",
           "Qwen2TokenizerFast", "CohereTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend", "BloomTokenizerFast", "FooTokenizer",
           "PreTrainedTokenizer"]
TYPES = ["gpt2", "llama", "mistral", "gemma", "gemma2", "qwen2", "qwen3", "gpt_neox", "mpt", "falcon", "opt", "roberta", "phi", "phi3", "cohere",
         "olmo2", "granite", "starcoder2", "bloom", "stablelm", "gpt_bigcode", "code_llama", "qwen3_5_text", "mamba", "glm4", "nemotron",
         "codegen"]


def of_bytes():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(TRAINING, trainers.BpeTrainer(vocab_size=320, special_tokens=["<|endoftext|>"], show_progress=False,
                                                       initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    return json.loads(t.to_str())


def of_pieces():
    t = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    t.train_from_iterator(TRAINING, trainers.BpeTrainer(vocab_size=500, special_tokens=specials, show_progress=False))
    state = json.loads(t.to_str())
    state["added_tokens"] = state["added_tokens"][:3]
    return state


class Draw:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def chance(self, p):
        return self.rng.random() < p

    def text(self):
        return "".join(self.rng.choice(PARTS) for _ in range(self.rng.randint(0, 12)))

    def flags(self, content):
        return {"content": content, "single_word": self.chance(.2), "lstrip": self.chance(.3), "rstrip": self.chance(.3),
                "normalized": self.chance(.5), "special": self.chance(.5)}

    def token(self, typed=False):
        token = self.flags(self.rng.choice(TOKENS))
        for key in ("normalized", "special"):
            if self.chance(.15):
                del token[key]
        if typed:
            token["__type"] = "AddedToken"
        return token

    def config(self, cls):
        c = {"tokenizer_class": cls} if cls else {}
        for role in ROLES:
            draw = self.rng.random()
            if draw < .25:
                c[role] = self.rng.choice(TOKENS)
            elif draw < .32:
                c[role] = None
            elif draw < .45:
                c[role] = self.token(typed=True)
        if self.chance(.35):
            ids = sorted(self.rng.sample(range(720), self.rng.randint(0, 6)))
            c["added_tokens_decoder"] = {str(i): {**self.token(), "content": t} for i, t in zip(ids, self.rng.sample(TOKENS, len(ids)))}
        for key in ("additional_special_tokens", "extra_special_tokens"):
            draw = self.rng.random()
            if draw < .25:
                c[key] = [self.rng.choice(TOKENS) if self.chance(.8) else self.token(typed=True) for _ in range(self.rng.randint(0, 3))]
            elif draw < .3 and key[0] == "e":
                c[key] = {f"{n}_token": self.rng.choice(TOKENS) for n in sorted(self.rng.sample(["image", "audio", "boi"], self.rng.randint(0, 2)))}
        if self.chance(.15):
            c["image_token"] = self.rng.choice(TOKENS)
        for key, p in (("add_bos_token", .3), ("add_eos_token", .3), ("add_prefix_space", .3), ("legacy", .3),
                       ("clean_up_tokenization_spaces", .3), ("split_special_tokens", .07)):
            if self.chance(p):
                c[key] = self.chance(.5)
        if self.chance(.1):
            c["legacy"] = None
        return c

    def map(self):
        m = {}
        for role in ROLES:
            draw = self.rng.random()
            if draw < .2:
                m[role] = self.rng.choice(TOKENS)
            elif draw < .35:
                m[role] = {k: v for k, v in self.token().items() if k != "special" or self.chance(.3)}
        if self.chance(.3):
            m["additional_special_tokens"] = [self.rng.choice(TOKENS) for _ in range(2)]
        if self.chance(.15):
            m["extra_special_tokens"] = [self.rng.choice(TOKENS) if self.chance(.5) else
                                         {k: v for k, v in self.token().items() if k != "special"} for _ in range(2)]
        return m

    def normalizer(self):
        pool = [{"type": "NFC"}, {"type": "NFKC"}, {"type": "NFD"}, {"type": "NFKD"}, {"type": "Lowercase"}, {"type": "StripAccents"},
                {"type": "Strip", "strip_left": self.chance(.5), "strip_right": self.chance(.5)}, {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": "like"}, "content": "eat"},
                {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": self.rng.choice([" ", "", "▁"])},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
        draw = self.rng.random()
        if draw < .35:
            return None
        if draw < .6:
            return self.rng.choice(pool)
        return {"type": "Sequence", "normalizers": self.rng.sample(pool, self.rng.randint(0, 3))}

    def metaspace(self):
        if self.chance(.2):
            return {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
        return {"type": "Metaspace", "replacement": self.rng.choice(["▁", "▁", "_"]), "split": self.chance(.5),
                "prepend_scheme": self.rng.choice(["always", "first", "never"])}

    def byte_level(self, use_regex=True):
        return {"type": "ByteLevel", "add_prefix_space": self.chance(.4), "trim_offsets": True, "use_regex": use_regex}

    def step(self):
        behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
        patterns = [{"String": " "}, {"Regex": "[0-9][0-9]"}, {"Regex": "\\p{L}+|\\p{N}"}, {"String": "like"}, {"Regex": "\\s+(?!\\S)|\\s+"}]
        return self.rng.choice([
            {"type": "Digits", "individual_digits": self.chance(.5)}, {"type": "Punctuation", "behavior": self.rng.choice(behaviors)},
            {"type": "Split", "pattern": self.rng.choice(patterns), "behavior": self.rng.choice(behaviors), "invert": self.chance(.3)},
            {"type": "Whitespace"}, {"type": "WhitespaceSplit"}, {"type": "BertPreTokenizer"},
            {"type": "CharDelimiterSplit", "delimiter": self.rng.choice("a|_")}, self.metaspace()])

    def pre_tokenizer(self, pieces):
        draw = self.rng.random()
        if pieces and draw < .2:
            return None
        if draw < .5:
            return self.metaspace() if pieces else self.byte_level()
        last = self.metaspace() if pieces else self.byte_level(self.chance(.6))
        return {"type": "Sequence", "pretokenizers": [self.step() for _ in range(self.rng.randint(0, 2))] + [last]}

    def decoder(self, pieces):
        if not pieces:
            return None if self.chance(.2) else {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
        if self.chance(.5):
            return self.metaspace()
        return {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                                                 {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}

    def post_processor(self, state):
        ids = {t["content"]: t["id"] for t in state["added_tokens"]}
        first, last = self.rng.choice(list(ids)), self.rng.choice(list(ids))
        known = first in state["model"]["vocab"] and last in state["model"]["vocab"]
        draw = self.rng.random()
        if draw < .4 or (draw >= .5 and draw < .7 and not known):
            return None
        if draw < .5:
            return {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
        if draw < .6:
            return {"type": "BertProcessing", "sep": [last, ids[last]], "cls": [first, ids[first]]}
        if draw < .7:
            return {"type": "RobertaProcessing", "sep": [last, ids[last]], "cls": [first, ids[first]], "trim_offsets": True,
                    "add_prefix_space": False}
        single = [{"SpecialToken": {"id": first, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
        if self.chance(.5):
            single.append({"SpecialToken": {"id": last, "type_id": 0}})
        return {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in sorted({first, last})}}

    def tokenizer_json(self, state, pieces):
        state = json.loads(json.dumps(state))
        next_id = len(state["model"]["vocab"])
        for content in self.rng.sample(TOKENS, self.rng.randint(0, 5)):
            if content in state["model"]["vocab"]:
                continue
            next_id += self.rng.randint(1, 40) if self.chance(.1) else 0
            state["added_tokens"].append({"id": next_id, **self.flags(content)})
            next_id += 1
        state.update(normalizer=self.normalizer(), pre_tokenizer=self.pre_tokenizer(pieces), decoder=self.decoder(pieces))
        state["post_processor"] = self.post_processor(state)
        state["model"]["ignore_merges"] = self.chance(.2)
        return state

    def folder(self, vocabularies):
        """Files but for vocabulary and merges, the vocabulary's name, and whether it stands in vocab.json and merges.txt."""
        name = "pieces" if self.chance(.4) else "bytes"
        apart = name == "bytes" and self.chance(.2)
        cls, files, model = self.rng.choice(CLASSES), {}, {"model_type": self.rng.choice(TYPES)}
        size = len(vocabularies[name]["model"]["vocab"])
        if apart:
            cls = self.rng.choice(["GPT2Tokenizer", "RobertaTokenizer", "Qwen2Tokenizer", "GPTNeoXTokenizer", "CodeGenTokenizer", None])
            if cls is None:
                model["model_type"] = self.rng.choice(["gpt2", "opt", "roberta", "qwen2", "phi", "starcoder2", "gpt_neox", "codegen"])
        else:
            files["tokenizer.json"] = self.tokenizer_json(vocabularies[name], name == "pieces")
        if cls or self.chance(.9):
            files["tokenizer_config.json"] = self.config(cls)
        if self.chance(.4):
            files["special_tokens_map.json"] = self.map()
        if self.chance(.3):
            files["added_tokens.json"] = {t: size + i for i, t in enumerate(self.rng.sample(TOKENS, self.rng.randint(0, 3)))}
        if self.chance(.1):
            model["tokenizer_class"] = self.rng.choice(CLASSES[1:])
        files["config.json"] = model
        return files, name, apart


def put(folder, files, model, apart):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name, value in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(value, f)
    if apart:
        with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as f:
            json.dump(model["vocab"], f)
        with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as f:
            f.write("#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in model["merges"]))


def results(folder, texts):
    """Class and, for each text, what transformers makes of it; None where the library breaks off. None when it refuses."""
    try:
        t = transformers.AutoTokenizer.from_pretrained(folder)
    except BaseException:
        return None
    made = []
    for text in texts:
        try:
            ids = t(text)["input_ids"]
            made.append({"text": text, "ids": ids, "bare": t(text, add_special_tokens=False)["input_ids"], "decoded": t.decode(ids),
                         "skipped": t.decode(ids, skip_special_tokens=True)})
        except BaseException:
            made.append(None)
    return type(t).__name__, made


def compare(program, seed, count, vocabularies):
    draw, process = Draw(seed), subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    counts, classes = collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as place:
        for n in range(count):
            files, name, apart = draw.folder(vocabularies)
            texts = [draw.text() for _ in range(10)]
            folder = os.path.join(place, "tokenizer")
            put(folder, files, vocabularies[name]["model"], apart)
            process.stdin.write(json.dumps({"folder": folder, "texts": texts}) + "\n")
            process.stdin.flush()
            got, wanted = json.loads(process.stdout.readline()), results(folder, texts)
            counts["folders"] += 1
            if wanted is None:
                counts["refused by transformers"] += 1
                counts["refused by both"] += "error" in got
                continue
            classes[wanted[0]] += 1
            if "error" in got:
                counts["refused by us alone"] += 1
                print(f"refused {n}:", got["error"].splitlines()[0])
                continue
            for one, other in zip(wanted[1], got["texts"]):
                if one is None:
                    counts["texts at which the library breaks off"] += 1
                    continue
                counts["texts"] += 1
                wrong = [key for key in ("ids", "bare", "decoded", "skipped") if one[key] != other.get(key)]
                for key in wrong:
                    counts[f"other {key}"] += 1
                if wrong:
                    print(f"folder {n} ({wanted[0]}):", json.dumps(one["text"]), wrong, one[wrong[0]], other.get(wrong[0]))
    print(dict(counts))
    print(dict(classes))


def make(seed, count, vocabularies):
    draw, folders = Draw(seed), []
    with tempfile.TemporaryDirectory() as place:
        while len(folders) < count:
            files, name, apart = draw.folder(vocabularies)
            texts = [draw.text() for _ in range(6)]
            put(os.path.join(place, "tokenizer"), files, vocabularies[name]["model"], apart)
            made = results(os.path.join(place, "tokenizer"), texts)
            if made is None or any(results(os.path.join(place, "tokenizer"), texts) != made for _ in range(3)):
                continue
            for one in filter(None, made[1]):
                if one["bare"] == one["ids"]:
                    del one["bare"]
                if one["skipped"] == one["decoded"]:
                    del one["skipped"]
            if "tokenizer.json" in files:
                for key in ("vocab", "merges"):
                    del files["tokenizer.json"]["model"][key]
            folders.append({"class": made[0], "vocabulary": name, "merges_apart": apart, "files": files, "texts": [m for m in made[1] if m]})
    models_ = {name: state["model"] for name, state in vocabularies.items()}
    value = {"library": f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}", "vocabularies": models_,
             "folders": folders}
    os.makedirs(os.path.dirname(OUT), exist_ok=True)
    with open(OUT, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    print(len(folders), "folders,", sum(len(f["texts"]) for f in folders), "texts,", dict(collections.Counter(f["class"] for f in folders)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--against")
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--count", type=int, default=120)
    options = parser.parse_args()
    vocabularies = {"bytes": of_bytes(), "pieces": of_pieces()}
    if options.against:
        compare(options.against, options.seed, options.count, vocabularies)
    else:
        make(options.seed, options.count, vocabularies)


if __name__ == "__main__":
    main()
