"""The package as pip installs it: what it brings, and what it does without."""

import os
import pathlib
import pickle
import shutil
import subprocess
import sys

import pytest

import pkv

HERE = pathlib.Path(pkv.__file__).parent


def run(code, **more):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **more).stdout


def test_imports_in_a_moment_and_alone():
    code = ("import sys, time; t = time.perf_counter(); import pkv; s = time.perf_counter() - t; "
            "print(s, [m for m in ('torch', 'numpy', 'transformers', 'pandas', 'ssl') if m in sys.modules])")
    took, others = min((run(code).split(" ", 1) for _ in range(5)), key=lambda line: float(line[0]))
    assert others.strip() == "[]"
    assert float(took) < 0.3, f"import pkv took {took} s"


def test_says_which_pkv_it_is():
    assert pkv.__version__.startswith("0.")
    assert pkv.__version__.isa in ("SSE4", "AVX2", "AVX3", "NEON", "EMU128")
    assert pkv.__version__.isa in repr(pkv.__version__)


def test_the_program_is_there_and_finds_its_models(tmp_path):
    env = {k: v for k, v in os.environ.items() if k != "PKV_MODELS"}
    program = shutil.which("pkv", path=str(pathlib.Path(sys.executable).parent)) or str(HERE / "bin" / "pkv")
    told = subprocess.run([program, "check", "tiny-gpt2"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert told.returncode == 0 and "identical" in told.stdout, told.stdout + told.stderr
    assert {"tiny-gpt2", "tiny-falcon", "tiny-mpt", "tiny-roberta"} <= set(pkv.bundled())
    assert str(HERE) in pkv.engine._folder("tiny-gpt2") if hasattr(pkv, "engine") else True


def test_errors_have_their_parts_and_survive_pickling():
    with pytest.raises(pkv.Error) as raised:
        pkv.Model("tiny-gpt2").logits([5000])
    error = raised.value
    assert error.kind == "usage" and "5000" in str(error) and error.expected
    again = pickle.loads(pickle.dumps(error))
    assert (again.what, again.where, again.expected, again.found, again.hint, again.kind) == (
        error.what, error.where, error.expected, error.found, error.hint, error.kind)


def test_is_typed():
    assert (HERE / "py.typed").exists() and "def check(" in (HERE / "_pkv.pyi").read_text()


def test_types_hold(tmp_path):
    pytest.importorskip("mypy")
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text("import pkv\nreveal_type(pkv.Model('tiny-gpt2').vocab)\nx: int = pkv.Model('a').vocab\n")
    wrong.write_text("import pkv\npkv.Model(3.5)\n")
    check = lambda path: subprocess.run([sys.executable, "-m", "mypy", "--no-error-summary", str(path)],
                                        capture_output=True, text=True)
    good = check(right)
    assert good.returncode == 0 and "int" in good.stdout, good.stdout
    assert "incompatible type" in check(wrong).stdout


def test_a_thread_goes_on_while_cxx_computes(tiny):
    import threading
    import time

    seen, stop = [], threading.Event()

    def count():
        while not stop.is_set():
            seen.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    start = time.perf_counter()
    tiny.check("I like to eat apples and plums and pears", splits="all")
    end = time.perf_counter()
    stop.set()
    thread.join()
    within = [t for t in seen if start < t < end]
    gaps = [b - a for a, b in zip([start, *within], [*within, end])]
    assert len(within) > 3 and max(gaps) < 0.8 * (end - start), f"{len(within)} steps in {end - start:.3f} s"


def test_control_c_ends_a_long_run():
    code = ("import pkv, signal, sys, threading, os, time\n"
            "m = pkv.Model('tiny-gpt2')\n"
            "threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
            "t = time.perf_counter()\n"
            "try:\n"
            "    while True: m.generate([1, 2, 3], max_new_tokens=100, eos_token_id=[])\n"
            "except KeyboardInterrupt:\n"
            "    print('stopped', time.perf_counter() - t)\n")
    told = run(code, timeout=60)
    assert told.startswith("stopped") and float(told.split()[1]) < 5
