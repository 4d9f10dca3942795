"""The command line `m2e`. Results go to stdout, everything else to stderr.

Exit status: 0 success, 1 some files failed or could not be written, 2 wrong usage, 130 interrupted (Ctrl-C, SIGTERM or
SIGHUP). An error that is not an M2EError is a bug: it shows its traceback and exits with 1. Light to import: torch and
transformers are loaded with the model, after the arguments have been checked.
"""

import signal
import threading
from typing import Annotated

import typer

from m2e import __version__
from m2e.cli import (
    chords,
    demo,
    evaluate,
    export,
    features,
    library,
    merge,
    playlist,
    predict,
    report,
    serve,
    similar,
    tag,
)

app = typer.Typer(
    help="Predict the emotion of music: moods, valence and arousal, key and chords of audio files.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The console script."""
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):  # end as with Ctrl-C, which removes temporary files and keeps the results
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores SIGHUP
                signal.signal(number, signal.default_int_handler)
    app()


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print("m2e", __version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


for command in (
    predict.predict,
    merge.merge,
    chords.chords,
    demo.demo,
    evaluate.evaluate,
    export.export,
    features.features,
    similar.similar,
    playlist.playlist,
    tag.tag,
    report.report,
    serve.serve,
    serve.mcp,
):
    app.command()(command)
app.add_typer(library.app, name="library")
