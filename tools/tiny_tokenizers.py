"""The five byte-level BPE tokenizers of the bundled models, each built in the manner of its family.

Used by train_tiny_models.py. `train(name, texts)` gives a tokenizers.Tokenizer; `save(name, tokenizer, folder)` writes
tokenizer.json, tokenizer_config.json and special_tokens_map.json, and for tiny-gpt2 also vocab.json and merges.txt.
"""

import json
import os

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

VOCAB_SIZE = 1024  # entries learned, special ones included; whitespace runs of tiny-mpt come on top
END_OF_TEXT = "<|endoftext|>"
FALCON_SPECIALS = [f">>{word}<<" for word in "TITLE ABSTRACT INTRODUCTION SUMMARY COMMENT ANSWER QUESTION DOMAIN PREFIX "
                   "SUFFIX MIDDLE".split()] + [END_OF_TEXT]
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
QWEN_SPECIALS = [END_OF_TEXT, "<|im_start|>", "<|im_end|>"]
# What Qwen2 and Qwen3 cut a text by before BPE: contractions in any case, letters with one sign before them, single digits.
QWEN_PIECES = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
               r"|\s+(?!\S)|\s+")
WHITESPACE_RUNS = [" " * n for n in range(8, 1, -1)]  # longest first, as GPT-NeoX numbers them


def byte_level():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)


def trained_bpe(tokenizer, texts, vocab_size, specials=()):
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=list(specials), min_frequency=2,
                                  show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def with_last_token(tokenizer, token):
    """Give `token` the last id of the model's own vocabulary, as GPT-2 and RoBERTa do."""
    state = json.loads(tokenizer.to_str())
    state["model"]["vocab"][str(token.content)] = len(state["model"]["vocab"])
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_special_tokens([token])
    return tokenizer


def gpt2(texts):
    t = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    t.pre_tokenizer = byte_level()
    t.post_processor = processors.ByteLevel(add_prefix_space=True, trim_offsets=False, use_regex=True)
    t.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    t = trained_bpe(t, texts, VOCAB_SIZE - 1)
    return with_last_token(t, AddedToken(END_OF_TEXT, normalized=True, special=True))


def roberta(texts):
    t = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    t.pre_tokenizer = byte_level()
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t = trained_bpe(t, texts, VOCAB_SIZE - 1, ROBERTA_SPECIALS)
    return with_last_token(t, AddedToken("<mask>", lstrip=True, normalized=False, special=True))


def mpt(texts):
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = byte_level()
    t.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=True)
    t.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=True)
    t = trained_bpe(t, texts, VOCAB_SIZE, [END_OF_TEXT, "<|padding|>"])
    t.add_tokens([AddedToken(run, normalized=True, special=False) for run in WHITESPACE_RUNS])
    return t


def falcon(texts):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation(behavior="contiguous"),
        byte_level(),
        pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), behavior="isolated"),
    ])
    t.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False)
    t.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=True)
    return trained_bpe(t, texts, VOCAB_SIZE, FALCON_SPECIALS)


def qwen3(texts):
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN_PIECES), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
    ])
    t.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    t.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    return trained_bpe(t, texts, VOCAB_SIZE, QWEN_SPECIALS)


BUILDERS = {"tiny-gpt2": gpt2, "tiny-roberta": roberta, "tiny-mpt": mpt, "tiny-falcon": falcon, "tiny-qwen3": qwen3}

ENDS = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT}
SPECIAL_MAPS = {
    "tiny-gpt2": {**ENDS, "unk_token": END_OF_TEXT},
    "tiny-roberta": {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>",
                     "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"},
    "tiny-mpt": {**ENDS, "unk_token": END_OF_TEXT},
    "tiny-falcon": {"additional_special_tokens": FALCON_SPECIALS[:-1], "eos_token": END_OF_TEXT},
    "tiny-qwen3": {"eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT},
}
CONFIGS = {
    "tiny-gpt2": {"add_prefix_space": False, "model_max_length": 256, "tokenizer_class": "GPT2Tokenizer"},
    "tiny-roberta": {"add_prefix_space": False, "model_max_length": 256, "tokenizer_class": "RobertaTokenizer"},
    "tiny-mpt": {"add_prefix_space": False, "clean_up_tokenization_spaces": False, "model_max_length": 256,
                 "tokenizer_class": "GPTNeoXTokenizer"},
    "tiny-falcon": {"add_prefix_space": False, "clean_up_tokenization_spaces": False, "model_max_length": 256,
                    "model_input_names": ["input_ids", "attention_mask"],
                    "tokenizer_class": "PreTrainedTokenizerFast"},
    "tiny-qwen3": {"add_prefix_space": False, "clean_up_tokenization_spaces": False, "model_max_length": 256,
                   "tokenizer_class": "Qwen2Tokenizer"},
}


def train(name, texts):
    return BUILDERS[name](texts)


def separator(name, tokenizer):
    """The id that stands between documents."""
    return tokenizer.token_to_id("</s>" if name == "tiny-roberta" else END_OF_TEXT)


def write_json(folder, file, content, **options):
    with open(os.path.join(folder, file), "w", encoding="utf-8", newline="\n") as f:
        json.dump(content, f, ensure_ascii=False, **options)
        f.write("\n")


def with_mask_stripping(name, entries):
    """RoBERTa's mask swallows the space before it; both small files must say so, or loaders lose it."""
    if name != "tiny-roberta":
        return entries
    mask = {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}
    return {**entries, "mask_token": mask}


def save(name, tokenizer, folder):
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    specials = with_mask_stripping(name, SPECIAL_MAPS[name])
    write_json(folder, "special_tokens_map.json", specials, indent=2)
    in_config = {**specials, "mask_token": {"__type": "AddedToken", **specials["mask_token"]}} \
        if "mask_token" in specials else specials
    write_json(folder, "tokenizer_config.json", {**CONFIGS[name], **in_config}, indent=2)
    if name == "tiny-gpt2":
        save_vocab_and_merges(tokenizer, folder)


def save_vocab_and_merges(tokenizer, folder):
    state = json.loads(tokenizer.to_str())["model"]
    write_json(folder, "vocab.json", state["vocab"])
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8", newline="\n") as f:
        f.write("#version: 0.2\n")
        f.writelines(" ".join(pair) + "\n" for pair in state["merges"])
