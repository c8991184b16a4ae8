#!/usr/bin/env python3
"""Goldens for the tokenizers, made by the `tokenizers` library itself, and for other files by transformers
with sentencepiece and mistral-common.

    tools/make_tokenizer_goldens.py                        train the small tokenizers below, write everything anew
    tools/make_tokenizer_goldens.py models/tiny-gpt2 ...   goldens for tokenizer folders that exist, nothing else

Writes to tests/golden/tokenizers/:

    strings.json          the strings, one list that all goldens share
    NAME/                 a trained tokenizer: tokenizer.json, vocab.json and merges.txt, tokenizer.model or tekken.json
    NAME.golden.json      what the library makes of the strings with it

A golden is an object:

    library        name and version of what made it
    folder         the tokenizer's folder, relative to the repository's root
    vocab_size     with added tokens
    ids            for each string, its ids without special tokens: numbers in base 36, separated by spaces
    with_special   [prefix, suffix]: ids that add_special_tokens puts around every string
    decoded        {index: text} of ids without special tokens, where it is not the string itself
    skipped        {index: text} likewise with skip_special_tokens, where it is not `decoded`
    random         [ids, decoded, skipped] of ids drawn at random, most of which are no UTF-8
    of_ids         [id, token, special] of some ids

The training text is made here too, so that the goldens depend on nothing but this file and the library's version.
"""

import json
import os
import random
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "tests", "golden", "tokenizers")

WORDS = """the of and to a in is it you that he was for on are with as I his they be at one have this from or had by hot
word but what some we can out other were all there when up use your how said an each she which do their time if will way
about many then them write would like so these her long make thing see him two has look more day could go come did number
sound no most people my over know water than call first who may down side been now find any new work part take get place
made live where after back little only round man year came show every good me give our under name very through just form
sentence great think say help low line differ turn cause much mean before move right boy old too same tell does set three
want air well also play small end put home read hand port large spell add even land here must big high such follow act why
ask men change went light kind off need house picture try us again animal point mother world near build self earth father
tokenizer attention transformer embedding probability temperature gradient layer matrix vector internationalization
antidisestablishmentarianism counterrevolutionaries incomprehensibilities supercalifragilisticexpialidocious""".split()

SENTENCES = {
    "fr": "L'été dernier, nous avons mangé des crêpes à l'hôtel près de la forêt ; où étiez-vous ?",
    "de": "Die Straße über den Fluß führt zum größten Gebäude der Stadt – schön, nicht wahr?",
    "es": "¿Cuándo vendrás mañana? ¡El niño corrió detrás del pingüino!",
    "pl": "Zażółć gęślą jaźń, powiedział źrebak do łosia w świętą środę.",
    "tr": "İstanbul'da ılık bir öğleden sonra çiğ köfte yedik; IĞDIR'a gittik.",
    "vi": "Tiếng Việt có nhiều dấu thanh: ngã, hỏi, sắc, huyền, nặng.",
    "ru": "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "el": "Ο Οδυσσεύς ταξίδεψε δέκα χρόνια· πότε θα γυρίσει; ΌΛΟΣ",
    "he": "שָׁלוֹם עולם, מה שלומך היום?",
    "ar": "مرحبا بالعالم، كيف حالُكَ اليوم؟ ١٢٣٤",
    "hi": "नमस्ते दुनिया, आज आप कैसे हैं? १२३",
    "ta": "வணக்கம் உலகம், எப்படி இருக்கிறீர்கள்?",
    "th": "สวัสดีชาวโลก วันนี้เป็นอย่างไรบ้าง ๑๒๓",
    "ka": "გამარჯობა მსოფლიო, როგორ ხარ?",
    "am": "ሰላም ልዑል፣ እንዴት ነህ?",
    "ko": "안녕하세요 세계, 오늘 기분이 어떠세요? 각",
    "ja": "こんにちは世界。今日はいい天気ですね！ガギグゲゴ ｶﾞｷﾞ ﾊﾟ",
    "zh": "你好，世界！今天天气怎么样？一二三〇 㐀 𠀀 𪜀 豈",
    "ro": "Noroc, lume! Țara şi ţara nu-s la fel.",
}

CODE = ["def f(x):\n    return x ** 2  # square\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n",
        "SELECT * FROM t WHERE a='b' AND c<>4;", "<div class=\"x\">&nbsp;</div>", "if __name__ == '__main__':\r\n\tmain()\r\n",
        "{\"key\": [1, 2.5, -3e10, null, true]}", "std::vector<std::unique_ptr<T>>&& v", "$ ls -la | grep '^d' >> /dev/null",
        "https://example.org/path?q=a%20b&c=d#frag", "user.name+tag@example.co.uk", "C:\\Users\\x\\y.txt", "#include <stdio.h>",
        "lambda x: (x, -x)", "a->b.c[d]!=e&&!f||g?h:i;", "/* comment */ // another", "0xDEADBEEF 0b1010 0o777 1_000_000"]

NUMBERS = ["0", "7", "42", "100", "1234567890", "3.14159", "1,234,567.89", "-273.15", "1e-9", "½ ¾ ²³¹ ₁₂ ⅓", "Ⅷ ⅳ ↂ",
           "①②⑳ ㊿", "٠١٢٣٤٥٦٧٨٩", "০১২৩", "１２３４", "𝟎𝟙𝟚", "12ab34", "a1b2c3", "2024-01-31T23:59:59Z", "99%", "$5.00", "1/2",
           "12345678901234567890123456789", "000123", "1 2 3", "1  2   3", "٣.٤", "12.", ".5", "5'9\"", "1st 2nd 3rd", "N°5", "𑁦𑁧", "〇零"]

EMOJI = ["😀", "😀😃😄", "👨‍👩‍👧‍👦", "👩🏽‍💻", "🇫🇷🇯🇵🇧🇷", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️", "❤", "☺︎☺️", "1️⃣2️⃣#️⃣", "🤷🏻‍♀️ ok", "text😀text", " 😀 ", "🫠🫨🪿", "🧑‍🚀👩‍❤️‍💋‍👨",
         "♥♦♣♠", "⌚⌛", "🈁🉐", "™©®", "👍🏿👍🏻"]

SPACES = [" ", "  ", "   ", "        ", " " * 40, "\t", "\t\t", "\n", "\n\n", "\n\n\n\n", "\r\n", "\r\n\r\n", "\r", " \n", "\n ",
          "\n  \n", " \t \n ", "\v\f", "\u00a0", "a\u00a0b", "\u2003\u2002", "a\u3000b", "\u2028x\u2029y", "\u0085", "a\u0085b",
          "\u180e", "a\u180eb", "\u200b", "a\u200bb", "\ufeff", "\ufeffBOM", "a  b   c    d", "a\n\nb", "  lead", "trail  ", "  both  ",
          "\ta\tb\t", "x \ny", "x\n y", "x \n y", "\u1680\u202f\u205f", "a \u00a0 b", "\u2000\u2001\u2004\u2005\u2006\u2007\u2008\u2009\u200a"]

CONTRACTIONS = ["I'm you're he's we've I'll they'd don't", "I'M YOU'RE HE'S WE'VE I'LL THEY'D DON'T", "it's 'tis 'twas o'clock",
                "'s't're've'm'll'd", "'S'T'RE'VE'M'LL'D", "rock'n'roll", "''s", "' s", "'", "''", "'''", "he'sthe", "y'all'd've",
                "I’m you’re he’s", "can`t", "'ſ 'K", "Ss'sS", "'\u017f"]

SIGNS = ["!", "!!", "...", "…", "?!", "--", "—–‐", "«quoted»", "“curly” ‘quotes’", "(a) [b] {c} <d>", "a,b;c:d.e", "_under_score_",
         "*bold* **x**", "a-b-c", "~!@#$%^&*()_+`-={}|[]\\:\";'<>?,./", "¡¿", "、。「」", "،؛؟", "।॥", "·•‣", "±×÷≈≠≤≥", "€£¥₹₿", "→←↑↓⇒",
         "∀x∈ℝ: ⌈x⌉", "αβγ ∑∏∫", "§¶†‡", "\\n\\t", "a_b__c", "#hash @at", "=== ---", "․‥", "\u2e52\u2e5d\u061d\u166d\u111c9\U000111c9"]

COMBINING = ["e\u0301", "é", "a\u0323\u0301", "a\u0301\u0323", "o\u0308\u0304", "n\u0303", "A\u030a", "Å", "\u212b", "q\u0307\u0323", "\u0301", "\u0301a", " \u0301",
             "ﬁ ﬂ ﬃ ﬀ ﬆ", "ǆ ǅ Ǆ", "ｆｕｌｌ ｗｉｄｔｈ", "㎏ ㎡ ㏂", "ℌ ℕ ℡", "ﷺ ﷻ", "\u1100\u1161\u11a8", "가\u11a8", "각", "\u0344", "\u0f73\u0f75", "\u0958", "क\u093c", "\u2126 \u03a9",
             "\u0340\u0341", "𝐇𝐞𝐥𝐥𝐨", "ᴬᴮ", "ſ", "ẛ\u0323", "\u1e9b\u0323", "\u0b47\u0b3e", "\u0bc6\u0bbe", "\u09c7\u09be", "\u0dd9\u0dca", "İI ıi", "ǅ", "ΑΣ ΣΑΣ", "ẞ ß",
             "a\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308", "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031ea\u0349\u034e\u032b", "\u0e33", "\u0eb3", "\u3131\u314f"]

LONG = ["a" * 300, "ab" * 200, "supercalifragilisticexpialidocious" * 8, "é" * 100, "字" * 100, "1" * 100, "!" * 100, " " * 200, "\n" * 100, "\t" * 50,
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", "x" * 63, "x" * 64, "x" * 65, "xyz" * 85 + "x",
        "0123456789" * 20, "aA" * 100, "😀" * 50, "a b " * 60, "\r\n" * 60, "'s" * 50, "-" * 129]

SPECIALS = ["<s>", "</s>", "<pad>", "<unk>", "<mask>", "<|endoftext|>", "<|begin|>", "<|end|>", ">>TITLE<<", "[PLAIN]", "[L]", "[R]", "[LR]", "[W]",
            "[LW]", "[RW]", "[LRW]", "Norm", "NORM", "normed", "[n]", "[nl]", "tok", "w0w", "<0x41>", "▁", "<0x", "<s", "s>"]


def with_specials():
    out = []
    for s in SPECIALS:
        out += [s, f" {s}", f"{s} ", f"  {s}  ", f"a{s}b", f"a {s} b", f"a  {s}\n b", f"{s}{s}", f"{s} {s}", f"_{s}_", f"é{s}é", f"\u00a0{s}\u3000",
                f"Hello{s}", f"{s}, world", s.lower(), s.upper(), f"1{s}2", f".{s}."]
    return out


def of_blocks():
    """A few characters of every block of 64, so that all scripts are there; then what Unicode 15, 16 and 17 added."""
    out = []
    for block in range(0, 0x110000, 64):
        if 0xE000 <= block < 0xF900 and block % 0x400 or block >= 0xF0040 and block % 0x4000 or 0xD800 <= block < 0xE000:
            continue
        assigned = [c for c in range(block, block + 64) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
        if block in (0xE000, 0xF0000, 0x100000):
            assigned = list(range(block, block + 3))
        if not assigned or 0x3400 <= block < 0x9FC0 and block % 0x300 or 0xAC00 <= block < 0xD7A3 and block % 0x400:
            continue
        if 0x17000 <= block < 0x18B00 and block % 0x300 or 0x20000 <= block and block % 0x1000 and block < 0x31350:
            continue
        picked = assigned[:: max(1, len(assigned) // 6)][:6]
        text = "".join(map(chr, picked))
        out += [text, "ab " + text[:2] + " " + text[2:4] + "1" + text[4:]]
    newer = [0x0897, 0x0CF3, 0x0ECE, 0x10EFD, 0x11F02, 0x11F50, 0x1E030, 0x1E08F, 0x1E4D0, 0x1E4F0, 0x1F6DC, 0x1FAE8, 0x31350, 0x323AF,  # 15
             0x2EBF0, 0x2EE5D, 0x2FFC, 0x31EF,  # 15.1
             0x1C89, 0x1C8A, 0xA7CB, 0xA7CC, 0xA7CD, 0xA7DA, 0xA7DC, 0x105C0, 0x10D40, 0x10D50, 0x10D70, 0x10D4E, 0x10D69, 0x10D6E, 0x11380, 0x113D4, 0x113E1,
             0x11BC0, 0x11BE1, 0x11BF0, 0x13460, 0x16100, 0x16130, 0x16D40, 0x16D6D, 0x16D70, 0x1CC00, 0x1CCF0, 0x1E5D0, 0x1E5F1, 0x1E5FF, 0x1B4E, 0x1B7F,  # 16
             0x11DE0, 0x16FF4, 0xA7CE, 0xA7D2, 0x16EA0, 0x1ACF]  # 17
    for c in newer:
        out += [chr(c), f"a{chr(c)}b {chr(c)}{chr(c)} 1{chr(c)}", f"X {chr(c)}!", f"e\u0301{chr(c)}\u0323\u0301"]
    return out


def strings():
    draw = random.Random(20240131)
    out = [""]
    for group in (SENTENCES.values(), CODE, NUMBERS, EMOJI, SPACES, CONTRACTIONS, SIGNS, COMBINING, LONG):
        out += list(group)
    out += with_specials() + of_blocks()
    out += [chr(c) for c in range(0x100)]
    out += [f"a{chr(c)}b" for c in list(range(0x21)) + list(range(0x7F, 0xA1))]
    mixed = [s for group in (SENTENCES.values(), CODE, NUMBERS, EMOJI, SPACES, CONTRACTIONS, SIGNS, COMBINING, SPECIALS) for s in group]
    for _ in range(420):
        parts = []
        for _ in range(draw.randint(1, 4)):
            if draw.random() < 0.6:
                words = draw.choices(WORDS, k=draw.randint(1, 4))
                words = [draw.choice([w, w, w.capitalize(), w.upper()]) for w in words]
                parts.append(draw.choice([" ", " ", "  ", "\n"]).join(words))
            else:
                text = draw.choice(mixed)
                start = draw.randrange(len(text))
                parts.append(text[start:start + draw.randint(1, 12)])
        out.append(draw.choice(["", " ", " ", ", ", "\n"]).join(parts))
    for _ in range(160):  # characters of everywhere beside each other
        out.append("".join(draw.choice(draw.choice(mixed)) for _ in range(draw.randint(2, 14))))
    unique = list(dict.fromkeys(out))
    for s in unique:
        s.encode("utf-8")
    return unique


def training_text():
    draw = random.Random(7)
    text = []
    for _ in range(1500):
        text.append(" ".join(draw.choices(WORDS, k=12)).capitalize() + draw.choice([".", "!", "?", "..."]))
    return text + list(SENTENCES.values()) * 6 + CODE * 6 + NUMBERS * 2 + CONTRACTIONS * 6 + EMOJI + COMBINING


def trained(tokenizer, vocab_size, specials=(), alphabet=None):
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=list(specials), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet is None else alphabet)
    tokenizer.train_from_iterator(training_text(), trainer)
    return tokenizer


def byte_level(prefix=False, regex=True):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, trim_offsets=True, use_regex=regex)


def gpt2():
    t = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    t.pre_tokenizer = byte_level()
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return trained(t, 900, ["<|endoftext|>"])


def roberta():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = byte_level(prefix=True)
    t.decoder = decoders.ByteLevel()
    specials = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, normalized=False)]
    t = trained(t, 800, specials)
    t.post_processor = processors.RobertaProcessing(("</s>", t.token_to_id("</s>")), ("<s>", t.token_to_id("<s>")))
    return t


def neox():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = byte_level()
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=True)
    t = trained(t, 700, ["<|endoftext|>", "<|padding|>"])
    t.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    return t


def falcon():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), byte_level(), pre_tokenizers.Digits(False),
                                               pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")])
    t.decoder = decoders.ByteLevel()
    return trained(t, 800, [">>TITLE<<", "<|endoftext|>"])


def llama():
    t = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex("[\t]+"), "  "),
                                         normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    t = trained(t, 256 + 600, ["<unk>", "<s>", "</s>"] + bytes_, alphabet=[])
    # The bytes were special only so that training put them first.
    state = json.loads(t.to_str())
    state["added_tokens"] = state["added_tokens"][:3]
    # Without a pre-tokenizer whole sentences would be learned; keep the short ones.
    keep = {k: v for k, v in state["model"]["vocab"].items() if len(k) < 12 or v < 259}
    merges = [m for m in state["model"]["merges"] if "".join(m) in keep and m[0] in keep and m[1] in keep]
    state["model"]["vocab"] = {k: i for i, (k, _) in enumerate(sorted(keep.items(), key=lambda kv: kv[1]))}
    state["model"]["merges"] = merges
    state["post_processor"] = {
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    return Tokenizer.from_str(json.dumps(state))


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def llama3():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), byte_level(regex=False)])
    t.decoder = decoders.ByteLevel()
    t = trained(t, 900, ["<|begin|>", "<|end|>"])
    # Words that no sequence of merges makes, which only ignore_merges finds.
    state = json.loads(t.to_str())
    vocab = state["model"]["vocab"]
    for word in ("Ġantidisestablishmentarianism", "Hello", "ĠTOKENIZER", "123", "!?"):
        vocab.setdefault(word, len(vocab))
    t = Tokenizer.from_str(json.dumps(state))
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|begin|> $A <|end|>", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", t.token_to_id("<|begin|>")),
                                                                              ("<|end|>", t.token_to_id("<|end|>"))])])
    return t


O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])


def o200k():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(O200K), "removed", invert=True), byte_level(regex=False)])
    t.decoder = decoders.ByteLevel()
    return trained(t, 700, ["<|endoftext|>"])


def added():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Lowercase()
    t.pre_tokenizer = byte_level()
    t.decoder = decoders.ByteLevel()
    t = trained(t, 500, ["<s>"])
    plain = [("[PLAIN]", ""), ("[L]", "l"), ("[R]", "r"), ("[LR]", "lr"), ("[W]", "w"), ("[LW]", "lw"), ("[RW]", "rw"), ("[LRW]", "lrw"),
             ("tok", ""), ("token", "w"), ("w0w", "w"), ("  ", ""), ("é", "r"), ("中", "lrw"), ("A\u0301", ""), ("wörd", "w")]
    for content, flags in plain:
        for normalized in (False, True):
            name = content if not normalized else content.replace("[", "[N").replace("to", "no").replace("w0", "n0")
            if normalized and name == content:
                name = "N" + content
            token = AddedToken(name, lstrip="l" in flags, rstrip="r" in flags, single_word="w" in flags, normalized=normalized,
                               special=len(flags) == 1)
            t.add_special_tokens([token]) if token.special else t.add_tokens([token])
    t.add_tokens([AddedToken("Norm", normalized=True), AddedToken("NORM", normalized=False)])
    t.add_special_tokens([AddedToken("<|end|>", normalized=True), AddedToken("Normed", normalized=True)])
    return t


def whitespace():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    return trained(t, 500, ["<unk>"], alphabet=[])


def fused():
    """No byte alphabet: unknown characters, fused, with a prefix inside words and a suffix at their ends."""
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, continuing_subword_prefix="##", end_of_word_suffix="</w>"))
    t.normalizer = normalizers.NFKC()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True), pre_tokenizers.Punctuation()])
    # Strip panics on a token that is shorter than what it may strip at the end, so it comes first.
    t.decoder = decoders.Sequence([decoders.Strip("e", 0, 1), decoders.Replace(Regex("##|(?<=a)b"), ""), decoders.Strip("t", 2, 0),
                                   decoders.Replace("</w>", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t = trained(t, 600, ["<unk>"], alphabet=[])
    state = json.loads(t.to_str())
    keep = {k: v for k, v in state["model"]["vocab"].items() if k.isascii() or v % 3}  # so that unknowns abound
    state["model"]["vocab"] = {k: i for i, (k, _) in enumerate(sorted(keep.items(), key=lambda kv: kv[1]))}
    state["model"]["merges"] = [f"{a} {b}" for a, b in state["model"]["merges"]
                                if a in keep and b in keep and a + b.removeprefix("##") in keep]
    return state


def behaviors():
    t = Tokenizer(models.BPE())
    split = pre_tokenizers.Split
    t.pre_tokenizer = pre_tokenizers.Sequence([
        split("the", "merged_with_next"), split(Regex(r"\b[aeiou]\w*"), "merged_with_previous"), split("-", "contiguous"),
        split(Regex(r"(?<=\d)(?=[A-Z])"), "isolated"), split(Regex(r"[[:punct:]&&[^.]]+"), "merged_with_previous", invert=True),
        split(Regex(r"\p{Han}|[\p{Hangul}\p{Greek}]+|\h{2,}|\d{2}+|x{2}?y"), "isolated"), split(Regex(r"\s+\z|^ +"), "removed"),
        pre_tokenizers.Digits(True), pre_tokenizers.Punctuation("merged_with_next"), byte_level(regex=False)])
    t.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace(Regex("o+"), "0")])
    return trained(t, 500, ["<s>"])


DEEPSEEK = [r"\p{N}{1,3}", "[一-龥\u3040-\u309f\u30a0-\u30ff]+",
            r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
            r"""|\s*[\r\n]+|\s+(?!\S)|\s+"""]
QWEN35 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
          r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def by_splits(patterns, normalizer=None):
    t = Tokenizer(models.BPE())
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(p), "isolated") for p in patterns] + [byte_level(regex=False)])
    t.decoder = decoders.ByteLevel()
    return trained(t, 600, ["<|endoftext|>"])


def deepseek():
    return by_splits(DEEPSEEK)


def qwen35():
    return by_splits([QWEN35], normalizers.NFC())


def of_pieces(pre_tokenizer, decoder, normalizer=None):
    t = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer, t.decoder = pre_tokenizer, decoder
    t = trained(t, 256 + 600, ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)], alphabet=[])
    state = json.loads(t.to_str())
    state["added_tokens"] = state["added_tokens"][:3]  # the bytes were special only so that training put them first
    return Tokenizer.from_str(json.dumps(state))


def gemma():
    return of_pieces(pre_tokenizers.Split(" ", "merged_with_previous"), decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(),
                                                                                          decoders.Fuse()]), normalizers.Replace(" ", "▁"))


def metaspace():
    t = of_pieces(pre_tokenizers.Metaspace("▁", "always", True), decoders.Metaspace("▁", "always", True))
    t.add_tokens([AddedToken("Norm", normalized=True), AddedToken("[L]", lstrip=True)])
    return t


def metaspace_first():
    t = of_pieces(pre_tokenizers.Metaspace("▁", "first", True), decoders.Metaspace("▁", "first", False))
    state = json.loads(t.to_str())
    state["pre_tokenizer"]["split"] = False
    state["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Strip", "strip_left": True, "strip_right": False}, {"type": "NFKD"},
                                                               {"type": "StripAccents"}]}
    return Tokenizer.from_str(json.dumps(state))


def sentencepiece_unigram(**options):
    """The pieces with their scores, and the precompiled map of characters, of a model that SentencePiece trains."""
    import io

    import sentencepiece
    from transformers.utils import sentencepiece_model_pb2_new as pb2
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(training_text()), model_writer=written, model_type="unigram", vocab_size=900, hard_vocab_limit=False,
        minloglevel=2, num_threads=1, **options)
    model = pb2.ModelProto()
    model.ParseFromString(written.getvalue())
    return [(p.piece, p.score) for p in model.pieces], model.normalizer_spec.precompiled_charsmap


def unigram():
    """As T5, XLM-RoBERTa and CamemBERT have it."""
    pieces, charsmap = sentencepiece_unigram(normalization_rule_name="nmt_nfkc", character_coverage=0.98, bos_id=0, pad_id=1, eos_id=2, unk_id=3)
    t = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", "always", True)])
    t.decoder = decoders.Metaspace("▁", "always", True)
    t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    t.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
    return t


def unigram_bytes():
    pieces, _ = sentencepiece_unigram(normalization_rule_name="identity", character_coverage=0.98, byte_fallback=True)
    t = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace("▁", "first", False)
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens(["<unk>", "<s>", "</s>"])
    return t


def wordpiece():
    """As BERT has it, and with it Chinese models of GPT-2's kind."""
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=40))
    t.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train_from_iterator(training_text(), trainers.WordPieceTrainer(vocab_size=1100, special_tokens=specials, show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                     special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return t


TRAINED = {f.__name__: f for f in (wordpiece, gpt2, roberta, neox, falcon, llama, llama3, o200k, added, whitespace, fused, behaviors, deepseek, qwen35, gemma,
                                 metaspace, metaspace_first, unigram, unigram_bytes)}


def base36(n):
    digits = ""
    while True:
        n, d = divmod(n, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[d] + digits
        if n == 0:
            return digits


def golden(tokenizer, folder, texts):
    encoded = [tokenizer.encode(s, add_special_tokens=False).ids for s in texts]
    framed = tokenizer.encode("a").ids
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    at = next(i for i in range(len(framed) + 1) if framed[i:i + len(bare)] == bare)
    prefix, suffix = framed[:at], framed[at + len(bare):]
    for s, ids in zip(texts, encoded):
        assert tokenizer.encode(s).ids == prefix + ids + suffix
    decoded, skipped = {}, {}
    for i, ids in enumerate(encoded):
        text = tokenizer.decode(ids, skip_special_tokens=False)
        without = tokenizer.decode(ids, skip_special_tokens=True)
        if text != texts[i]:
            decoded[i] = text
        if without != text:
            skipped[i] = without
    draw = random.Random(11)
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    drawn = []
    for _ in range(200):
        ids = [draw.randrange(size + 2) for _ in range(draw.randint(1, 12))]
        drawn.append([" ".join(map(base36, ids)), tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids, skip_special_tokens=True)])
    added = tokenizer.get_added_tokens_decoder()
    some = sorted(set(list(range(0, size, max(1, size // 40))) + list(added)))
    spelled = {i: added[i].content if i in added else tokenizer.id_to_token(i) for i in some}
    spelled = {i: token for i, token in spelled.items() if token is not None}
    return {"library": f"tokenizers {tokenizers.__version__}", "folder": folder, "vocab_size": size,
            "ids": [" ".join(map(base36, ids)) for ids in encoded],
            "with_special": [prefix, suffix], "decoded": decoded, "skipped": skipped, "random": drawn,
            "of_ids": [[i, token, i in added and added[i].special] for i, token in spelled.items()]}


def write(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


def save_tokenizer(name):
    made = TRAINED[name]()
    folder = os.path.join(OUT, name)
    os.makedirs(folder, exist_ok=True)
    state = made if isinstance(made, dict) else json.loads(made.to_str())
    write(os.path.join(folder, "tokenizer.json"), state)


def save_words():
    """vocab.txt of BERT's class, with capitals and accents; the golden is what transformers makes of it."""
    import transformers
    with open(os.path.join(OUT, "wordpiece", "tokenizer.json"), encoding="utf-8") as f:
        vocab = json.load(f)["model"]["vocab"]
    vocab |= {word: len(vocab) + i for i, word in enumerate(("The", "##é", "été", "Σ", "##\u0301"))}
    folder = os.path.join(OUT, "old_bert")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as f:
        f.write("".join(f"{token}\n" for token, _ in sorted(vocab.items(), key=lambda kv: kv[1])))
    write(os.path.join(folder, "tokenizer_config.json"),
          {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "tokenize_chinese_chars": False, "strip_accents": False})
    write(os.path.join(folder, "config.json"), {"model_type": "gpt2"})
    return transformers.AutoTokenizer.from_pretrained(folder)._tokenizer


def save_old_style():
    """vocab.json and merges.txt, with what transformers reads beside them; the golden is what transformers makes of it."""
    import transformers
    from tokenizers.models import BPE
    for name, cls, source in (("old_gpt2", "GPT2Tokenizer", "gpt2"), ("old_roberta", "RobertaTokenizer", "roberta")):
        with open(os.path.join(OUT, source, "tokenizer.json"), encoding="utf-8") as f:
            model = json.load(f)["model"]
        folder = os.path.join(OUT, name)
        os.makedirs(folder, exist_ok=True)
        write(os.path.join(folder, "vocab.json"), model["vocab"])
        with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as f:
            f.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"]))
        config = {"tokenizer_class": cls, "add_prefix_space": name == "old_roberta", "model_max_length": 512}
        if name == "old_gpt2":
            write(os.path.join(folder, "added_tokens.json"), {"<|begin|>": len(model["vocab"]), "<|end|>": len(model["vocab"]) + 1})
        else:
            token = {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}
            write(os.path.join(folder, "special_tokens_map.json"),
                  {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>",
                   "mask_token": token})
        write(os.path.join(folder, "tokenizer_config.json"), config)
        yield name, transformers.AutoTokenizer.from_pretrained(folder)._tokenizer


class Common:
    """AutoTokenizer's tokenizer of any kind, with what golden() asks of one of the tokenizers library."""

    def __init__(self, tokenizer, added):
        self.tokenizer, self.added = tokenizer, added

    def encode(self, text, add_special_tokens=True):
        return type("Encoding", (), {"ids": self.tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"]})

    def decode(self, ids, skip_special_tokens):
        ids = [i for i in ids if i < len(self.tokenizer)]
        return self.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens) if ids else ""

    def get_vocab_size(self, with_added_tokens):
        return len(self.tokenizer)

    def get_added_tokens_decoder(self):
        return self.added

    def id_to_token(self, i):
        return None  # spelled in another way


def save_tekken():
    """Mistral's tekken.json; the golden is what mistral-common makes of it."""
    import base64
    import transformers
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode
    byte_of = {c: b for b, c in bytes_to_unicode().items()}
    vocab = json.loads(by_splits([TEKKEN]).to_str())["model"]["vocab"]
    longer = [bytes(byte_of[c] for c in token) for token, _ in sorted(vocab.items(), key=lambda kv: kv[1])
              if len(token) > 1 and not token.startswith("<|")]
    tokens = [bytes([b]) for b in range(256)] + longer
    specials = [t["token_str"].value for t in Tekkenizer.DEPRECATED_SPECIAL_TOKENS] + ["[THINK]"]
    count = len(specials) + 7
    folder = os.path.join(OUT, "tekken")
    os.makedirs(folder, exist_ok=True)
    write(os.path.join(folder, "tekken.json"), {
        "config": {"pattern": TEKKEN, "num_vocab_tokens": len(tokens), "default_vocab_size": len(tokens) - 3 + count,
                   "default_num_special_tokens": count, "version": "v3"},
        "vocab": [{"rank": i, "token_bytes": base64.b64encode(t).decode(), "token_str": None} for i, t in enumerate(tokens)],
        "special_tokens": [{"rank": i, "token_str": t, "is_control": True} for i, t in enumerate(specials)], "version": 1, "type": "tekken"})
    write(os.path.join(folder, "config.json"), {"model_type": "mistral"})
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert type(tokenizer).__name__ == "MistralCommonBackend"
    special = lambda t: type("Special", (), {"content": t, "special": True})
    return Common(tokenizer, {i: special(t) for i, t in enumerate(specials)})


def save_pieces():
    """tokenizer.model of SentencePiece; the goldens are what AutoTokenizer makes of them."""
    import sentencepiece
    import transformers
    for name, cls, options in (
            ("pieces_llama", "LlamaTokenizer", dict(byte_fallback=True, split_digits=True)),
            ("pieces", "FooTokenizer", dict(byte_fallback=True, user_defined_symbols=["<|begin|>", "12"], control_symbols=["<|end|>"],
                                            allow_whitespace_only_pieces=True))):
        folder = os.path.join(OUT, name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "tokenizer.model"), "wb") as f:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(training_text()), model_writer=f, model_type="bpe", vocab_size=900, hard_vocab_limit=False,
                normalization_rule_name="identity", minloglevel=2, num_threads=1, **options)
        write(os.path.join(folder, "tokenizer_config.json"), {"tokenizer_class": cls, "add_bos_token": True})
        write(os.path.join(folder, "config.json"), {"model_type": "llama"})
        yield name, transformers.AutoTokenizer.from_pretrained(folder)._tokenizer


def main(folders):
    os.makedirs(OUT, exist_ok=True)
    texts = strings()
    assert len(texts) >= 2000, len(texts)
    write(os.path.join(OUT, "strings.json"), texts)
    for folder in folders:
        folder = os.path.relpath(os.path.abspath(folder), ROOT)
        tokenizer = Tokenizer.from_file(os.path.join(ROOT, folder, "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        write(os.path.join(OUT, os.path.basename(folder) + ".golden.json"), golden(tokenizer, folder, texts))
    if folders:
        return
    for name in TRAINED:
        save_tokenizer(name)
        tokenizer = Tokenizer.from_file(os.path.join(OUT, name, "tokenizer.json"))
        write(os.path.join(OUT, name + ".golden.json"), golden(tokenizer, f"tests/golden/tokenizers/{name}", texts))
        print(name, len(texts))
    for name, tokenizer in list(save_old_style()) + list(save_pieces()) + [("tekken", save_tekken()), ("old_bert", save_words())]:
        write(os.path.join(OUT, name + ".golden.json"), golden(tokenizer, f"tests/golden/tokenizers/{name}", texts))
        print(name, len(texts))


if __name__ == "__main__":
    main(sys.argv[1:])
