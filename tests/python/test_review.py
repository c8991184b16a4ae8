"""pkv.review in executors: rows as they come, failures among them, what was interrupted goes on."""

import concurrent.futures
import json
import multiprocessing
import pathlib
import shutil
import subprocess
import sys

import pytest

import pkv

MODELS = ["tiny-gpt2", "tiny-falcon", "no-such-module:model", "tiny-roberta", {"model": "tiny-gpt2", "splits": "nonsense"}]


def by_model(rows):
    return {(row["model"], row["ok"]): row for row in rows}


def require_rows(rows):
    rows = by_model(rows)
    assert rows["tiny-gpt2", True]["verdict"] == rows["tiny-falcon", True]["verdict"] == "identical"
    assert not rows["tiny-roberta", True]["holds"]
    assert "no such function" in rows["no-such-module:model", False]["what"]
    assert "nonsense" in rows["tiny-gpt2", False]["found"]
    assert len(rows) == len(MODELS)


def test_here():
    require_rows(pkv.review(MODELS))


def test_in_a_process_pool():
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        rows = list(pkv.review(MODELS, executor=pool, threads=1))
    require_rows(rows)


def test_an_interrupted_review_goes_on(tmp_path):
    log = tmp_path / "rows.jsonl"
    first = next(iter(pkv.review(["tiny-gpt2", "tiny-falcon"], log=log)))
    with open(log, "a") as file:
        file.write('{"key": "half a li')
    rows = list(pkv.review(["tiny-gpt2", "tiny-falcon"], log=log))
    assert [row["model"] for row in rows] == ["tiny-gpt2", "tiny-falcon"] and rows[0] == json.loads(json.dumps(first))
    again = list(pkv.review(["tiny-gpt2", "tiny-falcon"], log=log))
    assert again == rows and len(log.read_text().splitlines()) == 3, "what follows half a line is kept"


def test_what_makes_no_sense_is_refused():
    with pytest.raises(pkv.Error, match="given twice"):
        list(pkv.review(["tiny-gpt2", "tiny-gpt2"]))
    with pytest.raises(pkv.Error, match="carries a name"):
        list(pkv.review([{"model": object()}]))


def test_in_dask():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            require_rows(pkv.review(MODELS, executor=client.get_executor(pure=False), threads=1))


def test_in_mpi(tmp_path):
    pytest.importorskip("mpi4py")
    if shutil.which("mpiexec") is None:
        pytest.skip("there is no mpiexec")
    script = tmp_path / "review.py"
    script.write_text("import json, pkv, sys\nfrom mpi4py.futures import MPIPoolExecutor\n"
                      "if __name__ == '__main__':\n"
                      f"    with MPIPoolExecutor() as pool:\n"
                      f"        rows = list(pkv.review({MODELS!r}, executor=pool, threads=1))\n"
                      "    json.dump(rows, open(sys.argv[1], 'w'))\n")
    command = ["mpiexec", "--allow-run-as-root", "--oversubscribe", "-n", "3", sys.executable, "-m", "mpi4py.futures",
               str(script), str(tmp_path / "rows.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    require_rows(rows)


def test_the_plugin_writes_a_page(tmp_path):
    test = tmp_path / "test_reusable.py"
    test.write_text("import pkv\n\ndef test_it():\n    pkv.assert_reusable(pkv.Model('tiny-gpt2'), text=[1, 2, 3, 4])\n\n"
                    "def test_not():\n    pkv.assert_reusable(pkv.Model('tiny-gpt2', run_as='window=2'), text=[1, 2, 3, 4])\n")
    page = tmp_path / "page.html"
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test), f"--pkv-html={page}"],
                          capture_output=True, text=True, cwd=tmp_path)
    assert "1 passed" in done.stdout and "1 failed" in done.stdout, done.stdout + done.stderr
    assert "the past cannot be reused" in done.stdout and "window" in done.stdout
    assert "window" in pathlib.Path(page).read_text()
