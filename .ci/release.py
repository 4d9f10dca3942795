"""Makes a checkout ready for the package index: python .ci/release.py TAG REPOSITORY (v0.1.0, https://github.com/NAME/m2e).

Checks that the tag, the version and CHANGELOG.md agree. Then README.md gets absolute links, because the index shows it
without its files, and setup.cfg the addresses of the project.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def problem(tag: str, root: Path = ROOT) -> str | None:
    """What is wrong with a release of this tag: a sentence, or None."""
    version = re.search(r'^__version__ = "(.+)"$', (root / "m2e" / "__init__.py").read_text("utf-8"), re.MULTILINE)[1]
    newest, date = re.search(r"^## \[(.+)\] - (.+)$", (root / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE).groups()
    if tag != f"v{version}":
        return f"The tag is {tag}, but the version in m2e/__init__.py is {version}: change one of them."
    if newest != version:
        return f"CHANGELOG.md begins with {newest}, not with {version}: add a heading for it."
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        return f"CHANGELOG.md says {date!r} for {version}: write the date of the release, as 2030-01-31."
    return None


def absolute(readme: str, repository: str, tag: str) -> str:
    """The text with links and images of the repository as addresses; anchors within the page stay."""
    raw = repository.replace("https://github.com/", "https://raw.githubusercontent.com/")

    def address(path: str) -> str:
        if "://" in path or path.startswith(("#", "mailto:")):
            return path
        return f"{raw}/{tag}/{path}" if path.endswith((".png", ".svg")) else f"{repository}/blob/{tag}/{path}"

    readme = re.sub(r"\]\(([^)\s]+)\)", lambda found: f"]({address(found[1])})", readme)
    return re.sub(r'((?:src|srcset)=")([^"]+)"', lambda found: f'{found[1]}{address(found[2])}"', readme)


def with_addresses(setup: str, repository: str, tag: str) -> str:
    """The text of setup.cfg with the addresses of the repository."""
    pages = {"Source": repository, "Documentation": f"{repository}/tree/{tag}/docs"}
    pages |= {"Changelog": f"{repository}/blob/{tag}/CHANGELOG.md", "Issues": f"{repository}/issues"}
    return setup.replace(
        "project_urls =\n", "project_urls =\n" + "".join(f"    {name} = {page}\n" for name, page in pages.items())
    )


def main(tag: str, repository: str) -> None:
    if sentence := problem(tag):
        sys.exit(sentence)
    for name, change in (("README.md", absolute), ("setup.cfg", with_addresses)):
        path = ROOT / name
        path.write_text(change(path.read_text("utf-8"), repository, tag), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
