"""What an interrupted run has predicted: one journal for JSON Lines, JSON and CSV.

FILE.partial holds a record per line, whatever the format of FILE. `.FILE.sources` says for every record, by a digest of
its line, which file it was made from (real path, size, time of the last change) and with which settings. FILE is made
from both when the run is complete. For JSON Lines, which later runs can extend, `.FILE.sources` stays.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TextIO

from m2e.cli.output_file import beside, convert, open_partial, partial_name, replace_with, writing
from m2e.errors import UsageError
from m2e.inputs import Source, identity

Format = Literal["json", "jsonl", "csv"]
Origin = dict[str, Any]  # the file of a record, its size and change time, and the settings


def origin(path: str, settings: Mapping[str, Any]) -> Origin:
    """What a record of `path` depends on; size and time are None for a URL."""
    file = identity(path)
    try:
        status = os.stat(file)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return {"file": file, "size": None, "mtime_ns": None, "settings": dict(settings)}
    return {"file": file, "size": status.st_size, "mtime_ns": status.st_mtime_ns, "settings": dict(settings)}


def refuse_to_lose(output: str) -> None:
    """Raises UsageError if a new run would overwrite the records of an interrupted one."""
    partial = partial_name(output)
    if os.path.isfile(partial) and os.path.getsize(partial):
        raise UsageError(f"{partial} holds records of an interrupted run: add --resume, or delete the file.")


def starts_again(output: str, form: Format) -> bool:
    """Whether there is a complete file that a resumed run cannot extend, and no partial one."""
    return form != "jsonl" and os.path.isfile(output) and not os.path.isfile(partial_name(output))


def earlier_records(
    output: str,
    sources: Iterable[Source],
    form: Format = "jsonl",
    settings: Mapping[str, Any] | None = None,
    outdated: dict[str, str] | None = None,
) -> dict[str, str]:
    """{identity: JSON line} of the records in the partial file and, for JSON Lines, in `output`.

    The last record of a track counts. Missing are failed tracks that are among `sources`, so that they are tried again,
    and those of `sources` whose file or settings have changed: `outdated` receives {identity: reason} of these.
    Raises UsageError if `output` is not JSON Lines of records.
    """
    target, known = os.path.realpath(output), read_origins(output)
    sources = list(sources)
    now = {identity(source.path): origin(source.path, settings or {}) for source in sources}
    once = {identity(source.path) for source in sources if source.copy}  # came through a pipe: another track every time
    earlier: dict[str, str] = {}
    changed: dict[str, str] = {}
    for name in ([target] if form == "jsonl" else []) + [partial_name(output)]:
        if not os.path.isfile(name):
            continue
        with open(name, encoding="utf-8", errors="replace", newline="\n") as lines:
            for line in lines:
                line = line.rstrip("\n") + "\n"
                try:
                    record = json.loads(line)
                    path, failed = identity(record["path"]), record["error"] is not None
                except (ValueError, KeyError, TypeError, AttributeError):
                    if name == target:
                        raise UsageError(f"{output} is not a file of records: choose another -o FILE.") from None
                    continue  # a line that was cut off when the run was killed
                made_from = known.get(digest(line))
                track = made_from["file"] if made_from else path
                if track not in now:
                    earlier[track] = line
                elif made_from and made_from != now[track]:
                    changed[track] = difference(made_from, now[track])
                elif not failed and track not in once:
                    earlier[track] = line
    if outdated is not None:
        outdated.update({track: reason for track, reason in changed.items() if track not in earlier})
    return earlier


def difference(old: Origin, new: Origin) -> str:
    """Why a record is predicted again: the end of a sentence."""
    before, after = old.get("settings") or {}, new["settings"]
    names = [name for name in before | after if before.get(name) != after.get(name)]
    return f"another {' and '.join(names).replace('_', ' ')}" if names else "their files have changed"


def digest(line: str) -> str:
    return hashlib.sha256(line.encode("utf-8", errors="backslashreplace")).hexdigest()[:32]


def sources_name(output: str) -> str:
    return beside(output, ".sources", hidden=True)


def read_origins(output: str) -> dict[str, Origin]:
    """{digest of a record's line: what it was made from}; a damaged line is ignored."""
    known: dict[str, Origin] = {}
    try:
        with open(sources_name(output), encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    entry = json.loads(line)
                    key = entry.pop("record")
                    known[key] = {name: entry[name] for name in ("file", "size", "mtime_ns", "settings")}
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue  # cut off by a kill
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageError(f"{sources_name(output)} cannot be read: {error.strerror or error}.") from error
    return known


class Journal:
    """The partial file of a run and the origins of its records."""

    def __init__(self, file: TextIO, origins: TextIO, settings: Mapping[str, Any], sources: Iterable[Source]):
        self.file = file
        self._origins = origins
        # as they are before the prediction: a file that changes meanwhile is predicted again
        self._now = {source.path: origin(source.path, settings) for source in sources}

    def note(self, source: Source, line: str) -> None:
        """To be called before `line` is written: says what this record is made from."""
        self._origins.write(json.dumps({"record": digest(line), **self._now[source.path]}) + "\n")
        self._origins.flush()


@contextmanager
def open_journal(
    output: str, form: Format, earlier: Iterable[str], settings: Mapping[str, Any], sources: Iterable[Source]
) -> Iterator[Journal]:
    """The journal of a run; when the block ends without an error, `output` is made from it. Raises UsageError."""
    kept = list(earlier)
    origins = sources_name(output)
    with writing(output):
        try:
            with open(origins, "a", encoding="utf-8") as notes, open_partial(output, kept) as file:
                if notes.tell():
                    notes.write("\n")  # a kill may have cut the last line off
                yield Journal(file, notes, settings, sources)
        finally:
            if os.path.exists(origins) and not os.path.getsize(origins):
                os.remove(origins)
        partial = partial_name(output)
        if form == "jsonl":
            known = read_origins(output)
            with open(partial, encoding="utf-8", newline="\n") as lines:
                keys = dict.fromkeys(map(digest, lines))
            entries = [json.dumps({"record": key, **known[key]}) + "\n" for key in keys if key in known]
            if entries:
                replace_with(origins, beside(output, ".sources.new", hidden=True), entries)
            os.replace(partial, os.path.realpath(output))
        else:
            with open(partial, encoding="utf-8", newline="\n") as lines:
                convert(output, rendered(lines, form, "tempo" in settings))
            if os.path.exists(origins):
                os.remove(origins)


def rendered(lines: Iterable[str], form: Format, tempo: bool = False) -> Iterator[str]:
    """The text of records, given as JSON lines, in another format.  tempo: as in `view`."""
    from m2e.views.records import view
    from modeling_m2e.record_m2e import record_of

    shown = view(form, tempo)
    for line in lines:
        yield shown.add(record_of(json.loads(line)))
    yield shown.end()
