"""`m2e similar`: the tracks of a library that are most like one."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from m2e.cli.options import Database, Device, Model
from m2e.cli.track_output import Form, Null, Output, Relative, chosen_form, refuse, write_tracks
from m2e.errors import M2EError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from m2e.library.database import Library


def similar(
    tracks: Annotated[list[str], typer.Argument(metavar="FILE|ID", help="Audio files, or ids of tracks.")],
    database: Database = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, metavar="N", help="Show N tracks.")] = 10,
    model: Model = None,
    device: Device = "auto",
    form: Form = None,
    output: Output = None,
    relative: Relative = None,
    null: Null = False,
) -> None:
    """Find the tracks that are most like one, or like several together, by the embeddings of the model.

    A FILE that is not in the library is predicted first; --model must then be the model of the library.
    """
    from m2e.library.database import Library
    from m2e.library.selection import find_track
    from m2e.library.similarity import embeddings_of, nearest

    try:
        form = chosen_form(form, output, null)
        with Library.open(database) as library:
            ids, matrix = library.embeddings()
            if not len(ids):
                raise UsageError("the library has no tracks: scan a folder with m2e library scan DIR.")
            queries, known = [], []
            for text in tracks:
                if os.path.isfile(text) and library.find(text) is None:
                    queries.append(_embedding(library, text, model, device)[None].astype(matrix.dtype))
                else:
                    known.append(find_track(library, text).id)
                    queries.append(embeddings_of(ids, matrix, known[-1:]))
            found = nearest(ids, matrix, _stacked(queries), known, count)
            write_tracks(library.tracks([key for key, _ in found]), form, output, relative, null)
    except M2EError as error:
        refuse(error)


def _embedding(library: "Library", path: str, model: str | None, device: str) -> "np.ndarray":
    """The embedding of a file by the model of the library. Raises: UsageError, ModelError, AudioError."""
    from m2e.library.scan import settings_of

    settings, _ = library.counts_of_settings()[0]
    chosen = settings.get("window"), settings.get("harmony", True), settings.get("tempo", False)
    if settings != settings_of(model, *chosen):
        raise UsageError(
            f"{path} is not in the library, which was made by another model ({settings.get('model')}): "
            "scan its folder, or give that --model."
        )
    return _predicted(path, model, device, settings.get("window"))


def _predicted(path: str, model: str | None, device: str, window: float | None) -> "np.ndarray":
    from m2e.checkpoints.load import load

    return load(model, device=device, window=window, harmony=False, include_embedding=True)(path).embedding


def _stacked(rows: "list[np.ndarray]") -> "np.ndarray":
    import numpy as np

    return np.concatenate(rows)
