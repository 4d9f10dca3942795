"""How long the page without a server takes for a track, and how far its numbers are from those of the package.

    python benchmarks/page.py MODEL [--seconds 180] [--rounds 3]

MODEL holds graphs (`m2e export`). The page is built, served on loopback and opened in headless Chromium, without a GPU,
as a visitor would find it: on one thread where the server sends no headers of isolation, else on all cores. The first
answer has the loading of the graphs in it. Needs Node.js, `npm ci` in space-static, Chromium with its driver, and
selenium. Times are comparable only where nothing else runs.
"""

import argparse
import functools
import json
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from speed import write_mp3

from m2e import load
from m2e.storage import write_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "page.json"
PATIENCE = 300  # seconds
PROGRAMS = (("chromium", "chromium-browser", "google-chrome"), ("chromedriver",))
ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


def handler(isolated: bool) -> type[SimpleHTTPRequestHandler]:
    class Quiet(SimpleHTTPRequestHandler):
        extensions_map = SimpleHTTPRequestHandler.extensions_map | {
            ".mjs": "text/javascript",
            ".wasm": "application/wasm",
        }

        def end_headers(self) -> None:
            for name, value in ISOLATION.items() if isolated else ():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return Quiet


def browser() -> Any:
    """A driver of headless Chromium."""
    try:
        from selenium import webdriver
    except ImportError:
        raise SystemExit("page: this needs selenium: pip install selenium.") from None
    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    chromium, driver = (next(filter(None, map(shutil.which, names)), None) for names in PROGRAMS)
    if chromium is None or driver is None:
        raise SystemExit("page: Chromium or its chromedriver is missing: install both.")
    options.binary_location = chromium
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def answer(driver: Any, path: Path) -> tuple[float, dict[str, Any]]:
    """Seconds from the choice of a file to its record, and the record."""
    number = driver.execute_script("return m2e.tracks.length")
    began = time.perf_counter()
    driver.find_element("id", "files").send_keys(str(path))
    while time.perf_counter() - began < PATIENCE:
        track = driver.execute_script(
            "const t = m2e.tracks[arguments[0]]; return t && {record: t.record, error: t.error}", number
        )
        if track and track.get("record"):
            return time.perf_counter() - began, track["record"]
        if track and track.get("error"):
            raise SystemExit(f"page: {track['error']}")
        time.sleep(0.05)
    raise SystemExit(f"page: no record after {PATIENCE} s.")


def measured(page: Path, track: Path, rounds: int, isolated: bool) -> tuple[list[float], dict[str, Any]]:
    """Seconds of each round, the first with the loading of the graphs, and the record."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler(isolated), directory=str(page)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    driver = browser()
    try:
        driver.get(f"http://127.0.0.1:{server.server_address[1]}/")
        pairs = [answer(driver, track) for _ in range(rounds + 1)]
    finally:
        driver.quit()
        server.shutdown()
    return [seconds for seconds, _ in pairs], pairs[-1][1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder with onnx/")
    parser.add_argument("--seconds", type=float, default=180.0, help="length of the track, an MP3")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    result: dict[str, Any] = {"seconds": args.seconds}
    with tempfile.TemporaryDirectory() as folder:
        page, track = Path(folder, "page"), Path(folder, "track.mp3")
        subprocess.run(["node", ROOT / "space-static" / "build.mjs", args.model, page], check=True)
        write_mp3(track, args.seconds)
        for name, isolated in (("one thread", False), ("all cores", True)):
            (first, *others), record = measured(page, track, args.rounds, isolated)
            result[name] = {"first_s": first, "median_s": statistics.median(others)}
        expected = load(str(args.model), device="cpu")(str(track))
    moods = {mood.label: mood.score for mood in expected.moods}
    result["difference"] = {
        "valence": abs(record["valence"] - expected.valence),
        "arousal": abs(record["arousal"] - expected.arousal),
        "moods": max(abs(mood["score"] - moods[mood["label"]]) for mood in record["moods"]),
    }
    write_text(RESULTS, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
