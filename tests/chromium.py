"""Headless Chromium for the tests of pages; they skip where it is not installed."""

import shutil
from pathlib import Path

import pytest


def start(profile: Path, flags: str, logs: tuple[str, ...], preferences: dict[str, str] | None = None):
    """A started driver of selenium.  flags: with blanks between them, without --.  logs: that the tests read."""
    webdriver = pytest.importorskip("selenium.webdriver", reason='selenium is in the extra "dev"')
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("Chromium or its chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in flags.split():
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={profile}")
    if preferences:
        options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", dict.fromkeys(logs, "ALL"))
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
