"""The change of a file's tags as a diff for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from m2e.views.records import printable

if TYPE_CHECKING:
    from m2e.library.tagging.mapping import Change
    from m2e.library.tagging.write import Plan


class TagDiff:
    """One block of lines per file: `+` a value that is written, `-` one that is replaced.

    color: whether the text is for a terminal.
    """

    def __init__(self, color: bool = False):
        self._color = color

    def add(self, plan: Plan) -> str:
        """The block of a file; empty if nothing changes."""
        if not plan.changed:
            return ""
        width = max(len(change.rule.tag) for change in plan.changes) + 2
        lines = [(f"{printable(plan.path)} ({plan.label})", "bold")]
        for change in plan.changes:
            lines += _lines(change, width)
        return "".join(self._styled(text, style) + "\n" for text, style in lines)

    def _styled(self, text: str, style: str) -> str:
        if not self._color:
            return text
        console = Console(force_terminal=True, width=len(text) * 2 + 1, highlight=False)
        with console.capture() as capture:
            console.print(Text(text, style), end="")
        return capture.get()


def _lines(change: Change, width: int) -> list[tuple[str, str]]:
    name = change.rule.tag.ljust(width)
    before, after, wanted = ("; ".join(map(printable, values)) for values in change[1:])
    if change.before != change.after:
        old = [(f"  - {name}{before}", "red")] if change.before else []
        return [*old, (f"  + {name}{after}", "green")]
    return [] if change.before == change.wanted else [(f"    {name}{before}  (kept; predicted: {wanted})", "dim")]
