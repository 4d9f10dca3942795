"""Crops of the encoder's audio pool and the outputs of its teachers for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from m2e.datasets.encoder.labels import TeacherLabels, load_labels
from m2e.datasets.encoder.pool import CLIP_SECONDS, SAMPLING_RATE, Clip
from m2e.errors import TrainingError
from modeling_m2e.modeling_encoder import loudness

SMALLEST_DEVIATION = 1e-3  # of an embedding's dimension; below it is constant
SMALLEST_PART = 0.5  # of a teacher's cell that a crop holds; less does not tell what the teacher answers for the cell


def cell_weights(cells: int, clip_seconds: np.ndarray, starts: np.ndarray, seconds: float) -> np.ndarray:
    """(k, cells) the share of each cell in crops that begin at `starts` (k,) of clips of `clip_seconds` (k,).

    A teacher's cells last CLIP_SECONDS / cells each and are spread evenly over the clip.
    """
    length = CLIP_SECONDS / cells
    last = np.maximum(clip_seconds - length, 0.0)
    begins = last[:, None] * (np.arange(cells) / max(cells - 1, 1))
    ends = np.minimum(begins + length, clip_seconds[:, None])
    overlap = np.minimum(ends, starts[:, None] + seconds) - np.maximum(begins, starts[:, None])
    overlap = np.maximum(overlap, 1e-6)
    return overlap / overlap.sum(1, keepdims=True)


@dataclass(frozen=True)
class Scale:
    """Mean and deviation (width,) of a teacher's embeddings over training clips, and its mean probabilities (tags,)."""

    mean: torch.Tensor
    deviation: torch.Tensor
    prior: torch.Tensor


def scale_of(labels: TeacherLabels, rows: np.ndarray) -> Scale:
    """The scale of the clips `rows`, one value per clip: the mean of its cells."""
    rows = rows[labels.present[rows]]
    if len(rows) < 2:
        raise TrainingError("A teacher has labelled fewer than two training clips: run datasets_scripts.encoder.label.")
    embeddings = np.stack([labels.embeddings[row].astype(np.float32).mean(0) for row in rows])
    tags = np.stack([labels.tags[row].astype(np.float32).mean(0) for row in rows])
    deviation = np.maximum(embeddings.std(0), SMALLEST_DEVIATION)
    return Scale(*(torch.from_numpy(array) for array in (embeddings.mean(0), deviation, tags.mean(0))))


@dataclass(frozen=True)
class Target:
    """One teacher's outputs: standardised embeddings (k, width), tag probabilities (k, tags), present (k,)."""

    embeddings: torch.Tensor
    tags: torch.Tensor
    present: torch.Tensor


@dataclass(frozen=True)
class Batch:
    """waveforms: (k, samples).  levels: (k,) loudness of the whole clips.  targets: by teacher."""

    waveforms: torch.Tensor
    levels: torch.Tensor
    targets: dict[str, Target]


class Pool:
    """The labelled clips: their audio and labels, in crops. Clips without a label of any teacher are dropped."""

    def __init__(self, folder: Path, clips: Sequence[Clip], teachers: Iterable[str]):
        labels = {teacher: load_labels(folder, clips, teacher) for teacher in teachers}
        audio = {shard: folder / "audio" / f"{shard}.npy" for shard in {clip.shard for clip in clips}}
        self._shards = {shard: np.load(path, mmap_mode="r") for shard, path in audio.items() if path.exists()}
        labelled = np.any([each.present for each in labels.values()], axis=0)
        keep = [row for row, clip in enumerate(clips) if labelled[row] and clip.shard in self._shards]
        self.clips = [clips[row] for row in keep]
        self.labels = {name: TeacherLabels(each.embeddings[keep], each.tags[keep]) for name, each in labels.items()}
        self.seconds = np.array([clip.seconds for clip in self.clips])
        self._levels = np.full(len(keep), np.nan, np.float32)
        self.scales = {name: scale_of(each, self.rows("train")) for name, each in self.labels.items()}

    def rows(self, split: str, source: str | None = None) -> np.ndarray:
        """Indices of the clips of a split, and of one source."""
        chosen = [c.split == split and source in (None, c.source) for c in self.clips]
        return np.flatnonzero(chosen)

    def waveform(self, row: int) -> np.ndarray:
        """(samples,) float32 of a whole clip."""
        return self._samples(row).astype(np.float32) / 32767

    def _samples(self, row: int) -> np.ndarray:
        clip = self.clips[row]
        return self._shards[clip.shard][clip.row, : round(clip.seconds * SAMPLING_RATE)]

    def level(self, row: int) -> float:
        """Loudness of a whole clip."""
        if np.isnan(self._levels[row]):
            self._levels[row] = loudness(torch.from_numpy(self.waveform(row))[None]).item()
        return float(self._levels[row])

    def targets(self, rows: np.ndarray, starts: np.ndarray, seconds: float) -> dict[str, Target]:
        """The outputs of the teachers for crops that begin at `starts` and last `seconds`.

        A teacher whose cells are more than twice as long as the crop is absent.
        """
        targets = {}
        for name, labels in self.labels.items():
            cells = labels.embeddings.shape[1]
            weights = cell_weights(cells, self.seconds[rows], starts, seconds)
            cell_seconds = np.minimum(CLIP_SECONDS / cells, self.seconds[rows])
            present = labels.present[rows] & (seconds >= SMALLEST_PART * cell_seconds)
            embeddings, tags = (torch.from_numpy(np.nan_to_num(part)) for part in labels.of_crops(rows, weights))
            scale = self.scales[name]
            targets[name] = Target((embeddings - scale.mean) / scale.deviation, tags, torch.from_numpy(present))
        return targets

    def crops(self, rows: np.ndarray, seconds: float, speeds: np.ndarray, rng: np.random.Generator) -> Batch:
        """A random crop of each clip, played `speeds` (k,) times as fast; a clip that is too short is repeated."""
        samples = round(seconds * SAMPLING_RATE)
        lengths = seconds * speeds
        starts = rng.uniform(0.0, 1.0, len(rows)) * np.maximum(self.seconds[rows] - lengths, 0.0)
        waveforms = np.zeros((len(rows), samples), np.float32)
        for place, row in enumerate(rows):
            waveforms[place] = _played(self._samples(row), starts[place] * SAMPLING_RATE, samples, speeds[place])
        levels = torch.tensor([self.level(row) for row in rows])
        targets = self.targets(rows, starts, seconds * float(np.mean(speeds)))
        return Batch(torch.from_numpy(waveforms), levels, targets)


def _played(clip: np.ndarray, start: float, samples: int, speed: float) -> np.ndarray:
    """(samples,) of a 16-bit clip from `start`, interpolated linearly; past its end the clip begins again."""
    times = start % 1 + np.arange(samples) * speed
    piece = np.take(clip, int(start) + np.arange(int(times[-1]) + 2), mode="wrap").astype(np.float32) / 32767
    whole = times.astype(np.int64)
    share = (times - whole).astype(np.float32)
    return piece[whole] + share * (piece[whole + 1] - piece[whole])
