"""From a waveform to timed chords: constant-Q transform, BTC network, decoding.

Each step is a function of its own: `cqt_features`, `frame_logits` (chord_logits_m2e), `frames_to_segments`.
`ChordRecognizer` runs them all on a whole waveform, `ChordStream` on blocks of one as they are decoded.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from transformers.utils import cached_file

from .chord_decoding_m2e import (
    DECODINGS,
    ONSET_HOP,
    extend_into_decay,
    force_no_chord,
    move_to_onsets,
    onset_strength,
)
from .chord_labels_m2e import VOCABULARY, ChordSegment, parse_chord
from .chord_logits_m2e import FrameLogits
from .cqt_m2e import cqt_magnitude
from .errors_m2e import AudioError, ModelError, reason
from .harmony_statistics_m2e import HarmonyStatistics
from .modeling_btc import BTCConfig, BTCModel
from .rows_m2e import Rows

# The input of the published network (Park et al., ISMIR 2019, section 4.1).
SAMPLING_RATE = 22050  # Hz
HOP = 2048  # samples between frames
BINS, BINS_PER_OCTAVE = 144, 24  # from C1 upwards
FLOOR = 1e-6  # added to the magnitude under the logarithm
CHUNK_SECONDS = 10
CHUNK_SAMPLES = CHUNK_SECONDS * SAMPLING_RATE
CHUNK_FRAMES = 1 + CHUNK_SAMPLES // HOP  # 108
SECONDS_PER_FRAME = CHUNK_SECONDS / CHUNK_FRAMES  # a frame's share of its chunk; the hop is 0.3 % longer

GROUP_CHUNKS = 3  # half a minute is transformed at once: bounds the memory
MIN_SAMPLES = 128  # the shortest signal that can be downsampled by six octaves
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "token")


def cqt_features(waveform: np.ndarray) -> np.ndarray:
    """(frames, 144) float32, log(|CQT| + 1e-6) of a mono waveform (samples,) at 22,050 Hz.

    Each chunk of 10 s is transformed on its own and gives 108 frames; a shorter last one gives 1 + samples // 2048
    (one more just below a multiple of 2048). Raises: AudioError for NaN or infinite samples, ValueError for several
    channels.
    """
    waveform = _checked(waveform)
    groups = [
        _group_features(waveform[start : start + GROUP_CHUNKS * CHUNK_SAMPLES])
        for start in range(0, len(waveform), GROUP_CHUNKS * CHUNK_SAMPLES)
    ]
    return np.concatenate(groups) if groups else np.empty((0, BINS), np.float32)


def _checked(waveform: np.ndarray) -> np.ndarray:
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1:
        raise ValueError(f"Chords are recognised in one mono waveform (samples,), not in an array {waveform.shape}.")
    if not np.isfinite(waveform).all():
        raise AudioError("The waveform holds NaN or infinite samples: remove them before chords are recognised.")
    return waveform


def _group_features(waveform: np.ndarray) -> np.ndarray:
    whole = len(waveform) // CHUNK_SAMPLES * CHUNK_SAMPLES
    parts = []
    if whole:  # in one call: builds the filters once
        parts.append(_log_cqt(waveform[:whole].reshape(-1, CHUNK_SAMPLES)))
    if rest := len(waveform) - whole:
        parts.append(_log_cqt(np.pad(waveform[whole:], (0, max(0, MIN_SAMPLES - rest)))[None]))
    return np.concatenate([part.reshape(-1, BINS) for part in parts])


def _log_cqt(chunks: np.ndarray) -> np.ndarray:
    """(chunks, samples) -> (chunks, frames, 144)."""
    return np.log(cqt_magnitude(chunks, SAMPLING_RATE, HOP, BINS, BINS_PER_OCTAVE) + FLOOR)


def frames_to_segments(
    frame_ids: Sequence[int] | np.ndarray,
    seconds_per_frame: float = SECONDS_PER_FRAME,
    labels: Sequence[str] = VOCABULARY,
    borders: np.ndarray | None = None,
    probabilities: np.ndarray | None = None,
) -> list[ChordSegment]:
    """One chord for each run of equal ids: frame i lasts from i to (i + 1) times `seconds_per_frame`.

    borders: (changes,) seconds at which the chords change, instead of those of the frames.
    probabilities: (frames,) of the ids, whose mean is the confidence of a chord.
    """
    ids = np.asarray(frame_ids)
    if not len(ids):
        return []
    changes = _changes(ids)
    inner = changes * seconds_per_frame if borders is None else borders
    times = [0.0, *inner.tolist(), len(ids) * seconds_per_frame]
    firsts = np.array([0, *changes])
    sure: list[float | None] = [None] * len(firsts)
    if probabilities is not None:
        sure = (np.add.reduceat(probabilities, firsts) / np.diff([*firsts, len(ids)])).tolist()
    return [
        ChordSegment(start, end, parse_chord(labels[ids[first]]).label, confidence)
        for start, end, first, confidence in zip(times[:-1], times[1:], firsts, sure, strict=True)
    ]


def _changes(ids: np.ndarray) -> np.ndarray:
    """The frames at which another id begins."""
    return np.flatnonzero(np.diff(ids)) + 1


class ChordFrames:
    """The frames of one track, from whose logits its chords are decoded.

    labels: of the classes.  decoding: as in `ChordRecognizer`.
    """

    def __init__(self, labels: Sequence[str], decoding: str):
        self._labels, self._smooth = labels, decoding != "paper"
        self._frames = DECODINGS[decoding]()
        self._levels, self._likeliest, self._onsets = Rows(), Rows(np.uint8), Rows()  # columns
        self._statistics = HarmonyStatistics(SECONDS_PER_FRAME)

    def push(self, logits: np.ndarray, levels: np.ndarray) -> None:
        """Takes the logits (frames, classes), which it changes, and levels (frames,) of the next frames."""
        if not len(logits):
            return
        if full_vocabulary := logits.shape[1] == len(VOCABULARY):
            self._statistics.push(logits)
        if self._smooth:
            if full_vocabulary:
                self._levels.append(levels[:, None])
                self._likeliest.append(logits[:, : len(VOCABULARY) - 2].argmax(axis=1)[:, None])  # without X and N
            if "N" in self._labels:  # of any vocabulary
                force_no_chord(logits, levels, self._labels.index("N"))
        self._frames.push(logits)

    def push_onsets(self, strength: np.ndarray) -> None:
        """Takes the next values of `onset_strength`."""
        self._onsets.append(strength[:, None])

    def finish(self, seconds: float, duration: float | None = None) -> list[ChordSegment]:
        """The chords of everything that was pushed; see `ChordStream.finish`.  seconds: of audio that were."""
        ids, borders = self._frames.finish(), None
        if self._smooth:
            if len(self._likeliest):
                ids = extend_into_decay(ids, self._levels.joined()[:, 0], self._likeliest.joined()[:, 0])
            borders = _changes(ids) * SECONDS_PER_FRAME
            if len(self._onsets):
                borders = move_to_onsets(borders, self._onsets.joined()[:, 0])
            duration = seconds if duration is None else min(seconds, duration)
        segments = frames_to_segments(ids, SECONDS_PER_FRAME, self._labels, borders, self._frames.probabilities(ids))
        if duration is None:
            return segments
        return [replace(s, end=min(s.end, duration)) for s in segments if s.start < duration]

    def statistics(self) -> np.ndarray | None:
        """(cells, CELL_NUMBERS) float32 of everything so far, see `HarmonyStatistics`; None for other classes than the
        170."""
        return self._statistics.finish()


class ChordStream:
    """The chords of one waveform that arrives in blocks; holds at most half a minute of it.

    The chords are those of the whole waveform at once: the network's blocks go on from group to group.
    """

    def __init__(self, recognizer: "ChordRecognizer"):
        self._smooth = recognizer.decoding != "paper"
        self._logits = FrameLogits(recognizer.model, overlap=self._smooth)
        self._frames = ChordFrames(recognizer.labels, recognizer.decoding)
        self._pieces: list[np.ndarray] = []  # of the current group
        self._pending = self._samples = 0  # samples in the pieces, and of the track
        self._held_levels = np.empty(0, np.float32)  # of frames whose logits are not complete
        self._last_samples = np.empty(0, np.float32)  # of the group before, two hops of the onsets

    def push(self, samples: np.ndarray) -> None:
        """Takes the next samples (n,), mono, 22,050 Hz, of any number."""
        samples = _checked(samples)
        self._samples += len(samples)
        while len(samples):
            piece, samples = np.split(samples, [GROUP_CHUNKS * CHUNK_SAMPLES - self._pending])
            self._pieces.append(piece.copy())  # the caller may reuse its buffer
            self._pending += len(piece)
            if self._pending == GROUP_CHUNKS * CHUNK_SAMPLES:
                self._transform_pending()

    def finish(self, duration: float | None = None) -> list[ChordSegment]:
        """The chords of everything that was pushed.

        duration: seconds after which no chord lasts. Without it, the last frame of decoding "paper" is whole, as
        published, and reaches beyond the end of the track.
        """
        if self._pending:
            self._transform_pending()
        self._complete(self._logits.finish())
        return self._frames.finish(self.duration, duration)

    @property
    def duration(self) -> float:
        """Seconds that were pushed."""
        return self._samples / SAMPLING_RATE

    def statistics(self) -> np.ndarray | None:
        """See `ChordFrames.statistics`."""
        return self._frames.statistics()

    def _transform_pending(self) -> None:
        waveform = np.concatenate(self._pieces)
        self._pieces, self._pending = [], 0
        features = cqt_features(waveform)
        self._held_levels = np.concatenate([self._held_levels, features.max(axis=1)])
        if self._smooth:  # a group and the samples before it are multiples of the hop
            strength = onset_strength(np.concatenate([self._last_samples, waveform]))
            self._frames.push_onsets(strength[len(self._last_samples) // ONSET_HOP :])
            self._last_samples = waveform[-2 * ONSET_HOP :]
        self._complete(self._logits.push(features))

    def _complete(self, logits: np.ndarray) -> None:
        levels, self._held_levels = np.split(self._held_levels, [len(logits)])
        self._frames.push(logits, levels)


class ChordRecognizer:
    """Waveform (samples,) at `sampling_rate`, mono -> list of ChordSegment without gaps.

    decoding: "paper", each frame on its own, times as published; or "smooth", overlapping blocks and the most probable
    path, where chords begin with an onset and end with the track. None takes the decoding saved with the model
    ("paper" without any).
    """

    sampling_rate = SAMPLING_RATE
    subfolder = "chords"

    def __init__(self, model: BTCModel, decoding: str | None = None):
        decoding = decoding or model.config.decoding
        if decoding not in DECODINGS:
            raise ModelError(f"Unknown chord decoding {decoding!r}: choose {' or '.join(map(repr, DECODINGS))}.")
        self.model: BTCModel = model.eval()
        self.decoding = decoding
        names = cast(dict[int, str], model.config.id2label)
        self.labels = [names[index] for index in range(len(names))]

    def __call__(self, waveform: np.ndarray) -> list[ChordSegment]:
        """The chords of a whole waveform; none for an empty one.

        Raises: AudioError for NaN or infinite samples, ValueError for several channels.
        """
        stream = self.stream()
        stream.push(waveform)
        return stream.finish()

    def stream(self) -> ChordStream:
        """A reader for one waveform in blocks, independent of all others."""
        return ChordStream(self)

    @property
    def device(self) -> torch.device:
        """The device of the network; the transform is computed on the CPU."""
        return self.model.device

    def to(self, device: str | torch.device) -> "ChordRecognizer":
        """Itself, with the network on `device`."""
        cast(torch.nn.Module, self.model).to(device)
        return self

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Writes the network into the folder `chords` of `save_directory`, in half precision where that is lossless."""
        self.model.config.decoding = self.decoding
        weights = self.model.state_dict()
        halves = {name: w.half() if w.is_floating_point() else w for name, w in weights.items()}
        lossless = all(torch.equal(halves[name].to(weight.dtype), weight) for name, weight in weights.items())
        self.model.save_pretrained(Path(save_directory) / self.subfolder, state_dict=halves if lossless else weights)

    @classmethod
    def from_pretrained(
        cls,
        repo_or_dir: str | os.PathLike[str],
        decoding: str | None = None,
        subfolder: str = "",
        **hub_arguments: Any,
    ) -> "ChordRecognizer":
        """The recogniser, in float32, of a hub repository or local folder: in its folder `chords` (below `subfolder`),
        or at the top where it holds nothing else.

        hub_arguments: cache_dir, force_download, local_files_only, revision, token; others are ignored.
        Raises: ModelError.
        """
        arguments = {key: hub_arguments[key] for key in HUB_ARGUMENTS if hub_arguments.get(key) is not None}
        folder = subfolder or ""
        try:
            if not _is_recognizer(repo_or_dir, folder, arguments):
                folder = str(PurePosixPath(folder) / cls.subfolder)
            loaded = BTCModel.from_pretrained(
                repo_or_dir,
                subfolder=folder,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below
                trust_remote_code=False,
                **arguments,
            )
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"{repo_or_dir} cannot be loaded as a chord recogniser ({reason(error)}): save or download it again."
            ) from error
        model, report = cast(tuple[BTCModel, dict[str, Any]], loaded)
        if missing := [*report["missing_keys"], *report["mismatched_keys"]]:  # transformers leaves them random
            raise ModelError(
                f"{repo_or_dir} lacks {len(missing)} weights of the chord recogniser: save or download it again."
            )
        return cls(model, decoding)


def _is_recognizer(repo_or_dir: str | os.PathLike[str], folder: str, hub_arguments: dict[str, Any]) -> bool:
    """Whether the config.json of this folder is that of a chord recogniser."""
    quiet = {f"_raise_exceptions_for_{what}": False for what in ("missing_entries", "connection_errors")}
    path = cached_file(repo_or_dir, "config.json", subfolder=folder, **quiet, **hub_arguments)
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except ValueError:  # BTCModel.from_pretrained reports it better
        return False
    return isinstance(config, dict) and config.get("model_type") == BTCConfig.model_type
