"""`m2e chords`: chords and key of tracks as charts, .lab, JSON and MIDI files."""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from m2e.cli.options import (
    MAX_DURATION,
    MaxDuration,
    Paths,
    Timeout,
    Verbose,
    end_of_pipe,
    interrupted,
    tell_failures,
    tell_skipped,
)
from m2e.cli.output_file import beside, is_special, open_output, writing
from m2e.errors import M2EError, UsageError
from m2e.inputs import Source, collect
from m2e.terminal import fail, is_terminal, progress, terminal_width

if TYPE_CHECKING:
    from m2e.checkpoints.chords import ChordPipeline
    from modeling_m2e.record_m2e import FailedTrack, TrackHarmony

Format = Literal["chart", "lab", "json"]
Style = Literal["harte", "paper"]
SUFFIXES: dict[Format, str] = {"chart": ".txt", "lab": ".lab", "json": ".json"}  # of the files in a folder
FORMATS = {suffix: form for form, suffix in SUFFIXES.items()}


def chords(
    paths: Paths,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="Choose the format. lab: start, end, label; json: an object per track.",
            show_default="suffix of FILE, or chart",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER",
            help="Write to FILE, or one file per track into FOLDER.",
            show_default="stdout",
        ),
    ] = None,
    midi: Annotated[
        str | None,
        typer.Option(metavar="FILE|FOLDER", help="Also write the chords as MIDI (needs pretty_midi)."),
    ] = None,
    decoding: Annotated[
        Literal["smooth", "paper"] | None,
        typer.Option(
            help="Choose the decoding. smooth: Viterbi with key context; paper: each frame alone, as published.",
            show_default="the model's",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|REPO|PT",
            help="Use the model in this folder or hub repo, or this BTC checkpoint.",
            show_default="m2e-small",
        ),
    ] = None,
    style: Annotated[
        Style, typer.Option(help="Write major triads in .lab as C:maj (harte) or as C (paper).")
    ] = "harte",
    max_duration: MaxDuration = MAX_DURATION,
    timeout: Timeout = None,
    verbose: Verbose = False,
) -> None:
    """Recognise the chords and the key of music.

    A name with a suffix (song.lab) is a FILE, any other a FOLDER, which is created if needed. A track that fails gets
    a message on stderr; the run continues.
    """
    output = None if output == "-" else output
    form = form or FORMATS.get(os.path.splitext(output or "")[1].lower(), "chart")
    try:
        skipped: dict[str, str] = {}
        sources = collect(paths, skipped)
        if not sources:
            raise UsageError("there is nothing to read: stdin is empty.")
        if output is None and sys.stdout is None:
            raise UsageError("stdout is closed: add -o FILE or FOLDER.")
        texts = None if output is None else places(output, sources, SUFFIXES[form])
        midis = {} if midi is None else places(midi, sources, ".mid")
        if set(map(os.path.realpath, midis.values())) & set(map(os.path.realpath, (texts or {}).values())):
            raise UsageError(f"{output} cannot hold both text and MIDI: choose another --midi FILE.")
    except UsageError as error:
        fail(str(error))
    except KeyboardInterrupt:
        interrupted()
    tell_skipped(skipped, verbose)

    from m2e.views.chords import midi_library
    from m2e.workers import predictions

    try:
        if midi is not None:
            midi_library()
    except ImportError as error:
        fail(str(error))
    try:
        with predictions(partial(load, model, decoding, max_duration, timeout), sources) as records:
            failures = write(records, sources, texts, midis, form, style)
    except UsageError as error:
        fail(str(error), 1)
    except M2EError as error:
        fail(str(error))
    except BrokenPipeError:
        end_of_pipe()
    except KeyboardInterrupt:
        interrupted()
    tell_failures(failures, len(sources))


def load(model: str | None, decoding: str | None, max_duration: float, timeout: float | None) -> "ChordPipeline":
    from m2e.checkpoints.light_imports import import_lightly

    import_lightly("modeling_m2e")
    from m2e.checkpoints.chords import load_chords

    return load_chords(model, decoding, max_duration, timeout)


def write(
    records: "Iterator[TrackHarmony | FailedTrack]",
    sources: Sequence[Source],
    texts: Mapping[str, str] | None,
    midis: Mapping[str, str],
    form: Format,
    style: Style,
) -> list[str]:
    """Writes every record; returns the sentences of the failed tracks.

    texts, midis: the file of each path. If texts is None, text goes to stdout.
    """
    from m2e.views.chords import to_midi

    failures: list[str] = []
    several = len(sources) > 1
    visible = (
        several and is_terminal(sys.stderr) and not (texts is None and is_terminal(sys.stdout))
    )  # not among results
    with (
        nullcontext() if texts is not None else open_output(None, for_people=form == "chart") as stdout,
        progress(len(sources), visible) as begin,
    ):
        for index, source in enumerate(sources):
            begin(index, source.path)
            record = next(records)
            if record.error is not None:
                failures.append(record.error)
            if stdout is not None:
                stdout.write(shown(record, form, style, several))
                stdout.flush()
            if record.error is not None:
                continue
            try:
                if texts is not None:
                    write_file(texts[source.path], text(record, form, style))
                if midis:
                    write_file(midis[source.path], to_midi(record))
            except UsageError as error:  # of this file only
                failures.append(str(error))
    return failures


def shown(record: "TrackHarmony | FailedTrack", form: Format, style: Style, several: bool) -> str:
    """The text of a record for stdout, one of `several` or alone. A failed track is only shown as JSON."""
    from m2e.views.chords import to_json
    from m2e.views.records import printable

    if record.error is not None:
        return to_json(record) if form == "json" else ""
    heading = f"# {printable(record.path)}\n" if several and form == "lab" else ""
    return heading + text(record, form, style, is_terminal(sys.stdout)) + ("\n" if several and form == "chart" else "")


def text(record: "TrackHarmony", form: Format, style: Style, color: bool = False) -> str:
    from m2e.views.chords import to_chart, to_json, to_lab

    if form == "chart":
        return to_chart(record, terminal_width(), color)
    return to_json(record) if form == "json" else to_lab(record, style)


# --- where files go ---


def places(place: str, sources: Sequence[Source], suffix: str) -> dict[str, str]:
    """{path of a track: its output file}, without unreadable tracks. A FOLDER gets the layout of the tracks.

    Raises UsageError if FILE or FOLDER cannot be written, or if a file would overwrite a track or another output.
    """
    paths = [source.path for source in sources if source.error is None]
    if not os.path.isdir(place) and (os.path.exists(place) or os.path.splitext(place)[1]):
        if len(sources) > 1:
            raise UsageError(f"{place} is one file for {len(sources)} tracks: give a folder.")
        files = dict.fromkeys(paths, place)
        _check_writable(place)
    else:
        _check_writable(os.path.join(place, "name"))
        files = {path: os.path.join(place, name + suffix) for path, name in below_their_folder(paths).items()}
        if len(set(files.values())) < len(files):
            raise UsageError("two tracks would get the same file in FOLDER: run the command once for each of them.")
    inputs = {os.path.realpath(source.path) for source in sources}
    for file in files.values():
        if os.path.realpath(file) in inputs:
            raise UsageError(f"{file} is one of the files to read: choose another output.")
    return files


def _check_writable(file: str) -> None:
    if os.path.exists(file):
        return
    folder = os.path.dirname(os.path.abspath(file))
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise UsageError(f"{file} cannot be written: {folder} is not a folder that you may write to.")


def below_their_folder(paths: Sequence[str]) -> dict[str, str]:
    """{path: its name relative to the common folder}, without suffix unless two tracks differ only by that."""
    if not paths:
        return {}
    tracks = [os.path.abspath(path) for path in paths]
    drives = {os.path.splitdrive(track)[0] for track in tracks}
    if len(drives) == 1:
        base = os.path.commonpath([os.path.dirname(track) for track in tracks])
        names = [os.path.relpath(track, base) for track in tracks]
    else:  # drives of Windows have no common folder: a folder for each, C or servershare
        names = [re.sub(r"[\\/:]", "", drive) + rest for drive, rest in map(os.path.splitdrive, tracks)]
    stems = [os.path.splitext(name)[0] for name in names]
    count = Counter(stems)
    return {path: stem if count[stem] == 1 else name for path, name, stem in zip(paths, names, stems, strict=True)}


def write_file(path: str, content: str | bytes) -> None:
    """Writes a whole file, and its folder if needed. Raises UsageError."""
    # undecodable bytes of a file name become \udcff, as in JSON
    data = content if isinstance(content, bytes) else content.encode("utf-8", errors="backslashreplace")
    target = os.path.realpath(path)
    special = is_special(target)
    place = target if special else beside(target, f".{os.getpid()}.partial")
    with writing(path):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            with open(place, "wb") as file:
                file.write(data)
            if not special:
                os.replace(place, target)
        except BaseException:
            if not special and os.path.exists(place):
                os.remove(place)
            raise
