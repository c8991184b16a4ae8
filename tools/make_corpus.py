#!/usr/bin/env python3
"""Write a small English corpus for the bundled demonstration models.

The corpus is made up by a grammar, so it needs no download and no licence. It is deterministic: the same options give
the same bytes. Only the standard library is used.

What is in it: everyday sentences, dialogues, lists, stories, counting, nested quotes and brackets. The stories are
there for their length: a name, a thing and a place stand at the start, sentences about other matters follow, and the
end asks who owns the thing. The last name can be known from the start alone, so a model without a working past fails.

Usage:
    make_corpus.py --bytes 1000000 --output train.txt
    make_corpus.py --split heldout --documents 200 --output heldout.txt

Documents are separated by one blank line and hold none themselves. The splits are disjoint by construction: a
document belongs to the held-out split if the checksum of its text is divisible by 16, else to the train split.
"""

import argparse
import random
import sys
import zlib
from dataclasses import dataclass

WOMEN = "Anna Clara Emma Grace Ida Kate Lucy Mary Nora Rose Vera Alice".split()
MEN = "Ben David Frank Henry Jack Leo Oscar Paul Peter Sam Tom Will".split()
NAMES = WOMEN + MEN
COLOURS = "red blue green yellow black white brown silver".split()
THINGS = "ball book bell boat clock coat cup drum hat key kite lamp letter map pen ring rope spoon toy coin".split()
HIDING_PLACES = "attic barn box cellar drawer garage garden house kitchen library shed tower".split()
PLACES = "beach bridge church forest garden harbour lake library market museum park river school station zoo".split()
FRUIT = "apples pears plums grapes berries oranges cherries lemons".split()
BREAKFAST = "bread cheese eggs honey toast jam butter".split()
DINNER = "soup rice fish beans potatoes carrots pasta salad".split()
SWEETS = "cake cookies chocolate candy".split()
DRINKS = "milk tea water coffee juice".split()
ANIMALS = "dog cat horse bird cow duck sheep mouse".split()
HOBBIES = ["read books", "play the piano", "swim in the lake", "sing old songs", "draw small birds", "ride my bike",
           "walk in the rain", "look at the stars", "bake bread", "play chess"]
WEATHER = "cold warm wet dry windy sunny cloudy".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
TIMES = ["In the morning", "In the evening", "After lunch", "Before dinner", "At night", "On the way home"]
SMALL_NUMBERS = ("one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
                 "seventeen eighteen nineteen twenty").split()
BRACKETS = [("(", ")"), ("[", "]"), ("{", "}")]


def pronoun(name):
    return "She" if name in WOMEN else "He"


def joined(words):
    """a, b, and c"""
    if len(words) <= 2:
        return " and ".join(words)
    return ", ".join(words[:-1]) + ", and " + words[-1]


def foods(rng, count):
    """Foods of one kind of meal; the first of each kind is the favourite."""
    kind = rng.choice([FRUIT, FRUIT, BREAKFAST, DINNER, DINNER, SWEETS])
    chosen = rng.sample(kind, min(count, len(kind)))
    if rng.random() < 0.3:
        chosen[0] = kind[0]
        chosen[1:] = [f for f in chosen[1:] if f != kind[0]]
    return chosen


# --- everyday sentences -----------------------------------------------------------------------------------------------


def eating(rng):
    first = foods(rng, 2)
    return rng.choice([
        f"I like to eat {joined(first)}.",
        f"I like to eat {joined(first)}.",
        f"I like to eat {joined(first)} for {rng.choice(['breakfast', 'lunch', 'dinner'])}.",
        f"I like to eat {first[0]} with {rng.choice(BREAKFAST)}.",
        f"I like to drink {rng.choice(DRINKS)}.",
        f"I do not like to eat {first[0]}.",
        f"We eat {joined(first)} on {rng.choice(DAYS)}.",
    ])


def going(rng):
    place = rng.choice(PLACES)
    return rng.choice([
        f"I like to go to the {place}.",
        f"I like to go to the {place} with my {rng.choice(['brother', 'sister', 'mother', 'father', 'friend'])}.",
        f"I want to go to the {place} on {rng.choice(DAYS)}.",
        f"We went to the {place} and saw a {rng.choice(ANIMALS)}.",
        f"The {place} is near the {rng.choice(PLACES)}.",
    ])


def liking(rng):
    return rng.choice([
        f"I like to {rng.choice(HOBBIES)}.",
        f"I like the {rng.choice(COLOURS)} {rng.choice(THINGS)}.",
        f"My friend likes to {rng.choice(HOBBIES).replace('my', 'a')}.",
        f"I have a {rng.choice(ANIMALS)} and a {rng.choice(ANIMALS)}.",
    ])


def everyday(rng):
    kinds = [eating, eating, going, liking]
    return " ".join(rng.choice(kinds)(rng) for _ in range(rng.randint(1, 6)))


# --- stories ----------------------------------------------------------------------------------------------------------


def filler(rng):
    """A sentence that names none of NAMES and none of THINGS."""
    animal, other = rng.sample(ANIMALS, 2)
    return rng.choice([
        f"The day was {rng.choice(WEATHER)} and the sky was grey.",
        f"A {animal} slept near the door.",
        f"A {animal} ran after a {other}.",
        f"{rng.choice(TIMES)} it was {rng.choice(WEATHER)}.",
        f"{rng.choice(TIMES)} the children ate {joined(foods(rng, 2))}.",
        f"Many people went to the {rng.choice(PLACES)}.",
        f"An old man sang a song about a {animal}.",
        f"Nobody was at the {rng.choice(PLACES)}.",
        f"The train to the {rng.choice(PLACES)} was late.",
        f"On {rng.choice(DAYS)} the shops were closed.",
    ])


@dataclass
class Owner:
    name: str
    colour: str
    thing: str
    place: str


def owners(rng, count):
    return [Owner(*four) for four in zip(rng.sample(NAMES, count), rng.sample(COLOURS, count),
                                         rng.sample(THINGS, count), rng.sample(HIDING_PLACES, count))]


def opening(rng, o):
    he = pronoun(o.name)
    return rng.choice([
        f"{o.name} had a {o.colour} {o.thing}. {he} kept it in the {o.place}.",
        f"{o.name} found a {o.colour} {o.thing} in the {o.place}.",
        f"{rng.choice(TIMES)} {o.name} took a {o.colour} {o.thing} to the {o.place}.",
        f"A {o.colour} {o.thing} was in the {o.place}. It belonged to {o.name}.",
    ])


ENDINGS = [
    "Who had the {thing}? The {thing} was with {name}.",
    "At last someone asked about the {colour} {thing}. It belonged to {name}.",
    "Then we saw the {thing} again. It belonged to {name}.",
    "Where was the {thing}? It was in the {place}. Who put it there? It was {name}.",
]


QUESTIONS = [
    "What colour was the {thing}? It was {colour}.",
    "Where was the {thing}? It was in the {place}.",
]


def ending(rng, cast):
    """Questions about one or more owners; the last word but the full stop is the name of the last one asked about."""
    order = rng.sample(cast, len(cast))
    parts = []
    for o in order:
        if o is not order[-1] and rng.random() < 0.3:
            continue
        if rng.random() < 0.3:
            parts.append(rng.choice(QUESTIONS).format(**vars(o)))
        parts.append(rng.choice(ENDINGS).format(**vars(o)))
    return " ".join(parts), order[-1]


@dataclass
class Story:
    """A story cut before its last name: `text` ends where `answer` (with its space) must follow."""
    text: str
    answer: str
    owners: list


def story(rng, people=None):
    cast = owners(rng, people or rng.choice([1, 2, 2, 2]))
    closing, asked = ending(rng, cast)
    parts = [opening(rng, o) for o in cast] + [filler(rng) for _ in range(rng.randint(1, 5))]
    whole = " ".join([*parts, closing])
    return Story(whole[: -len(f" {asked.name}.")], f" {asked.name}", cast)


def story_document(rng):
    s = story(rng)
    return f"{s.text}{s.answer}."


# --- other kinds ------------------------------------------------------------------------------------------------------


def dialogue(rng):
    """Two people talk; the last line gives back what the first lines said."""
    (a, b), place, food = rng.sample(NAMES, 2), rng.choice(PLACES), foods(rng, 2)
    day = rng.choice(DAYS)
    lines = [
        f'"Where are you going?" asked {a}.',
        f'"I am going to the {place}," said {b}.',
        f'"What will you buy there?" asked {a}.',
        f'"I will buy {joined(food)}," said {b}.',
        f'"When will you come back?" asked {a}.',
        f'"I will come back on {day}," said {b}.',
    ]
    kept = lines[:2] + [l for i in (2, 4) if rng.random() < 0.7 for l in lines[i:i + 2]]
    kept.append(f"So {b} went to the {place}, and {a} went home.")
    return "\n".join(kept)


def listing(rng):
    """A list, then the same things in the same order."""
    things = rng.sample(FRUIT + BREAKFAST + DINNER + DRINKS, rng.randint(3, 6))
    if rng.random() < 0.5:
        return f"Please buy {joined(things)}. I put {joined(['the ' + t for t in things])} in the basket."
    indent = " " * rng.choice([0, 2, 4, 8])
    rows = "\n".join(f"{indent}- {t}" for t in things)
    return f"Shopping list:\n{rows}\nWe bought {joined(things)}."


def counting(rng):
    down = rng.random() < 0.25
    if rng.random() < 0.5:
        start = rng.randint(0, 10)
        run = SMALL_NUMBERS[start:start + rng.randint(5, 12)]
        run = run[::-1] if down else run
        return (", ".join(run) + ".").capitalize()
    step, start = rng.choice([1, 1, 1, 2, 5, 10]), rng.choice([1, 1, rng.randint(1, 60)])
    run = [str(start + i * step) for i in range(rng.randint(5, 15))]
    return ", ".join(run[::-1] if down else run) + "."


def nested(rng, depth):
    """Words with brackets inside brackets, closed in the right order."""
    words = [rng.choice(FRUIT + THINGS + ANIMALS) for _ in range(rng.randint(1, 3))]
    if depth == 0:
        return " ".join(words)
    left, right = rng.choice(BRACKETS)
    words.insert(rng.randint(0, len(words)), left + nested(rng, depth - 1) + right)
    return " ".join(words)


def quoted(rng, depth):
    """Quotes inside quotes: "..." holds '...' holds "..."."""
    mark = "\"'"[depth % 2]
    if depth == 0:
        return f"{mark}{filler(rng)}{mark}"
    name = rng.choice(NAMES)
    return f"{mark}{name} said, {quoted(rng, depth - 1)} to the {rng.choice(ANIMALS)}.{mark}"


def bracketing(rng):
    if rng.random() < 0.5:
        left, right = rng.choice(BRACKETS)
        return f"{left}{nested(rng, rng.randint(1, 4))}{right}."
    return f"{rng.choice(NAMES)} said, {quoted(rng, rng.randint(0, 2))}"


# --- the corpus -------------------------------------------------------------------------------------------------------

KINDS = [(everyday, 22), (story_document, 55), (dialogue, 8), (listing, 7), (counting, 5), (bracketing, 6)]


def split_of(text):
    return "heldout" if zlib.crc32(text.encode()) % 16 == 0 else "train"


def documents(seed, split):
    """All documents of one split, without end."""
    rng = random.Random(seed)
    kinds, weights = zip(*KINDS)
    while True:
        text = rng.choices(kinds, weights)[0](rng)
        if split_of(text) == split:
            yield text


def heldout_stories(seed, count, people=None):
    """Stories of the held-out split, cut before the last name, each with the text after a swap of that name."""
    rng = random.Random(seed)
    found = []
    while len(found) < count:
        s = story(rng, people)
        if split_of(f"{s.text}{s.answer}.") == "heldout":
            found.append((s, *swapped(rng, s)))
    return found


def swapped(rng, s):
    """The same story about somebody else of the same gender: (text, answer)."""
    name = s.answer.strip()
    pool = WOMEN if name in WOMEN else MEN
    other = rng.choice([n for n in pool if n not in [o.name for o in s.owners]])
    return s.text.replace(name, other), f" {other}"


def take(stream, max_bytes, max_documents):
    chosen, size = [], 0
    for text in stream:
        chosen.append(text)
        size += len(text.encode()) + 2
        if (max_documents and len(chosen) >= max_documents) or (max_bytes and size >= max_bytes):
            return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", choices=["train", "heldout"], default="train")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--bytes", type=int, help="stop after this many bytes (default 1000000)")
    size.add_argument("--documents", type=int, help="stop after this many documents")
    parser.add_argument("--output", help="file to write (default: standard output)")
    args = parser.parse_args()
    max_bytes = args.bytes or (None if args.documents else 1_000_000)
    text = "\n\n".join(take(documents(args.seed, args.split), max_bytes, args.documents)) + "\n"
    if args.output:
        with open(args.output, "w", encoding="utf-8", newline="\n") as f:
            f.write(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
