"""`m2e chords`: the chords and key of tracks, as charts, .lab, JSON and MIDI files."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from m2e.cli.options import Paths
from m2e.errors import ModelError, UsageError
from m2e.inputs import Source, collect, open_output
from m2e.terminal import fail, progress, tell, terminal_width

if TYPE_CHECKING:
    from modeling_m2e import MusicEmotion

SUFFIXES = {"chart": ".txt", "lab": ".lab", "json": ".json"}  # of the files in a folder
FORMATS = {suffix: form for form, suffix in SUFFIXES.items()}


def chords(
    paths: Paths,
    form: Annotated[
        Literal["chart", "lab", "json"] | None,
        typer.Option(
            "--format", help="lab: start, end, label; json: an object per track.", show_default="as FILE, or chart"
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
        typer.Option(help="smooth: chords of plausible duration; paper: as published.", show_default="the model's"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|REPO|PT", help="Folder or hub repo of a model, or a BTC checkpoint.", show_default="m2e-small"
        ),
    ] = None,
    style: Annotated[
        Literal["harte", "paper"], typer.Option(help="Major triads in .lab: C:maj, or as published, C.")
    ] = "harte",
) -> None:
    """Recognise the chords and the key of music.

    A name with a suffix (song.lab) is a FILE, any other a FOLDER, made where it is missing. A failed track is a
    sentence on stderr; the others go on.
    """
    output = None if output == "-" else output
    form = form or FORMATS.get(os.path.splitext(output or "")[1].lower(), "chart")
    try:
        sources = collect(paths)
        if not sources:
            raise UsageError("there is nothing to read: stdin named no track.")
        texts = None if output is None else places(output, sources, SUFFIXES[form])
        midis = {} if midi is None else places(midi, sources, ".mid")
        if set(map(os.path.realpath, midis.values())) & set(map(os.path.realpath, (texts or {}).values())):
            raise UsageError(f"{output} cannot hold both text and MIDI: choose another --midi FILE.")
    except UsageError as error:
        fail(str(error))

    from m2e.views.chords import midi_library
    from m2e.workers import predictions

    try:
        if midi is not None:
            midi_library()
        with predictions(partial(load, model, decoding), sources) as records:
            failures = write(records, sources, texts, midis, form, style)
    except (ModelError, ImportError) as error:
        fail(str(error))
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        tell("interrupted.")
        raise typer.Exit(130) from None
    except OSError as error:
        fail(f"{error.filename or output or 'stdout'} cannot be written: {error.strerror or error}.", 1)
    if failures and len(sources) > 1:
        tell(f"{len(failures)} of {len(sources)} files failed:")
    for sentence in failures:
        tell(sentence)
    if failures:
        raise typer.Exit(1)


def load(model: str | None, decoding: str | None):
    from m2e.checkpoints.chords import load_chords

    return load_chords(model, decoding)


def write(
    records: Iterator["MusicEmotion"],
    sources: Sequence[Source],
    texts: Mapping[str, str] | None,
    midis: Mapping[str, str],
    form: str,
    style: str,
) -> list[str]:
    """The sentences of the failed tracks, once all others are written.

    texts, midis: the file of each path; texts None: all goes to stdout.
    """
    from m2e.views.chords import to_midi

    failures, several = [], len(sources) > 1
    visible = several and sys.stderr.isatty() and not (texts is None and sys.stdout.isatty())  # one of them at a time
    with open_output(None, to_be_read=form == "chart") as stdout, progress(len(sources), visible) as begin:
        for index, source in enumerate(sources):
            begin(index, source.path)
            record = next(records)
            if record.error is not None:
                failures.append(record.error)
            if texts is None:
                stdout.write(shown(record, form, style, several))
                stdout.flush()
            elif record.error is None:
                write_file(texts[source.path], text(record, form, style))
            if midis and record.error is None:
                write_file(midis[source.path], to_midi(record))
    return failures


def shown(record: "MusicEmotion", form: str, style: str, several: bool) -> str:
    """What stdout gets of a record, among others if `several`. Only JSON tells of a failed track."""
    from m2e.views.records import printable

    if record.error is not None and form != "json":
        return ""
    heading = f"# {printable(record.path)}\n" if several and form == "lab" else ""
    return heading + text(record, form, style, sys.stdout.isatty()) + ("\n" if several and form == "chart" else "")


def text(record: "MusicEmotion", form: str, style: str, color: bool = False) -> str:
    from m2e.views.chords import to_chart, to_json, to_lab

    if form == "chart":
        return to_chart(record, terminal_width(), color)
    return to_json(record) if form == "json" else to_lab(record, style)


# --- where files go ---


def places(place: str, sources: Sequence[Source], suffix: str) -> dict[str, str]:
    """{path of a track: file for it}, for tracks without error; a FOLDER is laid out as they are.

    Raises UsageError where a file cannot be written or would be lost.
    """
    paths = [source.path for source in sources if source.error is None]
    if not os.path.isdir(place) and (os.path.exists(place) or os.path.splitext(place)[1]):
        if len(sources) > 1:
            raise UsageError(f"{place} is one file for {len(sources)} tracks: give a folder.")
        files = dict.fromkeys(paths, place)
    else:
        files = {path: os.path.join(place, name + suffix) for path, name in below_their_folder(paths).items()}
        if len(set(files.values())) < len(files):
            raise UsageError("two tracks have names that differ by a suffix too many for one FOLDER: give them apart.")
    inputs = {os.path.realpath(source.path) for source in sources}
    for file in files.values():
        if os.path.realpath(file) in inputs:
            raise UsageError(f"{file} is one of the files to read: choose another place.")
        if not os.path.exists(file):
            folder = os.path.dirname(os.path.abspath(file))
            while not os.path.exists(folder):
                folder = os.path.dirname(folder)
            if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
                raise UsageError(f"{file} cannot be written: {folder} is no folder of yours.")
    return files


def below_their_folder(paths: Sequence[str]) -> dict[str, str]:
    """{path: its name below the folder of all}, without suffix unless that is what tells two tracks apart."""
    if not paths:
        return {}
    tracks = [os.path.abspath(path) for path in paths]
    base = os.path.commonpath([os.path.dirname(track) for track in tracks])
    names = [os.path.relpath(track, base) for track in tracks]
    stems = [os.path.splitext(name)[0] for name in names]
    count = Counter(stems)
    return {path: stem if count[stem] == 1 else name for path, name, stem in zip(paths, names, stems, strict=True)}


def write_file(path: str, content: str | bytes) -> None:
    """Writes a whole file or none."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open_output(path) as file:
        if isinstance(content, bytes):
            file.buffer.write(content)
        else:
            file.write(content)
