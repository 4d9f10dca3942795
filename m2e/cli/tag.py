"""`m2e tag`: predictions in the tags of audio files."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from m2e.cli.options import (
    MAX_DURATION,
    Database,
    Device,
    Model,
    Tempo,
    Verbose,
    end_of_pipe,
    interrupted,
    tell_failures,
    tell_skipped,
)
from m2e.cli.predict import load_model
from m2e.errors import AudioError, M2EError, UsageError, WorkerError
from m2e.inputs import Source, collect, identity
from m2e.terminal import fail, is_terminal, progress, tell

if TYPE_CHECKING:
    from m2e.library.tagging.answers import Values
    from m2e.library.tagging.journal import Journal
    from m2e.library.tagging.mapping import Rule


def tag(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Files, folders (searched for audio), globs or playlists."),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the tags. Without it, only show the changes.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Restore the files as they were before their last write, bit for bit.")
    ] = False,
    records: Annotated[
        str | None, typer.Option(metavar="FILE", help="Take the answers from this output of m2e predict.")
    ] = None,
    database: Database = None,
    predict: Annotated[
        bool, typer.Option("--predict/--no-predict", help="Predict tracks that have no answer yet.")
    ] = True,
    mapping: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Read from FILE which tags to write.", show_default="built in"),
    ] = None,
    print_mapping: Annotated[
        bool, typer.Option("--print-mapping", help="Print the built-in mapping, to begin your own, and exit.")
    ] = False,
    keep_times: Annotated[
        bool, typer.Option("--keep-times", help="Keep the time of the last change of the files.")
    ] = False,
    journal: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Keep the journal of all writes in FILE.", show_default="in your data folder"
        ),
    ] = None,
    model: Model = None,
    device: Device = "auto",
    tempo: Tempo = False,
    workers: Annotated[
        int, typer.Option(min=1, metavar="N", help="Predict in N processes, each with its own model.")
    ] = 1,
    verbose: Verbose = False,
) -> None:
    """Write moods, key, valence, arousal and attributes into the tags of audio files.

    Without --write it only shows what would change. A file is replaced as a whole, after its earlier state is in the
    journal, from which --undo restores it. Audio, other tags and pictures stay as they are.
    """
    from m2e.library.tagging.answers import known_answers
    from m2e.library.tagging.formats import check_names
    from m2e.library.tagging.journal import open_journal
    from m2e.library.tagging.mapping import default_text, read_mapping

    if print_mapping:
        print(default_text(), end="")
        return
    skipped: dict[str, str] = {}
    with ExitStack() as stack:
        try:
            if not paths:
                raise UsageError("name the files or folders to tag.")
            if undo and write:
                raise UsageError("--undo writes by itself: remove --write.")
            rules = read_mapping(mapping)
            check_names(rules)
            sources = collect(paths, skipped)
            tell_skipped(skipped, verbose)
            book = stack.enter_context(open_journal(Path(journal or default_journal()))) if write or undo else None
            if undo and book is not None:
                failures = restore(sources, book, keep_times)
            else:
                answers = known_answers([source.path for source in sources], records, database)
                load = partial(load_model, model, device, None, None, needs_harmony(rules), False, MAX_DURATION, None)
                load = partial(load, tempo=tempo)
                values = stack.enter_context(all_values(sources, answers, load if predict else None, workers))
                failures = tag_all(sources, values, rules, book, keep_times)
        except WorkerError as error:
            fail(str(error), 1)
        except M2EError as error:
            fail(str(error))
        except BrokenPipeError:
            end_of_pipe()
        except KeyboardInterrupt:
            interrupted("Every file is either as it was or completely written.")
    tell_failures(failures, len(sources))


def default_journal() -> str:
    """The journal in the user's data folder."""
    from platformdirs import user_data_path

    return str(user_data_path("m2e", appauthor=False) / "tags.db")


def needs_harmony(rules: "Sequence[Rule]") -> bool:
    """Whether a prediction must recognise chords and key, which takes most of its time."""
    return any(rule.value == "key" for rule in rules)


# --- the answers ---


@contextmanager
def all_values(
    sources: Sequence[Source], answers: "dict[str, Values]", load: Callable[[], Any] | None, workers: int
) -> "Iterator[Iterator[Values | str]]":
    """For every source the values of its record, or the sentence that says why there is none.

    load: gives the model for sources without an answer; None to leave them alone.
    """
    untold = [source for source in sources if _cannot_be_tagged(source) is None and _key(source) not in answers]
    if load is None or not untold:
        yield (answers.get(_key(source)) or _cannot_be_tagged(source) or _unanswered(source) for source in sources)
        return

    from m2e.workers import predictions

    tell(f"{len(untold)} of {len(sources)} files have no answer yet and are predicted.")
    with predictions(load, untold, workers) as predicted:

        def one(source: Source) -> "Values | str":
            if sentence := _cannot_be_tagged(source):
                return sentence
            if _key(source) in answers:
                return answers[_key(source)]
            record = next(predicted)
            return record.to_dict() if record.error is None else record.error

        yield map(one, sources)


def _key(source: Source) -> str:
    return identity(source.path)


def _cannot_be_tagged(source: Source) -> str | None:
    if source.error is None and (source.copy is not None or not os.path.exists(source.path)):
        return f"{source.path}: only files have tags."
    return source.error


def _unanswered(source: Source) -> str:
    return f"{source.path}: has no answer: scan it with m2e library scan, or remove --no-predict."


# --- the files ---


def tag_all(
    sources: Sequence[Source],
    values: "Iterator[Values | str]",
    rules: "Sequence[Rule]",
    book: "Journal | None",
    keep_times: bool,
) -> list[str]:
    """Prints the changes of all files, and writes them if there is a journal; returns the sentences of failures."""
    from m2e.library.tagging.write import plan
    from m2e.library.tagging.write import write as write_plan
    from m2e.views.tags import TagDiff

    diff = TagDiff(is_terminal(sys.stdout))
    failures, changed = [], 0
    with progress(len(sources), is_terminal(sys.stderr) and not is_terminal(sys.stdout)) as begin:
        for index, source in enumerate(sources):
            begin(index, source.path)
            record = next(values)
            try:
                if isinstance(record, str):
                    raise AudioError(record)
                planned = plan(source.path, record, rules)
                if book is not None:
                    write_plan(planned, book, keep_times)
            except AudioError as error:
                failures.append(str(error))
                continue
            changed += bool(planned.changed)
            print(diff.add(planned), end="", flush=True)
    same = len(sources) - changed - len(failures)
    tell(summary(changed, same, written=book is not None))
    return failures


def summary(changed: int, same: int, written: bool) -> str:
    """The last sentence."""
    already = f" {files(same, 'has', 'have')} these tags already." if same else ""
    if written:
        return f"{files(changed, 'was', 'were')} written.{already}" + (" --undo restores." if changed else "")
    return f"{files(changed)} would change.{already}" + (" Add --write to write the tags." if changed else "")


def files(count: int, one: str = "", many: str = "") -> str:
    return f"{count} file{'' if count == 1 else 's'} {one if count == 1 else many}".rstrip()


def restore(sources: Sequence[Source], book: "Journal", keep_times: bool) -> list[str]:
    """Undoes the last write to each file, and prints which; returns the sentences of failures."""
    from m2e.library.tagging.write import undo
    from m2e.views.records import printable

    failures, restored = [], 0
    for source in sources:
        try:
            if sentence := _cannot_be_tagged(source):
                raise AudioError(sentence)
            undone = undo(source.path, book, keep_times)
        except AudioError as error:
            failures.append(str(error))
            continue
        if undone is not None:
            restored += 1
            when = undone.time[:16].replace("T", " ")
            how = "restored as it was" if undone.whole else f"changed since; {', '.join(undone.tags)} are as they were"
            print(f"{printable(source.path)}: {how} before {when} UTC", flush=True)
    same = len(sources) - restored - len(failures)
    nothing = f" There is nothing to undo for {files(same)}." if same else ""
    tell(f"{files(restored, 'was', 'were')} restored.{nothing}")
    return failures
