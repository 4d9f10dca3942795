"""Replaces the measured parts of a document: the text between `<!-- NAME ... -->` and `<!-- end -->`."""

import re
import sys
from pathlib import Path

from m2e.storage import write_text


def put(document: Path, parts: dict[str, str]) -> None:
    """Replaces the parts with these names, all or none of them. Exits if the document lacks one."""
    text = document.read_text(encoding="utf-8")
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- {re.escape(name)}[^>]*-->).*?<!-- end -->", re.DOTALL)
        if not pattern.search(text):
            sys.exit(f"{document.name} has no part <!-- {name} --> ... <!-- end -->.")
        text = pattern.sub(lambda match, part=part: f"{match[1]}\n\n{part}\n\n<!-- end -->", text)
    write_text(document, text)
