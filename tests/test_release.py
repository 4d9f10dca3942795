"""What a release checks and changes, and the workflows of the hosted CI."""

import re
from pathlib import Path

import pytest
from scripts import module_at

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = "https://github.com/someone/m2e"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def release():
    return module_at(ROOT / ".ci" / "release.py")


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "m2e").mkdir()
    (tmp_path / "m2e" / "__init__.py").write_text('"""m2e."""\n\n__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [1.2.0] - 2030-01-31\n\n## [1.1.0] - 2029-01-31\n")
    return tmp_path


def test_tag_version_and_changelog_agree(release, checkout):
    assert release.problem("v1.2.0", checkout) is None
    assert release.problem("v1.1.0", checkout).startswith("The tag is v1.1.0, but the version")
    changes = checkout / "CHANGELOG.md"
    text = changes.read_text()
    changes.write_text(text.replace("2030-01-31", "unreleased"))
    assert "says 'unreleased' for 1.2.0" in release.problem("v1.2.0", checkout)
    changes.write_text(text.replace("[1.2.0]", "[1.3.0]"))
    assert (
        release.problem("v1.2.0", checkout) == "CHANGELOG.md begins with 1.3.0, not with 1.2.0: add a heading for it."
    )


def test_this_changelog_has_a_date_or_says_that_it_is_not_released():
    version, date = re.search(
        r"^## \[(.+)\] - (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    ).groups()
    assert re.fullmatch(r"\d+\.\d+\.\d+", version) and re.fullmatch(r"unreleased|\d{4}-\d\d-\d\d", date)


def test_the_readme_of_the_index_has_no_links_into_the_checkout(release):
    text = release.absolute((ROOT / "README.md").read_text("utf-8"), REPOSITORY, "v1.2.0")
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
    assert {link for link in links if "://" not in link and link[0] != "#"} == set()
    assert f"{REPOSITORY}/blob/v1.2.0/docs/faq.md" in links
    assert "https://raw.githubusercontent.com/someone/m2e/v1.2.0/docs/report.png" in links
    assert "https://arxiv.org/abs/2502.03979" in links  # as before


def test_the_addresses_of_the_project(release):
    text = release.with_addresses((ROOT / "setup.cfg").read_text("utf-8"), REPOSITORY, "v1.2.0")
    assert f"    Source = {REPOSITORY}\n" in text and "    Paper = https://arxiv.org" in text


def test_the_wheel_is_below_30_mb():
    """Before compression, which makes it smaller still."""
    packages = [path for name in ("m2e", "modeling_m2e") for path in (ROOT / name).rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in packages if "__pycache__" not in path.parts)
    assert size < 30_000_000


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_version(path):
    used = re.findall(r"uses: (\S+)", path.read_text("utf-8"))
    assert used and all(re.search(r"@v\d+(\.\d+)*$", action) for action in used)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_can_be_read_and_write_nothing_by_default(path):
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load(path.read_text("utf-8"))
    assert content["permissions"] == {"contents": "read"} and content["jobs"]
    assert all(job["timeout-minutes"] <= 60 for job in content["jobs"].values())


def test_ci_runs_what_skips_without_node_and_without_the_mcp_of_gradio():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    steps = ("npm ci", "tests/test_space_static_page.py", "gradio[mcp]", "tests/test_space_server.py -k mcp")
    places = [text.find(step) for step in steps]
    assert -1 not in places and places == sorted(places)


def test_only_the_job_that_publishes_gets_a_token():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    before, publish = text.split("\n  publish:")
    assert "id-token: write" in publish and "id-token" not in before and "environment: pypi" in publish
    assert "password" not in text and "secrets." not in text
