"""pkv.shared_prefix: where a conversation's prefix breaks, and why."""

import pytest

import pkv


class Tokenizer:
    """A letter a token, but "ab" may be one; templates of the kinds that break prefixes."""

    def __init__(self, template):
        self.template, self.chat_template = template, "{{ x }}"

    def apply_chat_template(self, messages, tokenize=False, add_generation_prompt=True, tools=None, **options):
        return self.template(messages, tools) + ("<a>" if add_generation_prompt else "")

    def __call__(self, text, add_special_tokens=True):
        made, i = [], 0
        while i < len(text):
            made.append(1 if text[i:i + 2] == "ab" else 10 + ord(text[i]))
            i += 2 if made[-1] == 1 else 1
        return {"input_ids": made}

    def decode(self, ids, skip_special_tokens=False):
        return "".join("ab" if i == 1 else chr(i - 10) for i in ids)


TAGS = {"user": "<u>", "assistant": "<a>", "system": "<s>"}


def plain(messages, tools):
    return "".join(TAGS[m["role"]] + m["content"] for m in messages)


def without_thinking(messages, tools):
    return "".join(TAGS[m["role"]] + m["content"].split("</think>")[-1] for m in messages)


def stripped(messages, tools):
    return "".join(TAGS[m["role"]] + m["content"].strip() for m in messages)


def count_first(messages, tools):
    return f"{len(messages)} turns so far, of 2024-01-0{len(messages)}." + plain(messages, tools)


TALK = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "good day"},
        {"role": "user", "content": "bye"}, {"role": "assistant", "content": "so long"}]


def test_a_prefix_that_holds():
    told = pkv.shared_prefix(Tokenizer(plain), TALK)
    assert told.holds and [row["reused"] for row in told] == [row["held"] for row in told] and len(told.rows) == 2


@pytest.mark.parametrize("template, said, why", [
    (without_thinking, "<think>hm</think>good", "thinking"),
    (stripped, " good ", "white space"),
    (count_first, "good", "date")])
def test_where_and_why_it_breaks(template, said, why):
    talk = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": said}, {"role": "user", "content": "x"}]
    told = pkv.shared_prefix(Tokenizer(template), talk)
    row = told.rows[0]
    assert not told.holds and row["reused"] < row["held"] and why in row["why"], str(told)
    assert "‖" in row["held text"] and why in str(told)


def test_a_reply_that_is_tokenised_to_other_ids():
    talk = [{"role": "user", "content": "x"},
            {"role": "assistant", "content": "cab", "ids": [10 + ord(c) for c in "cab"]}, {"role": "user", "content": "y"}]
    told = pkv.shared_prefix(Tokenizer(plain), talk)
    assert "other ids" in told.rows[0]["why"] and told.rows[0]["reused"] == told.rows[0]["prompt"] + 1


def test_what_makes_no_sense():
    with pytest.raises(pkv.Error, match="no reply"):
        pkv.shared_prefix(Tokenizer(plain), TALK[:1])
    with pytest.raises(pkv.Error, match="no chat templates"):
        pkv.shared_prefix(object(), TALK)
