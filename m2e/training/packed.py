"""Features and labels packed in flat arrays, from which batches are cut out quickly."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch

from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import NO_QUADRANT
from m2e.training.recipe import TASKS
from modeling_m2e.processing_m2e import TrackFeatures

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class PackedFeatures:
    """PackedFeatures of n tracks; those of track i lie from its offset up to that of track i + 1.

    embeddings: (windows of all tracks, width), of any float type.  weights: float32, of these windows.
    roots, qualities, durations: (chords of all tracks,) token ids and seconds.  modes: (n,) 0 major, 1 minor.
    statistics: (n, STATISTICS) of harmony, NaN where unknown.  window_offsets, chord_offsets: (n + 1,).
    """

    embeddings: torch.Tensor
    weights: torch.Tensor
    window_offsets: np.ndarray
    roots: torch.Tensor
    qualities: torch.Tensor
    durations: torch.Tensor
    chord_offsets: np.ndarray
    modes: torch.Tensor
    statistics: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.modes)

    @property
    def width(self) -> int:
        """Of an embedding."""
        return self.embeddings.shape[1]

    def window_counts(self, rows: np.ndarray) -> np.ndarray:
        """How many windows each of these tracks has."""
        return self.window_offsets[rows + 1] - self.window_offsets[rows]

    def batch(self, rows: np.ndarray, spans: np.ndarray | None = None) -> dict[str, torch.Tensor]:
        """The model's inputs for these tracks: embeddings (B, width) averaged over windows, and padded chords (B, L).

        spans: (B, 2) first window and number of windows of each track; None = all.
        """
        counts = self.window_counts(rows)
        starts = self.window_offsets[rows]
        if spans is not None:
            starts, counts = starts + spans[:, 0], spans[:, 1]
        windows, owner = _runs(starts, counts)
        weights = self.weights[windows]
        share = weights / torch.zeros(len(rows)).index_add_(0, owner, weights)[owner]
        averaged = self.embeddings[windows].float() * share[:, None]
        return {"embeddings": torch.zeros(len(rows), self.width).index_add_(0, owner, averaged), **self._harmony(rows)}

    def _harmony(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        counts = self.chord_offsets[rows + 1] - self.chord_offsets[rows]
        chords, _ = _runs(self.chord_offsets[rows], counts)
        mask = torch.arange(counts.max(initial=0)) < torch.from_numpy(counts)[:, None]

        def padded(flat: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
            return torch.zeros(mask.shape, dtype=dtype).masked_scatter_(mask, flat[chords].to(dtype))

        statistics = {} if self.statistics is None else {"harmony_statistics": self.statistics[rows]}
        return statistics | {
            "chord_roots": padded(self.roots, torch.long),
            "chord_qualities": padded(self.qualities, torch.long),
            "chord_durations": padded(self.durations, torch.float32),
            "chord_mask": mask,
            "mode": self.modes[rows],
        }


def _runs(starts: np.ndarray, counts: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of consecutive runs, and the run that each belongs to."""
    owner = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return torch.from_numpy(starts[owner] + within), torch.from_numpy(owner)


def pack(tracks: Iterable[TrackFeatures], collate: Callable[[Sequence[TrackFeatures]], Mapping]) -> PackedFeatures:
    """The features of at least one track, one read after the other; embeddings become float16, as they are cached.

    collate: of the processor, which knows the chord tokens of the model.
    """
    parts: dict[str, list[torch.Tensor]] = {}
    for track in tracks:
        for name, values in collate([track]).items():
            parts.setdefault(name, []).append(values[0].half() if name == "embeddings" else values[0])

    def flat(name: str, dtype: torch.dtype) -> torch.Tensor:
        return torch.cat(parts[name]).to(dtype)

    def offsets(name: str) -> np.ndarray:
        return np.cumsum([0, *map(len, parts[name])])

    return PackedFeatures(
        embeddings=flat("embeddings", torch.float16),
        weights=flat("window_weights", torch.float32),
        window_offsets=offsets("window_weights"),
        roots=flat("chord_roots", torch.uint8),
        qualities=flat("chord_qualities", torch.uint8),
        durations=flat("chord_durations", torch.float32),
        chord_offsets=offsets("chord_roots"),
        modes=torch.stack(parts["mode"]),
        statistics=torch.stack(parts["harmony_statistics"]),
    )


def random_spans(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(B, 2) a random run of windows in each track of `counts` windows: length uniform, then the start (paper)."""
    lengths = rng.integers(1, counts + 1)
    return np.column_stack([rng.integers(0, counts - lengths + 1), lengths])


# --- with labels ---


class Teacher(Protocol):
    """A source of soft targets. Called with rows and their inputs, it gives its `tasks` on the student's scale, NaN
    where it knows nothing."""

    tasks: tuple[str, ...]

    def __call__(self, rows: np.ndarray, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]: ...

    def to(self, device: torch.device) -> "Teacher":
        """Itself, computing on that device."""

    def state(self) -> list[torch.Tensor]:
        """The tensors that its outputs depend on."""


@dataclass(frozen=True)
class LabelledTracks:
    """Tracks of one data set that are learnt from, or held out.

    labels: of all tracks; moods may be soft.  rows: the tracks meant.  teacher: gives soft targets of them.
    relative: only differences of valence and arousal are learnt, see `DataRecipe`.
    """

    name: str
    features: PackedFeatures
    labels: Emotions
    rows: np.ndarray
    teacher: Teacher | None = None
    relative: bool = False
    _tensors: dict[str, torch.Tensor] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        labels = self.labels[self.rows]
        there = (~np.isnan(labels.moods)).any(), (~np.isnan(labels.va)).any(), (labels.quadrants != NO_QUADRANT).any()
        tensors = (
            torch.tensor(self.labels.moods, dtype=torch.float32),
            torch.tensor(self.labels.va, dtype=torch.float32),
            torch.tensor(self.labels.quadrants),
        )
        self._tensors.update({t: each for t, each, given in zip(TASKS, tensors, there, strict=True) if given})

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks for which any of the rows has a label."""
        return tuple(self._tensors)

    def targets(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """The labels of some tracks by task."""
        return {task: labels[rows] for task, labels in self._tensors.items()}

    def only(self, rows: np.ndarray) -> "LabelledTracks":
        """Other rows of the same tracks."""
        return replace(self, rows=rows)


def learnt_tasks(sources: Sequence[LabelledTracks]) -> tuple[str, ...]:
    """The tasks that these sources have labels or teachers for."""
    tasks = {task for s in sources for task in (*s.tasks, *(s.teacher.tasks if s.teacher is not None else ()))}
    return tuple(task for task in TASKS if task in tasks)


def statistics(sources: Sequence[LabelledTracks]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation (width,) of the embeddings of all tracks of the sources."""
    parts = [
        source.features.batch(source.rows[start : start + _ROWS_AT_ONCE])["embeddings"]
        for source in sources
        for start in range(0, len(source), _ROWS_AT_ONCE)
    ]
    means = torch.cat(parts)
    return means.mean(0), means.std(0) if len(means) > 1 else torch.zeros_like(means[0])


def harmony_statistics(sources: Sequence[LabelledTracks]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation (STATISTICS,) over all tracks of the sources that have harmony statistics."""
    known = torch.cat([all_of[s.rows] for s in sources if (all_of := s.features.statistics) is not None])
    known = known[known.isfinite().all(dim=1)]
    return known.mean(0), known.std(0)


def mood_frequencies(sources: Sequence[LabelledTracks]) -> list[float]:
    """Share of the labelled tracks that carry each mood, over all sources; at least one track's share."""
    labels = np.concatenate([source.labels.moods[source.rows] for source in sources])
    labelled = np.maximum((~np.isnan(labels)).sum(0), 1)
    return (np.maximum(np.nansum(labels, axis=0), 1) / labelled).tolist()
