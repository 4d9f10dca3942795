"""Text in HTML: what a record says becomes text and nothing else."""

import html
import re

_ACCIDENTALS = {"#": "\u266f", "b": "\u266d"}


def text(value: str | None) -> str:
    """Text that is safe in HTML, and in the templates that Gradio makes of it."""
    escaped = html.escape("".join(letter if letter.isprintable() else "\ufffd" for letter in value or ""))
    return escaped.replace("$", "&#36;").replace("{", "&#123;").replace("}", "&#125;").replace("`", "&#96;")


def notes(value: str) -> str:
    """ "C# minor" and "Bbm" with the signs of sheet music, as text for HTML."""
    signs = re.sub(r"\b([A-G])(#|b(?=m|\d|\W|$))", lambda found: found[1] + _ACCIDENTALS[found[2]], value)
    return text(signs)


def tip(content: str, x: float, y: float) -> str:
    """A box with HTML that appears beside a point at (x, y) percent of its area."""
    sides = ("m2e-left" if x > 50 else "m2e-right") + (" m2e-below" if y > 50 else " m2e-above")
    return f'<span class="m2e-tip {sides}" aria-hidden="true">{content}</span>'
