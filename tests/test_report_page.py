"""The page of a library in a headless browser: seen, searched, selected and saved, without a network."""

import base64
import json
import time
from pathlib import Path

import chromium
import librarysample
import pytest

from m2e.report.page import page

ROOT = Path(__file__).resolve().parent.parent
SHOTS = ROOT / "build" / "report"
SECONDS = 300  # until a test gives up; a laden machine is slow
TRACKS = 20_000
HOSTILE = [
    "</script><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    '"><svg onload=window.pwned=1>',
    "@@SCRIPT@@ ${window.pwned = 1} {{7*7}} \u2028 \u202e &lt;b&gt;",
]


class Browser:
    """The page in headless Chromium."""

    def __init__(self, driver, folder: Path):
        self.driver, self.folder = driver, folder

    def open(self, rows, name: str, width: int = 1360) -> None:
        file = self.folder / f"{name}.html"
        file.write_text(page(rows, "My music", "29 November 2026"), encoding="utf-8")
        self.size(width)
        self.driver.get_log("browser"), self.driver.get_log("performance")
        self.driver.get(file.as_uri())
        self.until(lambda: self.run("return document.documentElement.dataset.ready"), "the page")

    def size(self, width: int, height: int = 900) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, condition, what: str):
        deadline = time.monotonic() + SECONDS
        while not (value := condition()):
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(0.05)
        return value

    def settled(self) -> None:
        self.until(lambda: self.run("return waiting.length === 0"), "the charts")
        time.sleep(0.2)  # they are painted in the next frame

    def shoot(self, name: str) -> None:
        self.settled()
        width, height = self.run("return [innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        SHOTS.mkdir(parents=True, exist_ok=True)
        (SHOTS / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    def text(self, name: str) -> str:
        return self.run("return document.getElementById(arguments[0]).innerText", name)

    def lasso(self, *corners: tuple[float, float]) -> None:
        """Draws around corners (valence, arousal) by hand."""
        from selenium.webdriver import ActionChains

        self.driver.find_element("id", "lasso").click()
        plane = self.driver.find_element("id", "map")
        width, height = self.run("const m = find('map'); return [m.clientWidth, m.clientHeight]")
        pixels = self.run("return arguments[0].map((c) => map.convertToPixel({ gridIndex: 0 }, c))", corners)
        spots = [(round(x - width / 2), round(y - height / 2)) for x, y in pixels]
        hand = ActionChains(self.driver, duration=20)
        hand.move_to_element_with_offset(plane, *spots[0]).click_and_hold()
        for spot in spots[1:]:
            hand.move_to_element_with_offset(plane, *spot)
        hand.release().perform()
        self.until(lambda: self.run("return lasso.polygon !== null"), "the lasso")

    def no_complaints(self) -> None:
        assert [entry for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    flags = (
        "headless no-sandbox disable-gpu no-first-run disable-background-networking disable-component-update"
        " disable-sync hide-scrollbars disable-dev-shm-usage"
    )
    preferences = {"download.default_directory": str(folder)}
    started = chromium.start(tmp_path_factory.mktemp("chromium"), flags, ("performance", "browser"), preferences)
    started.set_page_load_timeout(SECONDS)
    started.set_script_timeout(SECONDS)
    yield Browser(started, folder)
    started.quit()


@pytest.fixture
def large(browser):
    """The page of many tracks, with nothing chosen."""
    if "large.html" not in browser.driver.current_url:
        browser.open(librarysample.rows(TRACKS), "large")
    browser.size(1360)
    browser.run("clearAll(); setFocus(-1); sortBy('path', false)")
    return browser


def test_20000_tracks_wide_light_and_dark(large):
    assert large.text("title") == "My music"
    assert large.text("summary").startswith("20,000 tracks · ")
    assert large.text("playlist") == "Download playlist (20,000)"
    assert large.text("trouble-list").startswith("1 file failed, 1 track with warnings.")
    assert "A very long drone" in large.text("lists")
    large.shoot("light")
    large.driver.find_element("id", "theme").click()
    large.shoot("dark")
    large.driver.find_element("id", "theme").click()
    large.no_complaints()


def test_only_the_rows_in_view_exist(large):
    assert large.run("return document.querySelectorAll('.body .row').length") < 60
    assert large.run("return find('table').getAttribute('aria-rowcount')") == str(TRACKS + 1)
    large.run("find('table').scrollTop = 44 * 12345")
    last = "return [...document.querySelectorAll('.body .row')].map((row) => Number(row.ariaRowIndex))"
    large.until(lambda: 12350 in large.run(last), "the rows")
    assert large.run("return document.querySelectorAll('.body .row').length") < 60


def test_search_lasso_and_bars_choose_together(large):
    large.driver.find_element("id", "search").send_keys("UPBEAT thunder")
    large.until(lambda: not large.text("count").startswith("20,000 tracks"), "the search")
    searched = large.run("return shown.length")
    large.lasso((5, 5), (5, 7), (7, 7), (7, 5))
    corners = large.run("return lasso.polygon")
    assert len(corners) >= 4
    shown = large.run("return shown.map((i) => [titles[i], tracks.valence[i], tracks.arousal[i], moodNames(i)])")
    assert 0 < len(shown) < searched
    for _, valence, arousal, moods in shown:
        assert 4.9 < valence < 7.1 and 4.9 < arousal < 7.1 and "upbeat" in moods
    large.shoot("chosen")
    assert large.text("count").startswith(f"{len(shown)} of 20,000 tracks")
    assert large.text("chips").split("\n")[0].startswith("Lasso")
    large.driver.find_element("xpath", "//*[@id='chips']/button[contains(., 'Clear all')]").click()
    assert large.run("return [shown.length, lasso.polygon]") == [TRACKS, None]


def test_a_bar_chooses_its_tracks_and_the_others_stay_in_its_chart(large):
    large.settled()
    large.run("find('moods').scrollIntoView({ block: 'center' })")
    from selenium.webdriver import ActionChains

    bars = large.driver.find_element("id", "moods")
    hand = ActionChains(large.driver)
    hand.move_to_element_with_offset(bars, 0, 40 - bars.size["height"] // 2).click().perform()  # the second mood
    assert large.text("chips").rstrip("×\n ") == large.run("return data.moods[1]")
    assert large.run("return shown.length < total && shown.every((i) => tracks.moods[i].includes(1))")


def test_the_table_sorts_both_ways(large):
    large.run("document.querySelector('[title=\"Sort by arousal\"]').click()")
    first = "return tracks.arousal[shown[0]] === Math.{}(...tracks.arousal)"
    assert large.run(first.format("min"))
    large.run("document.querySelector('[title=\"Sort by arousal\"]').click()")
    assert large.run(first.format("max"))
    assert large.run("return document.querySelector('[aria-sort=descending]').innerText").startswith("Arousal")


def test_a_point_shows_its_track(large):
    from selenium.webdriver import ActionChains

    spot = "const far = tracks.valence.indexOf(Math.max(...tracks.valence)); const m = find('map');"
    spot += "m.scrollIntoView({block: 'center'});"
    spot += "const [x, y] = map.convertToPixel({ gridIndex: 0 }, [tracks.valence[far], tracks.arousal[far]]);"
    far, x, y = large.run(spot + "return [far, x - m.clientWidth / 2, y - m.clientHeight / 2]")
    hand = ActionChains(large.driver).move_to_element_with_offset(
        large.driver.find_element("id", "map"), round(x), round(y)
    )
    hand.perform()
    title = large.run("return titles[arguments[0]]", far)
    tip = "return [...document.querySelectorAll('.tip b')].map((b) => b.innerText)"
    large.until(lambda: title in large.run(tip), "what hovering shows")
    hand.click().perform()
    assert large.run("return focus") == far
    assert title in large.run("return document.querySelector('.row.focus').innerText")


def test_zoom(large):
    before = large.run("return view()")
    large.driver.find_element("id", "closer").click()
    after = large.run("return view()")
    assert after["x"][1] - after["x"][0] < before["x"][1] - before["x"][0]
    large.driver.find_element("id", "whole").click()
    assert large.run("return view()") == {"x": [1, 9], "y": [1, 9]}
    large.driver.find_element("id", "fit").click()
    assert large.run("return view().x[1] < 9")


def test_phone_nothing_sticks_out(large):
    large.size(390, 844)
    large.shoot("phone")
    assert large.run("return document.documentElement.scrollWidth") <= 390


CONTRAST = """
const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => {
  const [r, g, b] = numbers(color).map((v) => (v <= 10 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if ((numbers(color)[3] ?? 1) > 0.9) return color;
  }
  return "rgb(255, 255, 255)";
};
return [...document.querySelectorAll("body *:not(:disabled):not(script):not(.corner)")]
  .filter((e) => e.offsetParent && [...e.childNodes].some((n) => n.nodeType == 3 && n.textContent.trim()))
  .map((e) => {
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
    return [e.className || e.tagName, e.textContent, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  })
  .filter(([, , contrast]) => contrast < 4.5);
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read(large, theme):
    """WCAG AA: a contrast of 4.5 between text and ground."""
    large.run("document.documentElement.dataset.theme = arguments[0]", theme)
    time.sleep(0.3)
    assert large.run(CONTRAST) == []
    large.run("document.documentElement.dataset.theme = 'light'")


def test_hostile_text_is_text(browser):
    rows = librarysample.rows(12)
    for row, text in zip(rows, HOSTILE, strict=False):
        row |= {"title": text, "artist": text, "moods": [text], "path": f"/music/{text}.mp3", "warnings": [text]}
    rows[5] |= {"path": "/music/\udce9t\udce9.mp3", "title": "not UTF-8"}
    rows[6] |= {"path": "/music/two\nlines #1.mp3", "title": "two\nlines"}
    rows.append({"path": HOSTILE[0], "error": HOSTILE[1]})
    browser.open(rows, "hostile")
    browser.settled()
    browser.run("setFocus(0); searchFor('window')")
    assert browser.run("return [window.pwned, document.querySelectorAll('script').length, shown.length]") == [
        None,
        2,
        4,
    ]
    titles = browser.run("return [...document.querySelectorAll('.title b')].map((b) => b.textContent)")
    assert sorted(titles) == sorted(HOSTILE)
    assert HOSTILE[1] in browser.text("trouble-list")
    browser.no_complaints()

    browser.run("searchFor('utf-8')")
    assert "\nfile:///music/%E9t%E9.mp3\n" in browser.run("return playlist()")
    browser.run("searchFor('two')")
    assert browser.run("return playlist()").split("\n")[1:3] == [
        f"#EXTINF:{round(rows[6]['duration'])},{rows[6]['artist']} - two lines",
        "file:///music/two%0Alines%20%231.mp3",
    ]


def test_the_playlist_is_saved(browser):
    browser.open(librarysample.rows(12), "small")
    browser.shoot("small")
    browser.run("sortBy('valence')")
    browser.driver.find_element("id", "playlist").click()
    saved = browser.folder / "12 tracks.m3u8"
    browser.until(saved.exists, "the playlist")
    paths = [row["path"] for row in sorted(librarysample.rows(12)[:-1], key=lambda row: row["valence"])]
    assert saved.read_text(encoding="utf-8").splitlines()[2::2] == paths


def test_an_empty_library(browser):
    browser.open([], "empty")
    assert browser.text("summary") == "0 tracks · 29 November 2026"
    browser.shoot("empty")
    browser.no_complaints()


def test_nothing_is_fetched(browser):
    browser.open(librarysample.rows(3), "offline")
    browser.settled()
    entries = [json.loads(entry["message"])["message"] for entry in browser.driver.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in entries if e["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith(("file:", "data:", "blob:"))] == []
