"""How fast the page of a library is: its size, the time to write it, and how long Chromium is busy with it.

python benchmarks/report.py --tracks 20000 100000

Needs selenium, Chromium and its chromedriver. Prints a JSON object per size; times in seconds.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT), str(ROOT / "tests")]

STEPS = {  # name: script of the page
    "search": "searchFor('upbeat')",
    "clear": "clearAll()",
    "sort by title": "sortBy('title')",
    "sort by arousal": "sortBy('arousal')",
    "draw the map": "drawMap(); map.getZr().flush()",
    "zoom": "zoomBy(0.6); map.getZr().flush()",
}
SCROLL = """
const done = arguments[0], times = [];
let last = performance.now(), count = 0;
function step(now) {
  times.push(now - last);
  last = now;
  table.scrollTop += 900;
  if (++count < 60) requestAnimationFrame(step);
  else done(times.slice(1).sort((a, b) => a - b));
}
requestAnimationFrame(step);
"""


def measure(tracks: int, folder: Path) -> dict:
    """The size and the times of a page of made-up tracks."""
    try:
        import librarysample
        from selenium import webdriver
    except ImportError as error:
        raise SystemExit(f"{error.name} is missing: run this in a checkout, with selenium installed.") from error

    from m2e.report.page import page

    rows = librarysample.rows(tracks)
    start = time.process_time()
    text = page(rows, "Benchmark", "today")
    result = {"tracks": tracks, "megabytes": round(len(text) / 1e6, 2), "write": time.process_time() - start}
    file = folder / f"{tracks}.html"
    file.write_text(text, encoding="utf-8")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1360,900"):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(300)
    try:
        start = time.perf_counter()
        driver.get(file.as_uri())
        while not driver.execute_script("return document.documentElement.dataset.ready && waiting.length === 0"):
            time.sleep(0.01)
        result["open"] = time.perf_counter() - start
        for name, script in STEPS.items():
            timed = f"const start = performance.now(); {script}; return (performance.now() - start) / 1000"
            result[name] = driver.execute_script(timed)
        frames = driver.execute_async_script(SCROLL)
        result["frame while scrolling, median"] = frames[len(frames) // 2] / 1000
        result["frame while scrolling, 95 %"] = frames[int(0.95 * len(frames))] / 1000
    finally:
        driver.quit()
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in result.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, nargs="+", default=[20_000], metavar="N", help="number of tracks")
    with tempfile.TemporaryDirectory() as work:
        for number in parser.parse_args().tracks:
            print(json.dumps(measure(number, Path(work))))
