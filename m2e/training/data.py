"""Inputs of a training: encoder and chord recogniser, data sets, their features and labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object
from datasets import Dataset

from m2e.checkpoints.convert_taggers import convert_taggers
from m2e.checkpoints.load import embedded_model, load
from m2e.datasets import read_dataset
from m2e.datasets.archive import IncompleteCopy
from m2e.datasets.protocols import apply_protocol
from m2e.errors import DataError, TrainingError
from m2e.evaluation.data import Emotions, labels_of
from m2e.features.cache import audio_files, compute, feature_cache
from m2e.terminal import pace
from m2e.training.network import preset
from m2e.training.packed import LabelledTracks, PackedFeatures, pack
from m2e.training.recipe import START, Recipe
from m2e.training.soft_labels import SoftLabels, read_soft_labels
from modeling_m2e import DistilledEncoder, M2EForMusicEmotion, M2EProcessor, MertEncoder, TaggerEncoder
from modeling_m2e.chords_m2e import ChordRecognizer
from modeling_m2e.configuration_m2e import JAMENDO_MOODS
from modeling_m2e.encoder_m2e import Encoder, load_encoder
from modeling_m2e.weights_m2e import halve_weights


@dataclass(frozen=True)
class Material:
    """A data set and its features; row i of both is one track.

    folder: of the data set.  read_ids: of all its tracks as they are read, before any is skipped.
    """

    name: str
    dataset: Dataset
    features: PackedFeatures
    folder: str = ""
    read_ids: Sequence[str] = ()

    def rows(self, split: str) -> np.ndarray:
        """The tracks of a split."""
        return np.flatnonzero(np.array(self.dataset["split"][:]) == split)

    def labels(self, moods: Sequence[str]) -> Emotions:
        """Of all tracks, for a model with these moods."""
        columns = ("moods", "valence", "arousal", "quadrant")
        return labels_of({name: self.dataset[name][:] for name in columns}, moods)[0]

    def tracks(self, rows: np.ndarray, moods: Sequence[str]) -> LabelledTracks:
        """These tracks with their labels."""
        return LabelledTracks(self.name, self.features, self.labels(moods), rows)

    def groups(self) -> list[str]:
        """Tracks of one group are in one fold: the artist, or the track itself where no artist is known."""
        tracks = zip(self.dataset["id"][:], self.dataset["artist"][:], strict=True)
        return [artist or f"{self.name}/{track}" for track, artist in tracks]

    def soft_labels(self, reference: str, moods: Sequence[str]) -> SoftLabels:
        """Those in a table, whose path may be relative to the data folder. Raises TrainingError."""
        path = next((path for path in (Path(reference), Path(self.folder, reference)) if path.is_file()), None)
        if path is None:
            raise TrainingError(
                f"The teacher of {self.name}, {reference}, is missing: put the file into {self.folder}, or train "
                "without it (--set objective.distillation=null)."
            )
        return read_soft_labels(path, self.dataset["id"][:], self.dataset["audio"][:], moods, self.read_ids)


# In a recipe's encoder, of the feature extractor.
WINDOW_SETTINGS = ("window_seconds", "hop_seconds", "skip_silence", "harmony_seconds")


def load_parts(
    recipe: Recipe, encoder: Path | None, chords: Path | None
) -> tuple[M2EProcessor, M2EForMusicEmotion | None]:
    """The processor, and the model that training starts from or None.

    encoder: folder of an m2e-encoder (None: that of the package), or of published tagger weights, as the recipe
    says.  chords: folder of a chord recogniser; None: that of the embedded model. Raises TrainingError, ModelError.
    """
    if recipe.start is not None:
        pipe = load(recipe.start, device="cpu")
        return pipe.processor, pipe.model
    recognizer = ChordRecognizer.from_pretrained(chords or embedded_model(), decoding=recipe.chord_decoding)
    config = preset(recipe.model.get("preset", "default"))()
    vocabulary = recipe.model.get("chord_vocabulary", config.chord_vocabulary)
    windows = {name: value for name, value in (recipe.encoder or {}).items() if name in WINDOW_SETTINGS}
    return M2EProcessor.build(_encoder(recipe, encoder), recognizer, vocabulary, **windows), None


def _encoder(recipe: Recipe, folder: Path | None) -> Encoder:
    settings = {name: value for name, value in (recipe.encoder or {}).items() if name not in WINDOW_SETTINGS}
    if nets := settings.pop("nets", None):
        if folder is None:
            raise TrainingError(f"The encoder of {recipe.name} is made of published taggers: give their --encoder.")
        # Features must be those of the stored weights: half precision, computed in single.
        return TaggerEncoder(halve_weights(convert_taggers(folder, nets)).float())
    if settings.get("type") == DistilledEncoder.kind:
        if folder is None:
            return DistilledEncoder.from_network(embedded_model().parent / DistilledEncoder.kind)
        model = DistilledEncoder.from_network(folder).model
        return DistilledEncoder(halve_weights(model).float())
    if "id" not in settings:
        raise TrainingError(f"The encoder of {recipe.name} has neither nets nor an id, nor the type m2e-encoder.")
    if settings.get("type") == "transformers":
        return load_encoder(settings, dtype=settings.get("dtype", "float32"))
    if settings.pop("type", "mert") != "mert":
        raise TrainingError(
            f"The encoder of {recipe.name} has an unknown type: give m2e-encoder, mert or transformers."
        )
    return MertEncoder.from_pretrained(settings.pop("id"), **settings)


def read_datasets(recipe: Recipe, folders: Mapping[str, str]) -> tuple[dict[str, Dataset], dict[str, list[str]]]:
    """The data sets of a recipe, split by its protocol, and the ids of all tracks as they are read.

    Of a train_only data set the training split alone. Raises DataError.
    """
    readers = {name: each.reader for name, each in recipe.datasets.items()}
    tables = _read_all(recipe, folders)
    ids = {name: dataset["id"][:] for name, dataset in tables.items()}
    if len(set(readers.values())) < len(readers):  # the protocol knows data sets by their readers
        split = apply_protocol(tables, recipe.protocol)
    else:
        by_reader = apply_protocol({readers[name]: dataset for name, dataset in tables.items()}, recipe.protocol)
        split = {name: by_reader[reader] for name, reader in readers.items()}
    for name, entry in recipe.datasets.items():
        if entry.train_only:
            split[name] = split[name].select(np.flatnonzero(np.array(split[name]["split"][:]) == "train"))
    return split, {name: list(tracks) for name, tracks in ids.items()}


def _read_all(recipe: Recipe, folders: Mapping[str, str]) -> dict[str, Dataset]:
    """All data sets of a recipe. Raises one DataError for all faults in all of them."""
    tables: dict[str, Dataset] = {}
    faults: list[str] = []
    holes: list[str] = []
    for name, each in recipe.datasets.items():
        try:
            tables[name] = read_dataset(each.reader, folders[name], **each.options)
        except IncompleteCopy as error:
            faults.append(error.problem)
            holes.append(f"datasets.{name}.options.check=partial")
        except DataError as error:
            faults.append(str(error).rstrip("."))
    if holes:
        faults[-1] += f": complete the copies, or skip what is missing with --set {' '.join(holes)}"
    if faults:
        raise DataError("; ".join(faults) + ".")
    return tables


def with_features(
    name: str,
    dataset: Dataset,
    processor: M2EProcessor,
    cache: Path,
    accelerator: Accelerator,
    report: Callable[[str], Any] = print,
    folder: str = "",
    read_ids: Sequence[str] = (),
) -> Material:
    """The data set with its features, computed where the cache lacks them; tracks that cannot be read are skipped.

    Processes share the work. report: called with a sentence on every skipped track.  folder, read_ids: of Material.
    Raises TrainingError where no track is left.
    """
    ids = dataset["id"][:]
    files = audio_files(ids, dataset["audio"], cache / "audio")
    ranks = {"rank": accelerator.process_index, "world_size": accelerator.num_processes}
    stored = feature_cache(cache, zip(ids, files, strict=True), processor, **ranks)
    jobs = stored.jobs()
    with pace(len(jobs), accelerator.is_main_process and bool(jobs)) as begin:
        failures = compute(stored, jobs, lambda: processor.to(accelerator.device), begin=begin)
    processor.to("cpu")
    for sentence in gather_object(failures):  # which waits for all
        report(f"{name}: skipped: {sentence}")
    features = stored.features()
    rows = [row for row, track in enumerate(ids) if track in features]
    if not rows:
        raise TrainingError(f"None of the {len(ids)} tracks of {name} could be read.")
    kept = dataset if len(rows) == len(ids) else dataset.select(rows)
    packed = pack((features[ids[row]] for row in rows), processor.collate)
    return Material(name, kept, packed, folder, read_ids)


def moods_of(recipe: Recipe, datasets: Sequence[Dataset], start: M2EForMusicEmotion | None) -> list[str]:
    """The moods that the model predicts, in order. Raises TrainingError."""
    if isinstance(recipe.moods, tuple):
        return list(recipe.moods)
    if recipe.moods == "jamendo":
        return list(JAMENDO_MOODS)
    if recipe.moods == START and start is not None:
        return list(start.config.moods)
    if recipe.moods != "data":
        raise TrainingError(f"moods is {recipe.moods!r}: give data, start, jamendo, or a list.")
    carried = {
        mood
        for dataset in datasets
        for moods, split in zip(dataset["moods"][:], dataset["split"][:], strict=True)
        if split == "train"
        for mood in moods or ()
    }
    if not carried and start is not None:  # no mood labels: the start's moods are kept
        return list(start.config.moods)
    return sorted(carried)
