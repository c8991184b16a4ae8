"""pkv.check of transformers models: healthy ones, those that are known to be wrong, and pasts that are made wrong."""

import copy

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import pkv  # noqa: E402
from faulty import FAULTS, cache_with  # noqa: E402
from pkv import surveying  # noqa: E402

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()


def ids(n=26):
    return torch.randint(3, 97, (n,), generator=torch.Generator().manual_seed(9)).tolist()


@pytest.fixture(scope="module")
def llama():
    return surveying.build("llama")


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_text", "bloom", "qwen3_5_text", "lfm2", "deepseek_v3"])
def test_healthy_families_agree(name):
    report = pkv.check(surveying.build(name), None, ids(), splits=[1, 13, 25])
    assert report.verdict == "equal within rounding", f"{report}"
    assert report.ways["generate"]["verdict"] == "equal within rounding"
    assert not [c for c in report.causes if c["cause"] != "rounding"]


def test_an_edit_that_changes_no_value_supposes_nothing():
    """Keys in bf16 are the same in fp16: logits that such an edit reproduces are those of the model as it is."""
    from pkv.live import TransformersSubject
    from pkv.suppose import Supposer

    narrow = Supposer(TransformersSubject(surveying.build("llama").bfloat16()))
    assert narrow.suppose([("past-in-fp16", 0)], ids(), 13) is None
    assert narrow.suppose([("past-in-int8", 0)], ids(), 13) is not None
    full = Supposer(TransformersSubject(surveying.build("llama")))
    assert full.suppose([("past-in-fp16", 0)], ids(), 13) is not None


@pytest.mark.parametrize("name, cause", [("mamba", "state-dropped"), ("nemotron_h", "step-differs"),
                                         ("bamba", "position-restarted"), ("llama dynamic", "rope-regime")])
def test_faults_of_transformers_are_named(name, cause):
    report = pkv.check(surveying.build(name), None, ids(40), splits=[1, 20, 39])
    if report.holds:
        pytest.skip(f"this version of transformers has no such fault: {transformers.__version__}")
    assert report.verdict == "differs" and [c["cause"] for c in report.causes] == [cause], f"{report}"


def test_what_cannot_be_rewound_says_so():
    report = pkv.check(surveying.build("qwen3_5_text"), None, ids(12), splits="last")
    assert report.holds and report.powers["rewind"].startswith("cannot be rewound: RuntimeError")
    assert report.powers["rewind, recording"].startswith(("silently wrong: state-not-rewound", "refused"))


def test_kinds_of_cache_have_a_row_each(llama):
    report = pkv.check(llama, None, ids(), splits="last", caches=["dynamic", "static", "quantized:fp8", "offloaded"])
    rows = {row["cache"]: row for row in report._caches}
    assert rows["dynamic"]["verdict"] == rows["static"]["verdict"] == "equal within rounding"
    assert rows["quantized:fp8"]["cause"] == "past-quantised"
    if not torch.cuda.is_available():
        assert rows["offloaded"]["why"] == "needs CUDA"
    with pytest.raises(pkv.Error, match="no such kind of cache"):
        pkv.check(llama, None, ids(), caches=["tropical"])


# --- Faults that are played on a healthy past

@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_fault_in_a_cache_is_named(llama, fault):
    report = pkv.check(llama, None, ids(18), splits=[12, 17], cache=cache_with(fault))
    assert report.verdict == "differs", f"{report}"
    assert report.cause == fault, f"{report}"


def test_a_fault_that_bf16_hides_shows_in_fp32():
    model = surveying.build("llama").bfloat16()
    healthy = pkv.check(model, None, ids(18), splits=[12, 17])
    assert healthy.holds, f"{healthy}"
    report = pkv.check(model, None, ids(18), splits=[12, 17], cache=cache_with("past-in-int8"))
    assert report.verdict == "differs" and report.cause == "past-in-int8", f"{report}"


def test_a_layer_that_forgets_is_found(llama):
    model = copy.deepcopy(llama)
    layer = model.model.layers[2].self_attn
    own = layer.forward

    def forget(*args, **kwargs):
        return own(*args, **{k: (None if k in ("cache", "past_key_values", "past_key_value") else v)
                             for k, v in kwargs.items()})

    layer.forward = forget
    model.config._attn_implementation = "eager"
    try:
        model(torch.tensor([ids(3)]))
    except Exception as error:
        pytest.skip(f"this version's attention does not run without its cache: {error}")
    report = pkv.check(model, None, ids(12), splits=[1, 6, 11])
    assert report.verdict == "differs" and report.parting["layer"] == 2, f"{report}"


# --- Models that keep no past, and other shapes of input

def test_an_encoder_keeps_no_past():
    config = transformers.BertConfig(vocab_size=97, hidden_size=60, num_hidden_layers=2, num_attention_heads=6,
                                     intermediate_size=84, max_position_embeddings=64)
    report = pkv.check(transformers.BertForMaskedLM(config).eval(), None, ids(8))
    assert report.verdict in ("test is empty", "differs") and not report.holds
    assert "no past" in report.sentence


def test_dropout_left_on_is_put_off_and_back(llama):
    llama.train()
    try:
        report = pkv.check(llama, None, ids(6), splits="last")
        assert report.holds and llama.training
        assert any("training mode" in note for note in report.to_dict().get("notes", [])) or "training mode" in report.text()
    finally:
        llama.eval()


def test_input_that_makes_no_sense(llama):
    for text, said in (([5, 500], "token that the model does not have"), ([5], "too short"), ("a text", "tokenizer")):
        with pytest.raises(pkv.Error, match=said):
            pkv.check(llama, None, text)
    with pytest.raises(pkv.Error, match="table of positions"):
        pkv.check(surveying.build("gpt2"), None, ids(130))
    with pytest.raises(pkv.Error, match="encoder-decoder"):
        pkv.check(transformers.T5ForConditionalGeneration(transformers.T5Config(
            vocab_size=97, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)), None, ids())
    with pytest.raises(pkv.Error):
        pkv.check(torch.nn.Linear(2, 2), None, ids())


def test_numbers_of_an_untouched_model_stay(llama):
    before = {k: v.clone() for k, v in llama.state_dict().items()}
    pkv.check(llama, None, ids(8), splits="last")
    assert all(torch.equal(before[k], v) for k, v in llama.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in llama.modules())


def test_large_vocabularies_go_by_blocks(llama, monkeypatch):
    from pkv import live

    whole = pkv.check(llama, None, ids(), splits="last")
    monkeypatch.setattr(live, "MOST_BYTES", 97 * 4 * 8)
    monkeypatch.setattr(live, "BLOCK", 5)
    blocks = pkv.check(llama, None, ids(), splits="last")
    assert blocks.verdict == whole.verdict and abs(blocks.max_abs - whole.max_abs) <= whole.bound


def test_bench_compares_tokens(llama):
    report = pkv.bench(llama, new_tokens=4, prompt_tokens=[8], repetitions=2, prefix_tokens=[8], seconds=1)
    assert report.holds and ("faster" in report.headline or "slower" in report.headline)
    assert report._bench.generation[0]["new tokens"] == 4 and report._bench.reuse[0]["prefix"] == 8


def test_records_what_the_program_checks(llama, tmp_path):
    without, with_past = pkv.record(llama, None, ids(10), tmp_path)
    from pkv import _pkv

    assert pkv.Report(_pkv.check_recorded(without, with_past)).holds
