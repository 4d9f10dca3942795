"""Headless Chromium for the tests of pages; they skip where it is not installed."""

import os
import shutil
from pathlib import Path

import pytest

SERIOUS = ("serious", "critical")  # of the impacts that axe-core names


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


def serious(driver) -> list[tuple[str, str]]:
    """(rule, element) of what axe-core finds serious on the page: contrasts, names, roles and more."""
    driver.execute_script(_axe())
    found = driver.execute_async_script("axe.run().then(arguments[0])")["violations"]
    return [(rule["id"], node["html"]) for rule in found for node in rule["nodes"] if rule["impact"] in SERIOUS]


def _axe() -> str:
    """The script of axe-core: that of the variable AXE_CORE, or the one in the package axe-core-python."""
    if file := os.environ.get("AXE_CORE"):
        return Path(file).read_text(encoding="utf-8")
    package = pytest.importorskip("axe_core_python", reason='axe-core-python is in the extra "dev"')
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
