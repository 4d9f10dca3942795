"""The site: its pages, its links, and the code that puts it together. CI builds it, with warnings as errors."""

import configparser
import importlib
import importlib.util
import re
from pathlib import Path

import pytest
from scripts import module_at

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def site():
    return module_at(ROOT / ".ci" / "site.py")


def navigation() -> list[str]:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    return re.findall(r": (\S+\.md)$", text.split("\nnav:\n")[1].split("\n\n")[0], re.MULTILINE)


def test_every_page_is_in_the_navigation_once():
    assert sorted(navigation()) == PAGES


def headings(text: str) -> set[str]:
    lines = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES)
def test_links_of_the_pages_lead_somewhere(site, page):
    text = site.included((DOCS / page).read_text("utf-8"), page)
    assert "<!-- file:" not in text
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (DOCS / page).parent / name if name else DOCS / page
        known = target.is_file()
        if known and anchor:
            found = text if not name else site.included(target.read_text("utf-8"), target.relative_to(DOCS).as_posix())
            known = anchor in headings(found)
        if not known:
            broken.append(link)
    assert broken == []


def test_everything_in_the_reference_exists():
    text = (DOCS / "site" / "api.md").read_text("utf-8")
    names = re.findall(r"^::: (.+)$", text, re.MULTILINE)
    assert len(names) > 20
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__


def test_a_part_of_another_file(site):
    text = "# A\n\nx\n\n## B\n\n<!-- begin -->\ny\n<!-- end -->\n\n### C\n\nz\n\n## D\n"
    assert site.section(text, "B") == "y\n\n### C\n\nz" and site.section(text, "D") == ""
    page = site.included("<!-- file: README.md#Choose a model -->", "site/models.md")
    assert "](../results.md)" in page and "](#the-published-model)" in page
    assert "](../../configuration/mert-95m.yaml)" in page  # outside; becomes a copy in the site
    assert site.outside(page, "site/models.md") == {
        "../../configuration/mert-95m.yaml": "configuration/mert-95m.yaml",
    }


def test_parameters_in_docstrings_become_a_list():
    pytest.importorskip("griffe")
    module = module_at(ROOT / ".ci" / "docstrings.py")
    text = module.as_list("A record.\n\nmodel: a folder\nor id.  top_k, harmony: two.\nRaises: ModelError.")
    assert text == "A record.\n\n- **model**: a folder\nor id.\n- **top_k, harmony**: two.\n\nRaises: ModelError."
    assert module.as_list("Text.\nrate: in Hz.") == "Text.\n\n- **rate**: in Hz."


def test_bars_in_the_code_of_tables(site):
    assert site.for_python_markdown("| `a\\|b` | c \\| d |\n`a\\|b`") == "| `a|b` | c \\| d |\n`a\\|b`"


def test_the_workflow_installs_what_the_extra_says():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "docs.yml").read_text("utf-8")
    installed = re.search(r"pip install ((?:\"[^\"]+\" ?)+)", workflow)[1]
    assert re.findall(r'"([^"]+)"', installed) == setup["options.extras_require"]["docs"].split()


def test_the_site_asks_no_other_server_for_fonts():
    assert "font: false" in (ROOT / "mkdocs.yml").read_text("utf-8")
