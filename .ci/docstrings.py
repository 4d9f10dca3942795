"""How the site shows docstrings: lines such as `top_k: how many moods.  harmony: ...` become a list."""

import re
from typing import Any

import griffe

_NAMES = r"`?\*{0,2}[a-z]\w*`?(?:, `?\*{0,2}[a-z]\w*`?)*"


def as_list(docstring: str) -> str:
    """The docstring with an item for each parameter; a line that begins with Raises: gets a paragraph of its own."""
    lines: list[str] = []
    for line in re.sub(rf"  (?={_NAMES}: )", "\n", docstring).split("\n"):
        text, item = line.strip(), re.match(rf"({_NAMES}): (.*)", line.strip())
        if item is None:
            lines += ["", text] if text.startswith("Raises:") else [text]
            continue
        if lines and lines[-1] and not lines[-1].startswith("- "):
            in_item = any(earlier.startswith("- ") for earlier in lines[::-1][: _since_blank(lines)])
            lines += [] if in_item else [""]
        lines.append(f"- **{item[1]}**: {item[2]}")
    return "\n".join(lines)


def _since_blank(lines: list[str]) -> int:
    """How many lines come after the last blank one."""
    return next((count for count, line in enumerate(reversed(lines)) if not line), len(lines))


class ParameterLists(griffe.Extension):
    """Applies `as_list` to every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_list(obj.docstring.value)
