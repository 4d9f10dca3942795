"""The page as one text: template, style, scripts and data, with a policy that allows no network."""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from m2e.report.data import content

SCRIPTS = ("vendor/echarts.min.js", "state.js", "map.js", "histograms.js", "table.js", "playlist.js", "page.js")
LICENCE = "/*! Contains Apache ECharts 6.1.0, https://echarts.apache.org, Apache License 2.0 */\n"


def page(rows: Iterable[Mapping[str, Any]], title: str, made: str, missing: int = 0) -> str:
    """The HTML of a library; see `content` for the parameters. Text of tracks is data in it, never markup."""
    title = title.encode("utf-8", "replace").decode()  # arguments need not be UTF-8
    # "<" cannot end the element; lone surrogates, from names that are not UTF-8, stay escaped
    data = json.dumps(content(rows, title, made, missing), allow_nan=False, separators=(",", ":")).replace(
        "<", "\\u003c"
    )
    script = LICENCE + "\n".join(_asset(name) for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:"
    parts = {
        "POLICY": html.escape(policy),
        "TITLE": html.escape(title),
        "STYLE": _asset("style.css"),
        "DATA": data,
        "SCRIPT": script,
    }
    text = _asset("page.html")
    pieces = text.split("@@")  # text, NAME, text, NAME, ..., text
    pieces[1::2] = [parts[name] for name in pieces[1::2]]
    return "".join(pieces)


def _asset(name: str) -> str:
    return (files("m2e.report") / name).read_text(encoding="utf-8")
