"""How much of a conversation's last prompt and reply its next prompt can reuse, and where and why that ends."""

from __future__ import annotations

import re
from typing import Any, Optional, Sequence

from .errors import Error
from .report import frame

AROUND = 30  # letters shown on each side of a break


class SharedPrefix:
    """A row for each reply: ``rows`` is a list of dicts, ``table`` a DataFrame where pandas is installed."""

    def __init__(self, rows: list[dict[str, Any]], notes: list[str]) -> None:
        self.rows, self.notes = rows, notes

    @property
    def holds(self) -> bool:
        """Every next prompt begins with the last prompt and reply."""
        return all(row["reused"] == row["held"] for row in self.rows)

    @property
    def table(self) -> Any:
        return frame(self.rows)

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __str__(self) -> str:
        lines = []
        for row in self.rows:
            lines.append(f"after reply {row['reply']}: {row['reused']} of {row['held']} tokens can be reused; the next prompt "
                         f"has {row['next prompt']}")
            if row["why"]:
                lines.append(f"  breaks at token {row['reused']}: {row['why']}")
                lines.append(f"    held: {row['held text']!r}")
                lines.append(f"    next: {row['next text']!r}")
        return "\n".join([*lines, *self.notes])

    __repr__ = __str__


def shared_prefix(tokenizer: Any, conversation: Sequence[dict[str, Any]], *, tools: Any = None,
                  **options: Any) -> SharedPrefix:
    """Says, reply by reply, how many tokens of the prompt and the reply the next prompt begins with.

    ``conversation``: messages with "role" and "content". A reply may have "ids": what the model really generated;
    without them its text is tokenised, as a server would do that keeps no ids. ``options`` and ``tools`` go to
    ``apply_chat_template``.
    """
    messages = list(conversation)
    if not hasattr(tokenizer, "apply_chat_template"):
        raise Error("this tokenizer has no chat templates", found=type(tokenizer).__name__)
    replies = [i for i, m in enumerate(messages) if m.get("role") == "assistant"]
    if not replies:
        raise Error("there is no reply in this conversation", expected='a message with the role "assistant"',
                    found=", ".join(str(m.get("role")) for m in messages) or "no messages")
    clean = [{k: v for k, v in m.items() if k != "ids"} for m in messages]

    def prompt(count: int) -> tuple[str, list[int]]:
        text = tokenizer.apply_chat_template(clean[:count], tokenize=False, add_generation_prompt=True, tools=tools,
                                             **options)
        return text, list(tokenizer(text, add_special_tokens=False)["input_ids"])

    rows = []
    for i in replies:
        following = next((j for j in range(i + 1, len(messages)) if messages[j].get("role") == "assistant"), None)
        end = following if following is not None else len(messages)
        text, ids = prompt(i)
        said = str(messages[i].get("content") or "")
        thought = str(messages[i].get("reasoning_content") or messages[i].get("thinking") or "")
        full = f"<think>\n{thought}\n</think>\n\n{said}" if thought else said
        given = messages[i].get("ids")
        reply = list(given) if given else list(tokenizer(full, add_special_tokens=False)["input_ids"])
        clean_next = prompt(end)
        held = ids + reply
        if end == i + 1 and following is None:  # nothing follows: what a next user's turn would find
            clean.append({"role": "user", "content": "And then?"})
            clean_next = prompt(end + 1)
            clean.pop()
        shared = next((k for k, (a, b) in enumerate(zip(held, clean_next[1])) if a != b), min(len(held), len(clean_next[1])))
        row: dict[str, Any] = {"reply": len(rows) + 1, "prompt": len(ids), "generated": len(reply), "held": len(held),
                               "next prompt": len(clean_next[1]), "reused": shared, "why": "", "held text": "",
                               "next text": ""}
        if shared < len(held):
            row.update(_why(tokenizer, text, ids, held, clean_next, shared, full, bool(thought)))
        rows.append(row)
    return SharedPrefix(rows, _notes(tokenizer, tools))


def _why(tokenizer: Any, text: str, ids: list[int], held: list[int], following: tuple[str, list[int]], shared: int,
         reply: str, thought: bool) -> dict[str, str]:
    decode = lambda some: tokenizer.decode(some, skip_special_tokens=False)
    held_after, next_after = decode(held[shared:])[:AROUND], decode(following[1][shared:])[:AROUND]
    before = decode(held[:shared])[-AROUND:]
    shown = {"held text": before + "‖" + held_after, "next text": before + "‖" + next_after}
    dates = re.compile(r"\d{4}-\d\d-\d\d|\b\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)")
    # The same text from here on: other ids for it.
    if shared >= len(ids):
        rest = decode(held[shared:])
        if rest and decode(following[1][shared:]).startswith(rest):
            return {"why": "the reply's text is tokenised to other ids than the model generated", **shown}
        if "think" in reply[:40].lower() or thought:
            return {"why": "the template removes the reply's thinking once it is a turn of the past", **shown}
        if decode(following[1][shared:]).lstrip().startswith(rest.strip()[:10]) if rest.strip() else True:
            return {"why": "the template changes white space around the reply", **shown}
        return {"why": "the template writes the reply otherwise than the model generated it", **shown}
    text_shared = next((k for k, (a, b) in enumerate(zip(text, following[0])) if a != b), min(len(text), len(following[0])))
    if text_shared >= len(text):
        return {"why": "the same text is tokenised to other ids where the prompt ended", **shown}
    if dates.search(held_after) or dates.search(next_after):
        return {"why": "a date in the prompt changes", **shown}
    if "think" in text[max(0, text_shared - 20):text_shared + 40].lower() or "think" in held_after.lower():
        return {"why": "the template rewrites an earlier turn: thinking is removed", **shown}
    if "tool" in held_after.lower() or "tool" in next_after.lower():
        return {"why": "the template moves or rewrites the list of tools", **shown}
    if shared < 8:
        return {"why": "what changes is put first, before everything else", **shown}
    return {"why": "the template rewrites earlier turns", **shown}


def _notes(tokenizer: Any, tools: Any) -> list[str]:
    template: Optional[Any] = getattr(tokenizer, "chat_template", None)
    text = template if isinstance(template, str) else " ".join(map(str, (template or {}).values())) if isinstance(
        template, dict) else ""
    return ["The template asks for today's date: at midnight every prompt changes from there on."
            ] if "strftime_now" in text else []
