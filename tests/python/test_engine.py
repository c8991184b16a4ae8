"""The engine from Python: the same bits however a text is cut."""

import threading

import pytest

import pkv

IDS = [5, 17, 300, 42, 7, 99, 3, 250]


def flat(array):
    return memoryview(array).tolist()


def test_pieces_give_the_bits_of_the_whole(tiny):
    whole = flat(tiny.logits(IDS))
    past = tiny.new_past()
    assert flat(tiny.logits(IDS[:3], past)) + flat(tiny.logits(IDS[3:], past)) == whole
    assert len(past) == len(IDS) and past.ids == IDS
    assert flat(tiny.logits(IDS, last=True)) == whole[-1:]


def test_a_fork_and_a_rewind(tiny):
    whole = flat(tiny.logits(IDS))
    past = tiny.new_past()
    tiny.logits(IDS[:5], past)
    fork = past.fork()
    tiny.logits([1, 2, 3], past)
    assert flat(tiny.logits(IDS[5:], fork)) == whole[5:]
    past.rewind(5)
    assert flat(tiny.logits(IDS[5:], past)) == whole[5:]


def test_a_past_is_saved_and_restored(tiny, tmp_path):
    past = tiny.new_past()
    tiny.logits(IDS[:6], past)
    tiny.save(tmp_path / "p.safetensors", past)
    again = tiny.restore(tmp_path / "p.safetensors", IDS)
    assert len(again) == 6
    assert flat(tiny.logits(IDS[6:], again)) == flat(tiny.logits(IDS))[6:]
    with pytest.raises(pkv.Error) as raised:
        pkv.Model("tiny-falcon").restore(tmp_path / "p.safetensors", IDS)
    assert raised.value.kind == "load"


def test_generates_the_same_with_and_without_a_past(tiny):
    with_past = tiny.generate("I like to eat", max_new_tokens=12)
    assert with_past == tiny.generate("I like to eat", max_new_tokens=12, use_past=False)
    seen = []
    assert tiny.generate("I like to eat", max_new_tokens=12, on_token=lambda i: (seen.append(i), len(seen) < 3)[1]) == seen
    assert len(seen) == 3
    assert tiny.decode(with_past).startswith("".join(tiny.stream("I like to eat", max_new_tokens=12))[:4])
    drawn = tiny.generate("I like", do_sample=True, seed=3, max_new_tokens=8)
    assert drawn == tiny.generate("I like", do_sample=True, seed=3, max_new_tokens=8)


def test_who_stops_listening_stops_the_text(tiny):
    stream = tiny.stream("I like to eat", max_new_tokens=100, eos_token_id=[])
    assert next(stream)
    stream.close()


def test_a_past_is_one_callers_at_a_time(tiny):
    past, ids = tiny.new_past(), tiny.ids("I like to eat")
    begun, go_on, told = threading.Event(), threading.Event(), []

    def on_token(_):
        told.append(len(past))  # may be read from within the call
        with pytest.raises(pkv.Error, match="another call"):
            past.rewind(1)
        begun.set()
        return go_on.wait(60) and len(told) < 4

    thread = threading.Thread(target=lambda: tiny.generate(ids, past=past, max_new_tokens=9, on_token=on_token))
    thread.start()
    assert begun.wait(60)
    for use in (lambda: len(past), lambda: past.rewind(1), past.fork, lambda: tiny.logits(IDS, past)):
        with pytest.raises(pkv.Error, match="another call is using this past"):
            use()
    go_on.set()
    thread.join()
    assert told[0] == len(ids) and len(past) > len(ids)
    past.rewind(len(ids))


def test_bad_input_is_refused(tiny):
    with pytest.raises(pkv.Error, match="another model"):
        tiny.logits(IDS, pkv.Model("tiny-gpt2").new_past())
    with pytest.raises(pkv.Error, match="temprature"):
        tiny.generate("I", temprature=2)
    with pytest.raises(pkv.Error):
        tiny.logits([])
    past = tiny.new_past()
    tiny.logits(IDS, past)
    with pytest.raises(pkv.Error):
        past.rewind(9)
    with pytest.raises(pkv.Error):
        tiny.logits([0, 5000], past)
    assert len(past) == len(IDS)


def test_numpy_sees_the_logits(tiny):
    numpy = pytest.importorskip("numpy")
    logits = numpy.asarray(tiny.logits(IDS))
    assert logits.shape == (8, tiny.vocab) and logits.dtype == numpy.float32
    assert (logits == numpy.from_dlpack(tiny.logits(IDS))).all()
