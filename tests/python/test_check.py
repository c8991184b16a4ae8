"""pkv.check of what needs no torch: the engine, and anything that can be fed."""

import json

import pytest

import pkv

IDS = [5, 17, 300, 42, 7, 99, 3, 250, 77, 8]


class Fed:
    """The engine behind the protocol, perhaps with something wrong."""

    def __init__(self, model, change=lambda ids, fed: ids, honest=True):
        self.model, self.change, self.honest = model, change, honest

    def describe(self):
        return {"name": "fed", "layers": 4, "width": 256}

    def fresh(self):
        return FedSession(self)


class FedSession:
    def __init__(self, of):
        self.of, self.past, self.fed = of, of.model.new_past(), 0

    def feed(self, ids):
        if self.fed and not self.of.honest:
            self.past = self.of.model.new_past()  # forgets, and says nothing
        logits = self.of.model.logits(self.of.change(list(ids), self.fed), self.past)
        self.fed += len(ids)
        return logits

    def length(self):
        return self.fed


def test_the_engine_agrees_with_itself(tiny):
    report = tiny.check("I like to eat")
    assert report.verdict == "identical" and report.holds and report.same_bits and not report.causes
    assert {"mean", "std", "min", "25%", "50%", "75%", "max"} == set(as_dict(report.table)["without past"])
    assert "identical" in str(report) and "<html" in report._repr_html_().replace("&lt;", "<")


def as_dict(table):
    return table.to_dict() if hasattr(table, "to_dict") else table


@pytest.mark.parametrize("fault", ["window=4", "top-left-mask", "position-restarted"])
def test_a_planted_fault_is_named(fault):
    model = pkv.Model("tiny-gpt2", run_as=fault)
    report = model.check(IDS)
    assert report.verdict == "differs" and fault.split("=")[0] in report.cause
    with pytest.raises(AssertionError, match="differs"):
        pkv.assert_reusable(model, text=IDS)


def test_what_can_be_fed_can_be_checked(tiny):
    assert pkv.check(Fed(tiny), text=IDS).verdict == "identical"
    forgets = pkv.check(Fed(tiny, honest=False), text=IDS)
    assert forgets.verdict == "differs" and forgets.cause == "new-tokens-alone"
    tired = pkv.check(Fed(tiny, lambda ids, fed: [(ids[0] + 1) % 100, *ids[1:]] if fed > 5 else ids), text=IDS)
    assert tired.verdict == "differs"


def test_a_function_in_fifteen_lines(tiny):
    def feed(past, ids):
        past = tiny.new_past() if past is None else past
        return tiny.logits(ids, past), past

    def rewind(past, n):
        past.rewind(n)
        return past

    fed = pkv.Feedable(feed, "a function", fork=lambda p: p.fork(), rewind=rewind, length=len)
    report = pkv.check(fed, text=IDS)
    assert report.verdict == "identical"
    names = [row["experiment"] for row in report._check.experiments() if not row["left out"]]
    assert {"one past used twice", "rewind, go on", "two pasts at once"} <= set(names)
    alone = pkv.check(pkv.Feedable(feed, "no powers"), text=IDS)
    left = {row["experiment"]: row["left out"] for row in alone._check.experiments()}
    assert left["rewind, go on"] == "the system cannot rewind" and alone.holds


def test_what_a_system_raises_comes_through():
    class Broken:
        def describe(self):
            return {"name": "broken"}

        def fresh(self):
            return self

        def feed(self, ids):
            raise ZeroDivisionError("its own")

    with pytest.raises(ZeroDivisionError, match="its own"):
        pkv.check(Broken(), text=IDS)
    with pytest.raises(pkv.Error, match="can't be fed|no transformers model"):
        pkv.check(object(), text=IDS)


@pytest.mark.parametrize("rows, found", [([[1.0, 2.0]], "list"), (memoryview(b"abcd"), "array")])
def test_what_is_no_logits_is_refused(rows, found):
    system = pkv.Feedable(lambda past, ids: (rows, past), "odd")
    with pytest.raises(pkv.Error, match=found):
        pkv.check(system, text=IDS)


def test_reports_are_written(tiny, tmp_path):
    report = tiny.check(IDS)
    for name, begins in (("a.html", "<!"), ("a.json", "{"), ("a.md", ""), ("a.csv", ""), ("a.xml", "<?xml"), ("a.txt", "")):
        report.save(tmp_path / name)
        assert (tmp_path / name).read_text().startswith(begins)
    assert json.loads((tmp_path / "a.json").read_text())["schema"].startswith("pkv-check/")
    with pytest.raises(pkv.Error, match=".pdf"):
        report.save(tmp_path / "a.pdf")


def test_texts_that_make_no_sense(tiny):
    for text in ("", [], [3], None, [3.5, 2.0]):
        with pytest.raises((pkv.Error)):
            tiny.check(text)
    with pytest.raises(pkv.Error, match="split"):
        tiny.check(IDS, splits="sometimes")
    several = tiny.check([IDS, IDS[:4]])
    assert len(several) == 2 and several.holds
