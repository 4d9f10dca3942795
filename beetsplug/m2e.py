"""The beets plugin `m2e`: moods, valence, arousal and key as fields of items, on import and by `beet m2e`.

    plugins: m2e

    beet m2e                      # predict what has no valence yet
    beet ls valence:6.. mood:calm

beets itself writes the fields into the tags, whenever it writes tags. Records of the library database are used, so that
a scanned library needs no prediction. docs/tags.md describes the settings.
"""

import optparse
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import mediafile
from beets import config, ui
from beets.dbcore import types
from beets.importer import ImportSession, ImportTask
from beets.library import Item, Library
from beets.plugins import BeetsPlugin
from beets.util import syspath

from m2e.errors import M2EError
from m2e.inputs import Source, identity
from m2e.library.tagging.answers import known_answers
from m2e.library.tagging.key_notation import written_key

NUMBERS = ("valence", "arousal")
ATTRIBUTES = ("energy", "danceability", "acousticness", "instrumentalness", "liveness", "speechiness")
MIN_KEY_CONFIDENCE = 0.5  # as in the built-in mapping of m2e tag


class M2EPlugin(BeetsPlugin):
    item_types = {"mood": types.SEMICOLON_SPACE_DSV, **dict.fromkeys((*NUMBERS, *ATTRIBUTES), types.NullFloat(4))}

    def __init__(self) -> None:
        super().__init__()
        self.config.add({"auto": True, "force": False, "model": None, "device": "auto", "library": None})
        self._lock = threading.Lock()  # beets imports in several threads
        self._model: Any = None
        for name in (*NUMBERS, *ATTRIBUTES):
            self.add_media_field(name, number_field(name.upper()))
        self.add_media_field("mood", mood_field(config["id3v23"].get(bool)))
        if self.config["auto"].get(bool):
            self.import_stages = [self.imported]

    def commands(self) -> list[ui.Subcommand]:
        command = ui.Subcommand("m2e", help="predict moods, valence and arousal")
        parser = command.parser
        parser.add_option("-f", "--force", action="store_true", help="also predict items that have a valence")
        parser.add_option("-w", "--write", action="store_true", default=None, help="write the fields into the tags")
        parser.add_option("-W", "--nowrite", action="store_false", dest="write", help="do not write tags")
        command.func = self.command
        return [command]

    def command(self, library: Library, options: optparse.Values, arguments: list[str]) -> None:
        force = options.force or self.config["force"].get(bool)
        self.predict(library.items(arguments), force, write=ui.should_write(options.write))

    def imported(self, session: ImportSession, task: ImportTask) -> None:
        self.predict(task.imported_items(), self.config["force"].get(bool), write=False)  # beets writes at the end

    def predict(self, items: Sequence[Item], force: bool, write: bool) -> None:
        """Sets the fields of all items; one that fails is logged."""
        todo = [item for item in items if force or item.get("valence") is None]
        paths = [syspath(item.path) for item in todo]
        try:
            answers = known_answers(paths, database=self.config["library"].get()) if todo else {}
            for item, path in zip(todo, paths, strict=True):
                values = answers.get(identity(path)) or self.record(path)
                if values.get("error"):
                    self._log.error("{}", values["error"])
                    continue
                item.update(fields_of(values, item))
                self._log.info("{}: valence {:.1f}, arousal {:.1f}", item, item["valence"], item["arousal"])
                if write:
                    item.try_write()
                item.store()
        except M2EError as error:
            raise ui.UserError(str(error)) from error

    def record(self, path: str) -> Mapping[str, Any]:
        """The values of the record of a file. Raises M2EError if the model cannot be loaded."""
        from m2e.workers import predict_one

        with self._lock:
            if self._model is None:
                from m2e import load

                self._model = load(self.config["model"].get(), device=self.config["device"].get())
            return predict_one(self._model, Source(path)).to_dict()


def fields_of(values: Mapping[str, Any], item: "Item | Mapping[str, Any]") -> dict[str, Any]:
    """The fields of an item from the values of a record. A key and a tempo that the item has are kept."""
    attributes = values.get("attributes") or {}
    fields = {name: values[name] for name in NUMBERS} | {"mood": list(values["selected_moods"])}
    fields |= {name: attributes[name] for name in ATTRIBUTES if attributes.get(name) is not None}
    key, tempo = values.get("key"), values.get("tempo") or attributes.get("tempo")
    if key and key["confidence"] >= MIN_KEY_CONFIDENCE and not item.get("initial_key"):
        fields["initial_key"] = written_key(key["tonic"], key["mode"])
    if tempo and not item.get("bpm"):
        fields["bpm"] = round(tempo)
    return fields


# --- how beets writes the fields ---


def number_field(tag: str) -> mediafile.MediaField:
    return mediafile.MediaField(
        mediafile.MP3DescStorageStyle(tag, float_places=2),
        mediafile.MP4StorageStyle(f"----:com.apple.iTunes:{tag}", float_places=2),
        mediafile.StorageStyle(tag, float_places=2),
        mediafile.ASFStorageStyle(tag, float_places=2),
        out_type=float,
    )


def mood_field(id3v23: bool) -> mediafile.ListMediaField:
    """The frame of moods is new in ID3v2.4."""
    return mediafile.ListMediaField(
        mediafile.MP3ListDescStorageStyle("MOOD", split_v23=True) if id3v23 else mediafile.MP3ListStorageStyle("TMOO"),
        mediafile.MP4ListStorageStyle("----:com.apple.iTunes:MOOD"),
        mediafile.ListStorageStyle("MOOD"),
        mediafile.ASFStorageStyle("WM/Mood"),
    )
