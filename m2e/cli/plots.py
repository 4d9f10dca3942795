"""`--plot DIR`: a plot of every track, and one of all tracks on one plane."""

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from m2e.cli.output_file import writing
from m2e.errors import UsageError
from m2e.inputs import Source, identity

if TYPE_CHECKING:
    from modeling_m2e.record_m2e import FailedTrack, MusicEmotion

COMPARISON = "comparison"  # name of the plot of all tracks
# names that Windows keeps for devices, also with a suffix
DEVICES = {"con", "prn", "aux", "nul", *(f"{kind}{number}" for kind in ("com", "lpt") for number in range(10))}
MAX_NAME = 60  # characters of up to four bytes each; file systems allow 255 bytes


class Plots:
    """The plots of a run, in `folder`: `add` every record, then `end`.

    form: "png", "pdf" or "svg".  sources: all tracks of the command, so that a resumed run gives the same file names.
    Raises: UsageError without matplotlib, and for a file that cannot be written.
    """

    def __init__(self, folder: str, form: str, sources: Iterable[Source]):
        try:
            import matplotlib.figure  # noqa: F401
        except ImportError:
            raise UsageError('--plot needs matplotlib: install it with pip install "m2e[demo]".') from None
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot hold plots ({error.strerror}): give another --plot DIR.") from None
        self.folder, self.form = folder, form
        self._names = plot_names([source.path for source in sources])
        self._drawn: list[MusicEmotion] = []

    def add(self, source: Source, record: "MusicEmotion | FailedTrack") -> None:
        """Plots a track; skips a failed one."""
        if record.error is not None:
            return
        self._save([record], self._names[identity(source.path)])
        self._drawn.append(replace(record, moods=[], chords=None, curve=None))  # small: there may be many tracks

    def end(self) -> None:
        """Plots all tracks on one plane, if there are several."""
        if len(self._drawn) > 1:
            self._save(self._drawn, COMPARISON)

    def _save(self, records: "list[MusicEmotion]", name: str) -> None:
        from modeling_m2e.plot_m2e import figure, save

        file = os.path.join(self.folder, f"{name}.{self.form}")
        with writing(file):
            save(figure(records), file)


def plot_names(paths: Iterable[str]) -> dict[str, str]:
    """{identity: unique file name without suffix}; tracks of one name become `song`, `song-2`."""
    names: dict[str, str] = {}
    taken = {COMPARISON, *DEVICES}
    for path in paths:
        is_url = re.match(r"https?://", path, re.IGNORECASE)
        stem = os.path.splitext(os.path.basename(unquote(urlsplit(path).path) if is_url else path))[0]
        stem = re.sub(r"[^\w .()&,'+-]+", "_", stem).strip(" .")[:MAX_NAME] or "track"
        name, count = stem, 1
        while name.lower() in taken:  # some file systems ignore case
            count += 1
            name = f"{stem}-{count}"
        taken.add(name.lower())
        names[identity(path)] = name
    return names
