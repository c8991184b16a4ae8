#!/usr/bin/env python3
"""Shows that pkv and huggingface_hub share one cache.

    cmake --build --preset dev --target hub_server pkv_program
    python tools/check_hub_cache.py build/dev

Needs huggingface_hub (from PyPI) and no network: hub_server plays the Hub on loopback. In turn, each of the two
downloads a model and the other finds it without a request for a file; then they lock each other out, and each mends
what the other left half done. Ends with 1 if one of these does not hold. No part of the tests of ./dev.
"""

import argparse
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent
MODELS = [SOURCE / "models" / name for name in ("tiny-gpt2", "tiny-falcon")]
failures = 0


def check(holds, what):
    global failures
    print(("ok    " if holds else "FAILS ") + what)
    failures += not holds


class Server:
    """hub_server, while the block lasts; `asked` is what it was asked, once it ended."""

    def __init__(self, build):
        self.program = build / "tests" / "hub" / "hub_server"

    def __enter__(self):
        self.process = subprocess.Popen([self.program, *MODELS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.endpoint = self.process.stdout.readline().strip()
        return self

    def __exit__(self, *_):
        self.asked = self.process.communicate()[0].splitlines()

    def fetched(self):
        """Files alone: huggingface_hub asks for other things besides, such as /api/agent-harnesses."""
        return [line for line in self.asked if line.startswith("GET") and ("/resolve" in line or "/cdn/" in line)]


def environment(cache, endpoint):
    return {**os.environ, "HF_HUB_CACHE": str(cache), "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "no_proxy": "127.0.0.1,localhost", "HF_TOKEN": ""}


def pkv(build, cache, endpoint, *words, **more):
    return subprocess.run([build / "pkv", *words], env={**environment(cache, endpoint), **more}, text=True,
                          capture_output=True)


def python(cache, endpoint, code, **more):
    return subprocess.run([sys.executable, "-c", code], env={**environment(cache, endpoint), **more}, text=True,
                          capture_output=True)


SNAPSHOT = "import huggingface_hub as h; print(h.snapshot_download('local/{}'{}))"


def layout(cache):
    """Every name below the cache with what it is; contents of blobs go by their names."""
    found = {}
    for path in sorted(cache.rglob("*")):
        name = str(path.relative_to(cache))
        if path.is_symlink():
            found[name] = "-> " + os.readlink(path)
        elif path.is_file() and ("/refs/" in name or "/blobs/" in name):
            found[name] = path.read_bytes()
    return found


def one_reads_the_other(build, folder):
    for name in ("tiny-gpt2", "tiny-falcon"):
        ours, theirs = folder / f"ours-{name}", folder / f"theirs-{name}"
        with Server(build) as server:
            ran = pkv(build, ours, server.endpoint, "download", f"local/{name}", "--include", "*")
        check(ran.returncode == 0, f"pkv downloads {name} {ran.stderr if ran.returncode else ''}")
        with Server(build) as server:
            read = python(ours, server.endpoint, SNAPSHOT.format(name, ""))
        check(read.stdout == ran.stdout, f"huggingface_hub finds it {read.stderr[-2000:] if read.returncode else ''}")
        check(not server.fetched(), f"and fetches nothing: {server.fetched()}")
        read = python(ours, server.endpoint, SNAPSHOT.format(name, ", local_files_only=True"))
        check(read.stdout == ran.stdout, f"nor needs a Hub for it {read.stderr[-2000:] if read.returncode else ''}")

        with Server(build) as server:
            read = python(theirs, server.endpoint, SNAPSHOT.format(name, ""))
        check(read.returncode == 0, f"huggingface_hub downloads {name} {read.stderr[-2000:] if read.returncode else ''}")
        ran = pkv(build, theirs, "http://127.0.0.1:9", "check", f"local/{name}")
        check(ran.returncode == 0, f"pkv checks it without a Hub {ran.stderr}")
        with Server(build) as server:
            ran = pkv(build, theirs, server.endpoint, "download", f"local/{name}")
        check(ran.stdout == read.stdout and not server.fetched(), f"and fetches nothing: {server.fetched()}")
        check(layout(ours) == layout(theirs), f"both lay out the same {len(layout(ours))} links, refs and blobs")


def one_scans_the_other(build, folder):
    code = ("import huggingface_hub as h; i = h.scan_cache_dir(); "
            "print(len(i.repos), len(i.warnings), sum(r.size_on_disk for r in i.repos), "
            "sorted((r.repo_id, sorted(r.refs), r.nb_files) for r in i.repos))")
    for whose in ("ours", "theirs"):
        scanned = python(folder / f"{whose}-tiny-gpt2", "http://127.0.0.1:9", code)
        listed = pkv(build, folder / f"{whose}-tiny-gpt2", "http://127.0.0.1:9", "cache", "list", "--output", "json")
        check(scanned.stdout.startswith("1 0 "), f"huggingface_hub scans {whose}: {scanned.stdout.strip()}{scanned.stderr}")
        size = scanned.stdout.split()[2] if scanned.stdout else "?"
        check(f'"bytes": {size}' in listed.stdout, f"pkv lists the same {size} bytes")


def transformers_reads_ours(build, folder):
    code = ("import transformers as t; m = t.AutoModelForCausalLM.from_pretrained('local/tiny-gpt2'); "
            "k = t.AutoTokenizer.from_pretrained('local/tiny-gpt2'); print(len(k('I like to eat')['input_ids']))")
    with Server(build) as server:
        pkv(build, folder / "needed", server.endpoint, "download", "local/tiny-gpt2")
    ran = python(folder / "needed", "http://127.0.0.1:9", code, HF_HUB_OFFLINE="1")
    if "No module named" in ran.stderr:
        print("      (no transformers here: skipped)")
        return
    check(ran.stdout.strip() == "4", f"transformers loads offline what pkv downloaded {ran.stderr[-2000:] if ran.returncode else ''}")


def they_lock_each_other_out(build, folder):
    cache = folder / "locks"
    with Server(build) as server:
        name = next(p.name for p in (folder / "ours-tiny-gpt2").rglob("blobs/*") if len(p.name) == 64)
        lock = cache / ".locks" / "models--local--tiny-gpt2" / f"{name}.lock"
        hold = ("import sys; from huggingface_hub.utils import WeakFileLock; import pathlib; "
                f"p = pathlib.Path({str(lock)!r}); p.parent.mkdir(parents=True)\n"
                "with WeakFileLock(p): print('held', flush=True); sys.stdin.read()")
        holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        holder.stdout.readline()
        ours = subprocess.Popen([build / "pkv", "download", "local/tiny-gpt2"], env=environment(cache, server.endpoint),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(3)
        check(ours.poll() is None, "pkv waits for huggingface_hub's lock")
        holder.communicate()
        out, err = ours.communicate(timeout=60)
        check(ours.returncode == 0 and "another program is fetching" in err, "and goes on when it is free")
        shutil.rmtree(cache)
        lock.parent.mkdir(parents=True)
        with open(lock, "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # as pkv holds it
            theirs = subprocess.Popen([sys.executable, "-c", SNAPSHOT.format("tiny-gpt2", "")],
                                      env=environment(cache, server.endpoint), stdout=subprocess.PIPE, text=True)
            time.sleep(6)
            check(theirs.poll() is None, "huggingface_hub waits for a lock such as pkv's")
        check(theirs.communicate(timeout=60)[0] == out, "and goes on when it is free")


def one_mends_the_other(build, folder):
    cache = folder / "mend"
    whole = folder / "ours-tiny-gpt2" / "models--local--tiny-gpt2"
    name = next(p.name for p in (whole / "blobs").iterdir() if len(p.name) == 64)
    blobs = cache / "models--local--tiny-gpt2" / "blobs"
    blobs.mkdir(parents=True)
    bytes_ = (whole / "blobs" / name).read_bytes()
    (blobs / f"{name}.incomplete").write_bytes(bytes_[: len(bytes_) // 2])
    with Server(build) as server:
        ran = python(cache, server.endpoint, SNAPSHOT.format("tiny-gpt2", ""))
    check(ran.returncode == 0 and (blobs / name).read_bytes() == bytes_, "huggingface_hub completes what pkv left half done")
    with Server(build) as server:
        ran = pkv(build, cache, server.endpoint, "download", "local/tiny-gpt2")
    check(ran.returncode == 0 and not server.fetched(), "and pkv finds it whole")
    ran = pkv(build, cache, server.endpoint, "cache", "remove", "local/tiny-gpt2", "--yes")
    left = python(cache, server.endpoint, "import huggingface_hub as h; print(len(h.scan_cache_dir().repos))")
    check(ran.returncode == 0 and left.stdout == "0\n", "what pkv removes is gone for huggingface_hub")


def shared_blobs_go_with_their_last_user(build, folder):
    cache = folder / "shared"
    code = ("import sys, pathlib; from huggingface_hub.utils import _shared_blobs as s\n"
            "b = pathlib.Path(sys.argv[1]); print(s.publish_blob_to_shared_store(blob_path=str(b), xet_hash='e' * 64, "
            "cache_dir=sys.argv[2], expected_size=b.stat().st_size))")
    for name in ("one", "two"):
        repo = cache / f"models--local--{name}"
        shutil.copytree(folder / "ours-tiny-gpt2" / "models--local--tiny-gpt2", repo, symlinks=True)
        blob = next(p for p in (repo / "blobs").iterdir() if len(p.name) == 64)
        subprocess.run([sys.executable, "-c", code, blob, cache], check=True, capture_output=True)
    stored = cache / "blobs" / "ee" / ("e" * 64)
    check(stored.is_file() and blob.is_symlink(), "huggingface_hub shares a blob of two models")
    ran = pkv(build, cache, "http://127.0.0.1:9", "check", "local/two")
    check(ran.returncode == 0, f"pkv checks a model whose blob is shared {ran.stderr}")
    pkv(build, cache, "http://127.0.0.1:9", "cache", "remove", "local/one", "--yes")
    check(stored.is_file(), "what pkv removes of one leaves the other's")
    pkv(build, cache, "http://127.0.0.1:9", "cache", "remove", "local/two", "--yes")
    check(not stored.exists(), "and the last takes it along")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", type=pathlib.Path, help="the folder of a preset's build, with pkv and hub_server")
    build = parser.parse_args().build.resolve()
    import huggingface_hub

    print(f"huggingface_hub {huggingface_hub.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for step in (one_reads_the_other, one_scans_the_other, transformers_reads_ours, they_lock_each_other_out,
                     one_mends_the_other, shared_blobs_go_with_their_last_user):
            step(build, folder)
    print(f"{failures} of these fail" if failures else "all of these hold")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
