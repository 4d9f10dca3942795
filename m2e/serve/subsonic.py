"""The similarity calls of the OpenSubsonic API, for players that speak it: ping, getSimilarSongs, getSimilarSongs2.

https://opensubsonic.netlify.app. Ids are those of this library. Answers are XML, or JSON with f=json.
"""

import xml.etree.ElementTree as ElementTree
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse, Response

from m2e import __version__
from m2e.errors import M2EError
from m2e.serve.catalog import Catalog
from m2e.serve.models import Track

VERSION = "1.16.1"  # of the Subsonic API
NAMESPACE = "http://subsonic.org/restapi"
MISSING_PARAMETER, NOT_FOUND = 10, 70  # codes of errors
MAX_COUNT = 500
Format = Annotated[str, Query(description="xml or json.")]
Answer = dict[str, Any]


def add(app: FastAPI, catalog: Catalog) -> None:
    """Adds the calls to a server, each also with the ending .view."""

    def ping(f: Format = "xml") -> Response:
        return respond(f)

    def extensions(f: Format = "xml") -> Response:
        return respond(f, openSubsonicExtensions=[{"name": "apiKeyAuthentication", "versions": [1]}])

    def similar(name: str) -> Any:
        def songs(id: str | None = None, count: Annotated[int, Query(ge=1)] = 50, f: Format = "xml") -> Response:
            if id is None:
                return refuse(f, MISSING_PARAMETER, "The parameter id is missing.")
            if not (id.isascii() and id.isdecimal()):
                return refuse(f, NOT_FOUND, f"There is no track {id}.")
            try:
                found = catalog.similar(int(id), min(count, MAX_COUNT))
            except M2EError as error:
                return refuse(f, NOT_FOUND, str(error))
            return respond(f, **{name: {"song": [song(track) for track in found]}})

        return songs

    calls = {
        "ping": ping,
        "getOpenSubsonicExtensions": extensions,
        "getSimilarSongs": similar("similarSongs"),
        "getSimilarSongs2": similar("similarSongs2"),
    }
    for name, call in calls.items():
        app.get(f"/rest/{name}", tags=["opensubsonic"], name=name)(call)
        app.get(f"/rest/{name}.view", include_in_schema=False)(call)


def song(track: Track) -> Answer:
    """A track as a Child of the API."""
    known = {
        "id": str(track.id),
        "isDir": False,
        "title": track.title or track.path.replace("\\", "/").rpartition("/")[2],
        "album": track.album,
        "artist": track.artist,
        "year": track.year,
        "duration": track.duration and round(track.duration),
        "bpm": track.tempo and round(track.tempo),
        "path": track.path,
        "type": "music",
        "mediaType": "song",
        "moods": track.moods,
    }
    return {name: value for name, value in known.items() if value is not None}


def respond(form: str, **content: Any) -> Response:
    """The answer to a call that succeeded."""
    return _encoded(form, {"status": "ok", **_frame(), **content})


def refuse(form: str, code: int, sentence: str) -> Response:
    """The answer to a call that failed; as the API asks, with the HTTP status 200."""
    return _encoded(form, {"status": "failed", **_frame(), "error": {"code": code, "message": sentence}})


def _frame() -> Answer:
    return {"version": VERSION, "type": "m2e", "serverVersion": __version__, "openSubsonic": True}


def _encoded(form: str, answer: Answer) -> Response:
    if form == "json":
        return JSONResponse({"subsonic-response": answer})
    root = _element("subsonic-response", {"xmlns": NAMESPACE, **answer})
    return Response(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True), media_type="application/xml")


def _element(name: str, content: Answer) -> ElementTree.Element:
    """Plain values become attributes; objects and lists become elements."""
    element = ElementTree.Element(name)
    for key, value in content.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                element.append(_element(key, each))
            elif isinstance(value, list):
                ElementTree.SubElement(element, key).text = _text(each)
            else:
                element.set(key, _text(each))
    return element


def _text(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)  # XML has no control characters
