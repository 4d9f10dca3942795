"""What a scan does with one file, in the process of a worker: identify it, read its tags, predict, and store all this.

Workers write to the database themselves, so that a kill loses only the tracks in work.
"""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from m2e.errors import LibraryError, M2EError
from m2e.inputs import Source
from m2e.library.content import content_hash
from m2e.library.database import FileState, KnownFile, Library
from m2e.library.file_tags import read_tags
from m2e.library.track import Tags
from m2e.workers import sentence_of

if TYPE_CHECKING:
    from modeling_m2e.record_m2e import MusicEmotion

    Predict = Callable[[str], MusicEmotion]


class Outcome(NamedTuple):
    """What became of a file.

    what: "gone" means that it was removed during the scan.  sentence: why it failed.
    fatal: an error of the model or of the database, which ends the scan.
    """

    path: str
    what: Literal["predicted", "known", "failed", "gone"]
    sentence: str | None = None
    fatal: M2EError | None = None


class Analyzer:
    """Takes real paths of files. `load` is called when the first file needs a prediction.

    retry: whether tracks that failed with these settings are predicted again.
    Raises: LibraryError.
    """

    def __init__(self, database: str, settings: Mapping[str, Any], load: "Callable[[], Predict]", retry: bool = False):
        self._library = Library.open(database)
        self._settings_id = self._library.settings_id(settings)
        self._load, self._retry = load, retry
        self._predict: Predict | None = None

    def __del__(self) -> None:
        if hasattr(self, "_library"):
            self._library.close()

    def __call__(self, path: str) -> Outcome:
        try:
            return self._analyze(path)
        except LibraryError as error:
            return Outcome(path, "failed", fatal=error)

    def _analyze(self, path: str) -> Outcome:
        try:
            state = FileState.of(os.stat(path))
        except FileNotFoundError:
            return Outcome(path, "gone")
        except OSError as error:
            return self._unreadable(path, FileState(0, 0, 0, 0), error)
        known = self._known(path, state)
        if known is not None and known.track_id is not None:
            track_id = known.track_id
        else:
            try:
                content, tags = content_hash(path), read_tags(path)
            except OSError as error:
                return self._unreadable(path, state, error)
            track_id = self._library.content_id(content)
            self._library.put_file(path, state, track_id, tags)
        return self._predicted(path, track_id)

    def _known(self, path: str, state: FileState) -> KnownFile | None:
        """What is known of a file that has not changed, perhaps under another path."""
        known = self._library.file(path)
        if known is not None:
            return known if known.state.same_content(state) else None
        for other in self._library.files_like(state):
            if not os.path.lexists(other.path) and self._library.move_file(other.path, path):
                return other._replace(path=path)
        return None

    def _unreadable(self, path: str, state: FileState, error: OSError) -> Outcome:
        sentence = f"{path}: {sentence_of(error, Source(path))}"
        self._library.put_file(path, state, None, Tags(), sentence)
        return Outcome(path, "failed", sentence)

    def _predicted(self, path: str, track_id: int) -> Outcome:
        # asked here, as another scan or another file of the same content may have been faster
        if self._library.is_tried(track_id, self._settings_id, failed=not self._retry):
            file = self._library.file(path)
            if file is None or file.error is None:
                return Outcome(path, "known")
            return Outcome(path, "failed", f"{path}: {file.error}")  # a copy of a file that failed
        if self._predict is None:
            try:
                self._predict = self._load()
            except M2EError as error:
                return Outcome(path, "failed", fatal=error)
        try:
            record = self._predict(path)
        except Exception as error:  # one track must not end a scan
            reason = sentence_of(error, Source(path)).removeprefix(f"{path}: ")  # it may have copies
            self._library.put_failure(track_id, reason, self._settings_id)
            return Outcome(path, "failed", reason if path in reason else f"{path}: {reason}")
        self._library.put_record(track_id, record, self._settings_id)
        return Outcome(path, "predicted")
