"""The page of the demo in a headless browser, and its API."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import chromium
import pytest
from typer.testing import CliRunner

from m2e import cli

pytest.importorskip("gradio", reason='gradio is in the extra "demo"')
from m2e.space import facts  # noqa: E402
from m2e.views.records import short_chord  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "examples" / "moonlight_sonata.ogg"
SHOTS = ROOT / "build" / "space"
SECONDS = 300  # until a browser test gives up; a laden machine is slow


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where the Space runs, in a process of its own and away from the checkout."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    folder = tmp_path_factory.mktemp("space")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    if os.environ.get("PYTHONSAFEPATH"):
        path = os.environ.get("PYTHONPATH", "")  # the installed packages are under test
    environment = {**os.environ, "PYTHONPATH": path, "GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder)}
    with open(folder / "log", "w+") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "space" / "app.py")], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + SECONDS
            while not reachable(port):
                log.seek(0)
                assert process.poll() is None and time.monotonic() < deadline, log.read()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def reachable(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Page:
    """The Space in headless Chromium."""

    def __init__(self, driver, address: str):
        self.driver, self.address = driver, address

    def open(self, theme: str = "light", width: int = 1280) -> None:
        self.width(width)
        self.driver.get(f"{self.address}/?__theme={theme}")
        self.wait("return document.querySelector('.m2e-plane') && document.querySelector('input[type=file]')")

    def width(self, width: int, height: int = 900) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def wait(self, script: str):
        """What the script returns, once that is true."""
        return self.until(lambda: self.driver.execute_script(script), script)

    def until(self, condition, what: str = ""):
        deadline = time.monotonic() + SECONDS
        while not (value := condition()):
            assert time.monotonic() < deadline, f"waited in vain for {what or condition}"
            time.sleep(0.1)
        return value

    def upload(self, *files: Path) -> None:
        self.driver.find_element("css selector", "input[type=file]").send_keys("\n".join(map(str, files)))

    def analysed(self, count: int, name: str) -> None:
        """Waits until so many tracks are there, and the one of that name is shown."""
        points = f"document.querySelectorAll('.m2e-point').length == {count}"
        shown = f"document.querySelector('.m2e-about').innerText.includes({json.dumps(name)})"
        self.wait(f"return {points} && {shown} && !document.querySelector('.m2e-busy')")

    def add(self, example: str) -> None:
        self.driver.find_element("xpath", f"//button[contains(., '{example}')]").click()

    def play(self) -> None:
        self.driver.find_element("css selector", ".m2e-play").click()

    def text(self, selector: str) -> str:
        return self.wait(f"return document.querySelector({json.dumps(selector)})?.innerText")

    def shoot(self, name: str) -> None:
        time.sleep(0.5)  # transitions
        width, height = self.driver.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
        self.width(width, height)
        time.sleep(0.5)
        SHOTS.mkdir(parents=True, exist_ok=True)
        assert self.driver.save_screenshot(str(SHOTS / f"{name}.png"))


@pytest.fixture(scope="module")
def page(address, tmp_path_factory):
    flags = (
        "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
        " disable-component-update disable-sync hide-scrollbars mute-audio disable-dev-shm-usage"
        " use-fake-ui-for-media-stream use-fake-device-for-media-stream"
    )
    browser = chromium.start(tmp_path_factory.mktemp("chromium"), flags, ("performance", "browser"))
    browser.set_page_load_timeout(SECONDS)
    yield Page(browser, address)
    browser.quit()


@pytest.fixture(scope="module")
def predicted() -> dict:
    """What the command line says about the clip."""
    result = CliRunner().invoke(cli.app, ["predict", str(CLIP), "--format", "json", "--key-segments"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)[0]


@pytest.fixture(scope="module")
def one_track(page):
    """The page, wide and light, with the clip on it."""
    page.open("light", 1280)
    page.upload(CLIP)
    assert page.text(".m2e-busy") == f"Uploading {CLIP.name} …"  # at once, before the server knows of it
    page.analysed(1, CLIP.name)
    return page


def test_the_page_opens_on_an_example_that_plays(page):
    page.open("light", 1280)
    assert CLIP.name in page.text(".m2e-about") and page.text(".m2e-card h2").endswith(", C♯ minor")
    page.play()
    page.wait("return Number(document.querySelector('[role=slider]').ariaValueNow) > 0.3")
    assert page.wait("return document.querySelector('.m2e-play').ariaLabel") == "Pause"
    page.wait("return !document.querySelector('.m2e-now').hidden")  # the point on the plane that follows
    page.play()
    page.wait("return document.querySelector('.m2e-play').ariaLabel == 'Play'")


def test_the_numbers_are_those_of_the_command_line(one_track, predicted):
    tiles = [line for line in one_track.text(".m2e-tiles").split("\n") if line]
    valence, arousal = (
        "{:.1f} of 1–9 · likely {:.1f}–{:.1f}".format(predicted[name], *predicted[f"{name}_interval"])
        for name in ("valence", "arousal")
    )
    key = predicted["key"]
    assert tiles[:2] == ["Valence", valence] and arousal in tiles
    assert predicted["quadrant"] in tiles and f"{key['tonic'].replace('#', '♯')} {key['mode']}" in tiles
    bars = "[...document.querySelector('.m2e-moods > ul').querySelectorAll('li')]"  # attributes follow
    moods = one_track.wait(f"return {bars}.map((bar) => [...bar.children].map((part) => part.innerText))")
    assert moods == [
        ["✓" if mood["label"] in predicted["selected_moods"] else "", mood["label"], "", f"{mood['score']:.0%}"]
        for mood in predicted["moods"][: facts.TOP_MOODS]
    ]
    chords = [short_chord(chord["label"]) for chord in predicted["chords"] if chord["label"] != "N"]
    drawn = one_track.wait("return [...document.querySelectorAll('.m2e-chords > span')].map((span) => span.title)")
    assert [title.partition(",")[0].replace("♯", "#") for title in drawn] == chords


@pytest.mark.parametrize("pointer", ["mouse", "touch"])
def test_the_cursor_tells_what_sounds_there(one_track, predicted, pointer):
    one_track.driver.execute_script(
        "const lanes = document.querySelector('.m2e-lanes'), { left, width, top } = lanes.getBoundingClientRect();"
        "for (const [name, share] of [['pointerdown', 0.1], ['pointermove', 0.95], ['pointerout', 0.95]])"
        "lanes.dispatchEvent(new PointerEvent(name, { bubbles: true, pointerType: arguments[0],"
        "clientX: left + share * width, clientY: top + 5 }))",
        pointer,
    )
    if pointer == "mouse":
        assert one_track.text(".m2e-readout").startswith("0:00")  # it has left
        return
    second, last = 0.95 * predicted["duration"], predicted["curve"][-1]  # a finger that was lifted leaves its values
    assert one_track.text(".m2e-readout").split("\n")[:3] == [
        f"0:{int(second):02d}",
        f"valence {last['valence']:.1f}",
        f"arousal {last['arousal']:.1f}",
    ]
    inside = """const { left, right } = document.querySelector('.m2e-readout').getBoundingClientRect();
      const lanes = document.querySelector('.m2e-lanes').getBoundingClientRect();
      return left >= lanes.left - 1 && right <= lanes.right + 1"""
    assert one_track.driver.execute_script(inside)


def test_keys_move_the_cursor(one_track):
    slider = one_track.driver.find_element("css selector", ".m2e-wave")
    slider.send_keys("\ue011")  # Home
    slider.send_keys("\ue014")  # arrow right
    assert slider.get_attribute("aria-valuenow") == "1.0"
    assert slider.get_attribute("aria-valuetext").startswith("0:01, valence ")


def test_downloads_hold_the_record(one_track, predicted, tmp_path):
    where = {"behavior": "allow", "downloadPath": str(tmp_path)}
    one_track.driver.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    buttons = "[...document.querySelectorAll('.m2e-downloads button')]"
    one_track.wait(f"return {buttons}.length == 3 && {buttons}.every((button) => !button.disabled)")
    for name in ("m2e.json", "m2e.csv", "m2e.pdf"):
        label = name.removeprefix("m2e.").upper()
        one_track.driver.find_element("xpath", f"//button[contains(., '{label}')]").click()
        one_track.until(lambda name=name: (tmp_path / name).exists())
    (record,) = json.loads((tmp_path / "m2e.json").read_text(encoding="utf-8"))
    assert record == predicted | {"path": CLIP.name}


def test_wide_and_light(one_track):
    one_track.width(1280)
    one_track.shoot("light-wide")


def test_narrow_nothing_sticks_out_and_the_player_is_on_the_first_screen(one_track):
    one_track.width(390, 844)
    bottom = "return document.querySelector('.m2e-wave').getBoundingClientRect().bottom + scrollY"
    assert one_track.wait(bottom) < 844
    one_track.shoot("light-narrow")
    sticking = """return [...document.querySelectorAll('.gradio-container *')].filter((element) => {
      const { right, width } = element.getBoundingClientRect(); return width && right > innerWidth + 1
    }).map((element) => element.className)"""
    assert one_track.driver.execute_script(sticking) == []
    assert one_track.driver.execute_script("return document.documentElement.scrollWidth") <= 390
    gap = """const cells = document.querySelector('.m2e-cells'), range = document.createRange();
      range.selectNodeContents(cells.closest('.m2e-tile').querySelector('h3'));
      const [a, b] = [cells.getBoundingClientRect(), range.getBoundingClientRect()];
      return Math.max(a.left - b.right, a.top - b.bottom)"""
    assert one_track.driver.execute_script(gap) >= 0  # the scores of the quadrants do not cover their title


def test_everything_has_a_name(one_track):
    """What a screen reader says of buttons, fields and images."""
    nameless = """return [...document.querySelectorAll('button, input, audio, img, [role=img], [role=slider]')]
      .filter((element) => element.offsetParent && !(element.innerText || element.ariaLabel || element.title ||
        element.alt || element.labels?.length || element.getAttribute('aria-labelledby') || element.type == 'file'))
      .map((element) => element.outerHTML.slice(0, 100))"""
    assert one_track.driver.execute_script(nameless) == []
    plane = one_track.driver.find_element("css selector", ".m2e-plane").get_attribute("aria-label")
    assert plane.startswith(f"Valence-arousal plane: 1, {CLIP.name}: valence ")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(one_track, theme):
    one_track.driver.execute_script(f"document.body.classList.toggle('dark', {str(theme == 'dark').lower()})")
    time.sleep(0.5)  # transitions
    told = chromium.serious(one_track.driver)
    one_track.driver.execute_script("document.body.classList.remove('dark')")
    assert told == []


def test_dark_with_several_tracks_and_a_bad_one(page, tmp_path):
    page.open("dark", 1280)
    (tmp_path / "empty.wav").touch()
    page.upload(CLIP, tmp_path / "empty.wav")
    page.analysed(1, CLIP.name)
    assert page.text(".m2e-alert") == "Not analysed\nempty.wav: is empty (0 bytes)."
    page.add("Mountain King")
    # the browser's word, then the server's two
    said = ("Analysing Mountain King …", "Loading m2e-small …", "Analysing mountain_king.ogg …")
    assert page.text(".m2e-busy") in said
    page.analysed(2, "mountain_king.ogg")
    assert page.text(".m2e-about").startswith("2\nmountain_king.ogg")
    assert len(page.driver.find_elements("css selector", ".m2e-list li")) == 2
    page.shoot("dark-wide")
    page.driver.find_element("css selector", ".m2e-point[data-show='0']").click()
    page.analysed(2, CLIP.name)
    page.width(390)
    page.shoot("dark-narrow")
    page.width(1280)
    page.driver.find_element("css selector", "[data-remove='0']").click()
    page.analysed(1, "mountain_king.ogg")


def test_the_console_has_no_errors(one_track):
    """Nor the warning that an event has more arguments than its function."""
    told = one_track.driver.get_log("browser")
    wrong = [entry["message"] for entry in told if entry["level"] == "SEVERE" or "arguments" in entry["message"]]
    assert [message for message in wrong if "favicon" not in message] == []


def test_nothing_is_fetched_from_elsewhere(page):
    page.driver.get_log("performance")
    page.open()
    entries = [json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in entries if e["method"] == "Network.requestWillBeSent"]
    assert any(url.startswith(page.address) for url in urls)
    assert [url for url in urls if not url.startswith((page.address, "data:", "blob:"))] == []


def test_the_api_gives_the_record(address, predicted, tmp_path):
    client_of = pytest.importorskip("gradio_client")
    client = client_of.Client(address, verbose=False)
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == [
        "/predict",
        "/predict_link",
        "/describe_link",
    ]
    record = client.predict(client_of.handle_file(CLIP), api_name="/predict")
    assert json.loads(record) == predicted | {"path": CLIP.name}
    (tmp_path / "empty.wav").touch()
    failed = json.loads(client.predict(client_of.handle_file(tmp_path / "empty.wav"), api_name="/predict"))
    assert failed["error"] == "empty.wav: is empty (0 bytes)." and failed["valence"] is None
    with pytest.raises(Exception, match="secret/model is not offered here"):
        client.predict(client_of.handle_file(CLIP), "secret/model", api_name="/predict")
