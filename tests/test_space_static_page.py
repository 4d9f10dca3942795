"""The page of space-static in headless Chromium: built, filled, compared with the package, and without a network."""

import base64
import functools
import shutil
import subprocess
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import chromium
import numpy as np
import pytest
import soundfile as sf
import tiny

from m2e.space.markup import notes
from m2e.views.records import short_chord
from modeling_m2e.descriptors_m2e import NOT_MUSIC

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "space-static"
SHOTS = ROOT / "build" / "space-static"
SECONDS = 300  # until a test gives up; a laden machine is slow

if not (STATIC / "node_modules" / "onnxruntime-web").is_dir() or shutil.which("node") is None:
    pytest.skip("needs Node.js, and `npm ci` in space-static", allow_module_level=True)
pytest.importorskip("onnxscript")

import exported  # noqa: E402


class Quiet(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript", ".wasm": "application/wasm"}

    def log_message(self, *_) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The built page with a small model, served on loopback."""
    out = tmp_path_factory.mktemp("page")
    subprocess.run(["node", STATIC / "build.mjs", exported.folder(), out], check=True, timeout=SECONDS)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(out)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    flags = "headless=new no-sandbox disable-gpu disable-dev-shm-usage"
    driver = chromium.start(tmp_path_factory.mktemp("chromium"), flags, ("browser",))
    driver.command_executor.client_config.timeout = SECONDS
    driver.set_script_timeout(SECONDS)
    yield driver
    driver.quit()


@pytest.fixture
def driver_with_gpu(tmp_path):
    """Chromium with a GPU, which the processor imitates."""
    flags = "headless=new no-sandbox disable-dev-shm-usage enable-unsafe-webgpu use-webgpu-adapter=swiftshader"
    driver = chromium.start(tmp_path, flags, ("browser",))
    driver.set_script_timeout(SECONDS)
    yield driver
    driver.quit()


def until(condition, what: str):
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)
    return value


def predicted(driver, path: Path) -> dict:
    """The record that the page makes of a file."""
    before = driver.execute_script("return m2e.tracks.length")
    driver.find_element("id", "files").send_keys(str(path))
    script = "const t = m2e.tracks[arguments[0]]; return t?.record ?? t?.error ?? null"
    found = until(lambda: driver.execute_script(script, before), "the record")
    assert isinstance(found, dict), found
    return found


def what_describes_the_track_is_shown(driver, expected) -> None:
    ticked = "return [...document.querySelectorAll('.m2e-moods .m2e-on > :nth-child(2)')].map((mood) => mood.innerHTML)"
    assert sorted(driver.execute_script(ticked)) == sorted(expected.selected_moods) != []
    facts = driver.find_element("css selector", ".m2e-compare").text
    low, high = expected.valence_interval
    assert f"likely {low:.1f}–{high:.1f}" in facts
    assert all(name in facts for name in ("Attributes", *expected.attributes))
    assert driver.find_element("css selector", ".m2e-interval").rect["width"] > 0
    assert driver.find_elements("css selector", ".m2e-warning") == []


def sound_that_is_no_music_is_said_to_be_none(driver) -> None:
    script = "Object.assign(m2e.tracks[0].record, { summary: null, warnings: [arguments[0]] })"
    driver.execute_script(script, NOT_MUSIC)
    driver.find_element("css selector", "#tracks button").click()
    assert driver.find_element("css selector", ".m2e-head h2").text == "Perhaps no music"
    assert driver.find_element("css selector", ".m2e-warning").text == NOT_MUSIC


def the_cursor_moves_while_it_plays(driver) -> None:
    play = driver.find_element("css selector", ".m2e-play")
    play.click()
    passed = "return Number(document.querySelector('[role=slider]').ariaValueNow) > 0.3"
    until(lambda: driver.execute_script(passed), "the cursor")
    assert driver.execute_script("return !document.querySelector('.m2e-now').hidden")
    play.click()
    readout = driver.find_element("css selector", ".m2e-readout").text
    assert "valence" in readout and "arousal" in readout


def two_tracks_do_not_hide_each_other(driver, path: Path) -> None:
    predicted(driver, path)
    until(lambda: len(driver.find_elements("css selector", ".m2e-point")) == 2, "the second point")
    points = driver.find_elements("css selector", ".m2e-point")
    (a, b) = (np.array([point.rect["x"], point.rect["y"]]) for point in points)
    assert np.linalg.norm(a - b) > 20
    points[1].click()
    pressed = "return [...document.querySelectorAll('#tracks button')].map((button) => button.ariaPressed)"
    assert driver.execute_script(pressed) == ["false", "true"]


def shoot(driver, name: str, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    SHOTS.mkdir(parents=True, exist_ok=True)
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    (SHOTS / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


def test_a_gpu_predicts_the_same(server, driver_with_gpu, tmp_path):
    driver = driver_with_gpu
    driver.get(f"http://127.0.0.1:{server.server_address[1]}/")
    if not driver.execute_async_script("(navigator.gpu?.requestAdapter() ?? Promise.resolve()).then(arguments[0])"):
        pytest.skip("This Chromium cannot imitate a GPU.")
    waveform = tiny.waveform(12.0)
    sf.write(tmp_path / "song.wav", waveform, tiny.SAMPLING_RATE, subtype="FLOAT")
    found = predicted(driver, tmp_path / "song.wav")
    expected = exported.pipeline()((waveform, tiny.SAMPLING_RATE))
    assert driver.execute_script("return m2e.tracks[0].provider") == "webgpu"
    assert (found["valence"], found["arousal"]) == pytest.approx((expected.valence, expected.arousal), abs=0.05)
    assert found["quadrant"] == expected.quadrant


def test_the_page_predicts_what_the_package_predicts_even_without_a_server(server, driver, tmp_path):
    waveform = tiny.waveform(41.3)
    path = tmp_path / "song.wav"
    sf.write(path, waveform, tiny.SAMPLING_RATE, subtype="FLOAT")
    expected = exported.pipeline()((waveform, tiny.SAMPLING_RATE))

    address = f"http://127.0.0.1:{server.server_address[1]}/"
    driver.get(address)
    found = predicted(driver, path)
    assert found["valence"] == pytest.approx(expected.valence, abs=0.01)
    assert found["arousal"] == pytest.approx(expected.arousal, abs=0.01)
    assert found["quadrant"] == expected.quadrant
    assert (found["summary"], found["selected_moods"]) == (expected.summary, expected.selected_moods)
    assert found["quadrant_scores"] == pytest.approx(expected.quadrant_scores, abs=0.01)
    assert found["attributes"] == pytest.approx(expected.attributes, abs=0.01)
    assert found["music"] == pytest.approx(expected.music, abs=0.01) and found["warnings"] == expected.warnings
    assert found["valence_interval"] == pytest.approx(expected.valence_interval, abs=0.02)
    moods = {mood.label: mood.score for mood in expected.moods}
    assert max(abs(mood["score"] - moods[mood["label"]]) for mood in found["moods"]) < 0.005
    assert len(found["curve"]) == len(expected.curve)
    chords = [(chord["start"], chord["label"]) for chord in found["chords"]]
    times = np.arange(0, 41.3, 0.01)
    at = np.searchsorted([start for start, _ in chords], times, side="right") - 1
    reference = np.searchsorted([chord.start for chord in expected.chords], times, side="right") - 1
    same = [chords[a][1] == expected.chords[b].label for a, b in zip(at, reference, strict=True)]
    assert np.mean(same) > 0.995
    assert found["key"]["tonic"] == expected.key.tonic and found["key"]["mode"] == expected.key.mode

    assert driver.find_element("css selector", ".m2e-head h2").text == notes(expected.summary)
    what_describes_the_track_is_shown(driver, expected)
    shown = "return [...document.querySelectorAll('.m2e-chords > span')].map((span) => span.title.split(',')[0])"
    assert driver.execute_script(shown) == [notes(short_chord(name)) for _, name in chords if name != "N"]
    for name, width in (("wide", 1200), ("phone", 390)):
        shoot(driver, name, width)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    severe = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []

    assert chromium.serious(driver) == []
    the_cursor_moves_while_it_plays(driver)
    two_tracks_do_not_hide_each_other(driver, path)
    sound_that_is_no_music_is_said_to_be_none(driver)
    driver.find_element("css selector", "#examples button").click()
    until(lambda: driver.execute_script("return m2e.tracks[2]?.record"), "the record of an example")
    assert chromium.serious(driver) == []

    driver.execute_async_script("navigator.serviceWorker.ready.then(() => arguments[0]())")
    until(lambda: driver.execute_script("return navigator.serviceWorker.controller !== null"), "the service worker")
    server.shutdown()
    server.server_close()
    driver.refresh()
    again = predicted(driver, path)
    assert again["valence"] == pytest.approx(found["valence"], abs=1e-6)
