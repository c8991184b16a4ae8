#!/usr/bin/env python3
"""No table of a page is wider than its box, at 1,280, 800 and 390 pixels, in two fonts.

tables.py PKV: writes pages with that program, opens them in headless Chromium, and measures. Exit code 77 where there
is no Chromium, 1 where a table is cut off.
"""
import html
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

WIDTHS = [1280, 800, 390]
FONTS = ["DejaVu Sans", "Liberation Sans"]
SKIPPED = 77

PAGES = {
    "article": ["article"],
    "review": ["review", "--new-tokens", "4"],
    "check": ["check", "tiny-gpt2", "--new-tokens", "4"],
    "differs": ["check", "tiny-roberta", "--text", "One, two, three, four, five, six, seven, eight"],
    "bench": ["bench", "tiny-gpt2", "--new-tokens", "4", "--prompt-tokens", "8", "--depth", "0,16", "--prefix-tokens", "4,64",
              "--repetitions", "2"],
}

# What must be seen to be wrong: a table that nothing makes narrower.
CUT = """<!DOCTYPE html><body><div class="scroll" style="overflow-x: auto"><table><tr><td style="white-space: nowrap">%s</td>
</tr></table></div></body>""" % ("wide " * 400)

# Each page in a frame of each width, in each font, with everything unfolded.
MEASURE = """<!DOCTYPE html><meta charset="utf-8"><body><pre id="found"></pre><script>
const frames = %s;
const measured = [];
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
(async () => {
  for (const { name, width, font, page } of frames) {
    const frame = document.createElement("iframe");
    frame.style.cssText = `width: ${width}px; height: 2000px; border: 0`;
    const loaded = new Promise((done) => frame.onload = done);
    frame.srcdoc = page;
    document.body.append(frame);
    await loaded;
    const inside = frame.contentDocument;
    for (const each of inside.querySelectorAll("details")) each.open = true;
    await wait(400);
    for (const box of inside.querySelectorAll(".scroll")) {
      const table = box.querySelector("table");
      const says = (table.querySelector("th") ?? table).parentElement.textContent.slice(0, 60);
      const table_width = table.scrollWidth, stacked = table.classList.contains("stacked");
      table.classList.remove("stacked");
      const natural = table.scrollWidth;
      measured.push({ name, width, font, says, box: box.clientWidth, table: table_width, stacked, natural, beyond: inside.documentElement.scrollWidth - width });
    }
    frame.remove();
  }
  document.getElementById("found").textContent = JSON.stringify(measured);
  document.title = "measured";
})();
</script></body>"""


def pages(pkv, folder):
    for name, words in PAGES.items():
        file = folder / f"{name}.html"
        subprocess.run([pkv, *words, "-o", file], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        yield name, file.read_text()
    yield "cut", CUT


def in_font(page, font):
    style = f'<style>body {{ font-family: "{font}" }}</style>'
    return page.replace("</head>", style + "</head>") if "</head>" in page else style + page


def measure(chromium, pages, folder):
    frames = [{"name": name, "width": width, "font": font, "page": in_font(page, font)}
              for name, page in pages for width in WIDTHS for font in FONTS]
    bench = folder / "measure.html"
    bench.write_text(MEASURE % json.dumps(frames).replace("</", "<\\/"))
    ran = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}/profile",
         "--window-size=1400,2200", "--virtual-time-budget=120000", "--dump-dom", bench.as_uri()],
        capture_output=True, text=True, timeout=300, check=False)
    found = re.search(r'<pre id="found">(.*?)</pre>', ran.stdout, re.S)
    if found is None or not found.group(1):
        sys.exit(f"Chromium measured nothing (exit code {ran.returncode}):\n{ran.stderr[-2000:]}")
    return json.loads(html.unescape(found.group(1)))


def main():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("skipped: there is no Chromium here (Debian: apt-get install chromium), so no page was looked at")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        measured = measure(chromium, list(pages(sys.argv[1], folder)), folder)
    wrong = [m for m in measured if m["table"] > m["box"] or m["beyond"] > 0]
    cut = [m for m in wrong if m["name"] == "cut"]
    if len(cut) != len(WIDTHS) * len(FONTS):
        sys.exit("a table that is cut off was not seen to be")
    wrong = [m for m in wrong if m["name"] != "cut"]
    for m in wrong:
        print(f"{m['name']} at {m['width']} px in {m['font']}: a table of {m['table']} px in a box of {m['box']} px, the page "
              f"{m['beyond']} px too wide{', as a list' if m['stacked'] else ''}: {m['says']}")
    seen = [m for m in measured if m["name"] != "cut"]
    tables = {(m["name"], m["says"]) for m in seen}
    stacked = [m for m in seen if m["stacked"]]
    print(f"{len(tables)} tables in {len(PAGES)} pages, {len(seen)} measured: {len(wrong)} too wide, {len(stacked)} as lists")
    wide = [m for m in stacked if m["width"] == 1280]
    for m in wide:
        print(f"{m['name']} at 1280 px in {m['font']}: a list, for its table of {m['natural']} px has a box of {m['box']} px: {m['says']}")
    sys.exit(1 if wrong or wide or len(seen) < 50 else 0)


if __name__ == "__main__":
    main()
