"""Hooks of mkdocs.yml: pages from files outside docs/, and links to them.

`<!-- file: NAME -->` in a page stands for that file of the checkout, `<!-- file: NAME#Heading -->` for a section of it.
Links to files that are no page lead to a copy of the file in the site.
"""

import os
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "site/contributing.md", "CHANGELOG.md": "site/changelog.md"}


def section(text: str, heading: str) -> str:
    """The text below a heading, up to the next one of its level or above; without comments that mark blocks."""
    level, start = next(
        (len(found[1]), found.end()) for found in re.finditer(r"^(#+) (.+)$", text, re.MULTILINE) if found[2] == heading
    )
    rest = text[start:]
    end = re.search(rf"^#{{1,{level}}} ", rest, re.MULTILINE)
    return re.sub(r"^<!-- .* -->\n", "", rest[: end.start() if end else None], flags=re.MULTILINE).strip()


def included(text: str, page: str) -> str:
    """The text of a page in which comments `<!-- file: ... -->` are replaced, with links as from that page."""

    def content(found: re.Match[str]) -> str:
        name, _, heading = found[1].partition("#")
        part = (ROOT / name).read_text(encoding="utf-8")
        part = section(part, heading) if heading else part.split("\n", 1)[1]  # the page has a title
        return re.sub(r"\]\(([^)\s]+)\)", lambda link: f"]({_link(link[1], name, page)})", part)

    return re.sub(r"<!-- file: (.+?) -->", content, text)


def _link(link: str, name: str, page: str) -> str:
    """A link in the file `name` of the checkout, as it is from the page."""
    path, _, anchor = link.partition("#")
    if not path or re.match(r"[a-z]+:", link):  # within the same part, or on another site
        return link
    target = posixpath.join(posixpath.dirname(name), path)
    return _relative(target, page) + (f"#{anchor}" if anchor else "")


def _relative(target: str, page: str) -> str:
    """A path of the checkout, relative to a page below docs/."""
    target = f"docs/{PAGES[target]}" if target in PAGES else target
    return posixpath.relpath(target, posixpath.dirname(f"docs/{page}"))


def outside(text: str, page: str) -> dict[str, str]:
    """{link: path in the checkout} of the links of a page that lead out of docs/."""
    found = {}
    for link in re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", text):
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
        if not re.match(r"[a-z]+:", link) and not target.startswith("docs/"):
            found[link] = target
    return found


def for_python_markdown(text: str) -> str:
    """GitHub needs a backslash before a bar in the code of a table, Python-Markdown shows it."""
    rows = (re.sub(r"`[^`]*`", lambda code: code[0].replace("\\|", "|"), line) for line in text.split("\n"))
    return "\n".join(row if row.startswith("|") else line for row, line in zip(rows, text.split("\n"), strict=True))


# --- what mkdocs calls ---


def on_files(files: Any, config: Any) -> Any:
    """Adds the files that pages link to."""
    from mkdocs.structure.files import File

    for file in list(files.documentation_pages()):
        page = file.src_uri
        for target in outside(included(file.content_string, page), page).values():
            if target not in PAGES and not files.get_file_from_path(f"files/{target}"):
                if not (ROOT / target).is_file():
                    raise SystemExit(f"{page} links to {target}, which is no file.")
                # not as a page: its own links are not of this site
                copy = File.generated(config, f"files/{target}.txt", content=(ROOT / target).read_bytes())
                files.append(copy)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """The text of a page, ready for Python-Markdown."""
    uri = page.file.src_uri
    if uri == "index.md":
        page.meta["hide"] = ["navigation", "toc"]
    text = for_python_markdown(included(markdown, uri))
    for link, target in outside(text, uri).items():
        place = f"docs/{PAGES[target]}" if target in PAGES else f"docs/files/{target}.txt"
        to = os.path.relpath(place, posixpath.dirname(f"docs/{uri}")).replace(os.sep, "/")
        text = re.sub(rf"\]\({re.escape(link)}(#[^)\s]*)?\)", rf"]({to})", text)
    return text
