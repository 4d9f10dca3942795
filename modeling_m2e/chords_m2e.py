"""From a waveform to timed chords: constant-Q transform, BTC network, decoding.

Each step is a function of its own: `cqt_features`, `frame_logits`, `frames_to_segments`. `ChordRecognizer` puts
them together; it takes a whole waveform, or blocks of one as they are decoded.
"""

import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import librosa
import numpy as np
import torch
from transformers.utils import cached_file

from .chord_labels_m2e import VOCABULARY, ChordSegment, parse_chord
from .harmony_statistics_m2e import HarmonyStatistics
from .modeling_btc import BTCConfig, BTCModel
from .onsets_m2e import at_onsets, onset_strength
from .rests_m2e import hush, ring_out
from .tonal_context_m2e import tonal_context

# The input of the published network (Park et al., ISMIR 2019, section 4.1).
SAMPLING_RATE = 22050  # Hz
HOP = 2048  # samples between frames
BINS, BINS_PER_OCTAVE = 144, 24  # from C1 upwards
FLOOR = 1e-6  # added to the magnitude under the logarithm
CHUNK_SECONDS = 10
CHUNK_SAMPLES = CHUNK_SECONDS * SAMPLING_RATE
CHUNK_FRAMES = 1 + CHUNK_SAMPLES // HOP  # 108
SECONDS_PER_FRAME = CHUNK_SECONDS / CHUNK_FRAMES  # a frame's share of its chunk; the hop is 0.3 % longer

GROUP_CHUNKS = 12  # two minutes are transformed and recognised at once: what bounds the memory
MIN_SAMPLES = 128  # the shortest signal that six octaves of downsampling leave something of
CHANGE_PENALTY = 4.0  # log-probability that a chord change has to gain; best on validation songs and clips
KEY_WEIGHT = 0.3  # of what the key says, in log-probabilities; best on validation songs and clips
BLOCK_FRAMES = GROUP_CHUNKS * CHUNK_FRAMES
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "token")


def cqt_features(waveform: np.ndarray) -> np.ndarray:
    """(frames, 144) float32, log(|CQT| + 1e-6) of a mono waveform (samples,) at 22,050 Hz.

    Chunks of 10 s are transformed on their own and give 108 frames each, a shorter last one gives 1 + samples // 2048
    (one more just below a multiple of 2048). Raises ValueError for anything but finite samples in one dimension.
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
        raise ValueError("The waveform holds NaN or infinite samples: remove them before chords are recognised.")
    return waveform


def _group_features(waveform: np.ndarray) -> np.ndarray:
    whole = len(waveform) // CHUNK_SAMPLES * CHUNK_SAMPLES
    parts = []
    if whole:  # in one call: the filters are then built once
        parts.append(_log_cqt(waveform[:whole].reshape(-1, CHUNK_SAMPLES)))
    if rest := len(waveform) - whole:
        parts.append(_log_cqt(np.pad(waveform[whole:], (0, max(0, MIN_SAMPLES - rest)))[None]))
    return np.concatenate([part.reshape(-1, BINS) for part in parts])


def _log_cqt(chunks: np.ndarray) -> np.ndarray:
    """(chunks, samples) -> (chunks, frames, 144)."""
    with warnings.catch_warnings():
        if chunks.shape[1] < CHUNK_SAMPLES:  # a filter longer than the rest of the track is no reason to worry a user
            warnings.filterwarnings("ignore", message="n_fft=.* is too large", category=UserWarning)
        cqt = librosa.cqt(chunks, sr=SAMPLING_RATE, hop_length=HOP, n_bins=BINS, bins_per_octave=BINS_PER_OCTAVE)
    return np.log(np.abs(cqt) + FLOOR).transpose(0, 2, 1)


def frame_logits(features: np.ndarray, model: BTCModel, overlap: bool = False) -> np.ndarray:
    """(frames, classes) float32 logits of `features` (frames, 144) as given by `cqt_features`.

    The frames are normalised with the model's mean and deviation and cut into blocks of 108, the last one filled
    with zeros as in the published code; up to 12 blocks are one batch. overlap: each block begins within the last
    third of the one before, and what both hear is averaged, so that no frame is judged from the edge of a block alone.
    """
    size, frames = model.config.num_frames, len(features)
    shared = size // 3 if overlap else 0
    starts = range(0, max(frames - shared, min(frames, 1)), size - shared)
    padded = np.zeros((starts[-1] + size if starts else 0, features.shape[1]), np.float32)
    padded[:frames] = (features - model.config.feature_mean) / model.config.feature_std
    logits = np.zeros((len(padded), model.config.num_labels), np.float32)
    heard = np.zeros((len(padded), 1), np.float32)
    for first in range(0, len(starts), GROUP_CHUNKS):
        batch = starts[first : first + GROUP_CHUNKS]
        blocks = _block_logits(np.stack([padded[start : start + size] for start in batch]), model)
        for start, block in zip(batch, blocks, strict=True):
            logits[start : start + size] += block
            heard[start : start + size] += 1
    return logits[:frames] / heard[:frames]


@torch.inference_mode()
def _block_logits(blocks: np.ndarray, model: BTCModel) -> np.ndarray:
    """(blocks, frames, 144) -> (blocks, frames, classes)."""
    batch = torch.from_numpy(blocks).to(model.device, model.dtype)
    return model(batch).logits.float().cpu().numpy()


def frames_to_segments(
    frame_ids: Sequence[int] | np.ndarray,
    seconds_per_frame: float = SECONDS_PER_FRAME,
    labels: Sequence[str] = VOCABULARY,
    borders: np.ndarray | None = None,
) -> list[ChordSegment]:
    """The runs of equal ids as chords: frame i lasts from i to (i + 1) times `seconds_per_frame`.

    borders: (changes,) where they meet, in seconds; without it, where their frames do.
    """
    ids = np.asarray(frame_ids)
    if not len(ids):
        return []
    changes = _changes(ids)
    inner = changes * seconds_per_frame if borders is None else borders
    times = [0.0, *inner.tolist(), len(ids) * seconds_per_frame]
    return [
        ChordSegment(start, end, parse_chord(labels[ids[first]]).label)
        for start, end, first in zip(times[:-1], times[1:], (0, *changes), strict=True)
    ]


def _changes(ids: np.ndarray) -> np.ndarray:
    """The frames at which another id begins."""
    return np.flatnonzero(np.diff(ids)) + 1


class BestFrames:
    """The published decoding: the best class of each frame on its own."""

    def __init__(self):
        self._ids = []

    def push(self, logits: np.ndarray) -> None:
        """Takes the logits (frames, classes) of the next frames."""
        self._ids.append(logits.argmax(axis=1))

    def finish(self) -> np.ndarray:
        """(frames,) class ids of all frames so far."""
        return np.concatenate(self._ids) if self._ids else np.empty(0, np.int64)


class SmoothFrames:
    """Viterbi decoding with one penalty for a chord change, the same for all pairs of chords.

    Short-lived alternatives have to be more probable than the chord around them by twice `change_penalty` in sum of
    log-probabilities. A second pass weighs in what the keys of the first one say (`tonal_context`), where the classes
    are the 170 chords. Stored per frame are the log-probabilities in half precision, 13 MB an hour.
    """

    def __init__(self, change_penalty: float = CHANGE_PENALTY, key_weight: float = KEY_WEIGHT):
        self._penalty, self._key_weight = change_penalty, key_weight
        self._heard = []

    def push(self, logits: np.ndarray) -> None:
        """Takes the logits (frames, classes) of the next frames."""
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self._heard.append(np.maximum(log_probabilities, -1e4).astype(np.float16))

    def finish(self) -> np.ndarray:
        """(frames,) class ids of the best path through all frames so far."""
        if not self._heard:
            return np.empty(0, np.int64)
        heard = np.concatenate(self._heard)
        blocks = [slice(start, start + BLOCK_FRAMES) for start in range(0, len(heard), BLOCK_FRAMES)]
        ids = _best_path((heard[block].astype(np.float32) for block in blocks), self._penalty)
        if not self._key_weight or heard.shape[1] != len(VOCABULARY):
            return ids
        in_key = (
            heard[block] + self._key_weight * tonal_context(ids, block.start, min(block.stop, len(heard)))
            for block in blocks
        )
        return _best_path(in_key, self._penalty)


def _best_path(blocks: Iterable[np.ndarray], penalty: float) -> np.ndarray:
    """(frames,) class ids of the most probable path through log-probabilities (n, classes) in blocks, where each change
    costs `penalty`."""
    best, stayed, scores = [], [], None
    for log_probabilities in blocks:
        for frame in log_probabilities:
            if scores is None:
                scores = frame
                continue
            best.append(int(scores.argmax()))
            changed = scores[best[-1]] - penalty
            stayed.append(np.packbits(scores >= changed).tobytes())  # a bit per class
            scores = np.maximum(scores, changed) + frame
            scores -= scores.max()  # only differences count; keeps an endless stream in range
    ids = [int(scores.argmax())]
    for bits, other in zip(reversed(stayed), reversed(best), strict=True):
        ids.append(ids[-1] if bits[ids[-1] // 8] >> (7 - ids[-1] % 8) & 1 else other)
    return np.array(ids[::-1])


DECODINGS = {"paper": BestFrames, "smooth": SmoothFrames}


class ChordStream:
    """The chords of one waveform that arrives in blocks; holds at most two minutes of it."""

    def __init__(self, recognizer: "ChordRecognizer"):
        self._recognizer = recognizer
        self._frames = DECODINGS[recognizer.decoding]()
        self._pieces, self._pending, self._samples = [], 0, 0
        self._onsets, self._levels, self._likeliest = [], [], []
        self._statistics = HarmonyStatistics()

    def push(self, samples: np.ndarray) -> None:
        """Takes the next samples (n,), mono, 22,050 Hz, of any number."""
        samples = _checked(samples)
        self._samples += len(samples)
        while len(samples):
            piece, samples = np.split(samples, [GROUP_CHUNKS * CHUNK_SAMPLES - self._pending])
            self._pieces.append(piece.copy())  # the caller may reuse its buffer
            self._pending += len(piece)
            if self._pending == GROUP_CHUNKS * CHUNK_SAMPLES:
                self._recognize_pending()

    def finish(self) -> list[ChordSegment]:
        """The chords of everything that was pushed: the same as those of the whole waveform at once."""
        if self._pending:
            self._recognize_pending()
        config = self._recognizer.model.config
        labels = [config.id2label[i] for i in range(config.num_labels)]
        ids = self._frames.finish()
        if not self._smooth:
            return frames_to_segments(ids, SECONDS_PER_FRAME, labels)
        if self._levels:
            ids = ring_out(ids, np.concatenate(self._levels), np.concatenate(self._likeliest))
        borders = _changes(ids) * SECONDS_PER_FRAME
        if self._onsets:
            borders = at_onsets(borders, np.concatenate(self._onsets))
        segments = frames_to_segments(ids, SECONDS_PER_FRAME, labels, borders)
        duration = self._samples / SAMPLING_RATE  # the published last frame reaches beyond
        return [ChordSegment(s.start, min(s.end, duration), s.label) for s in segments if s.start < duration]

    def statistics(self) -> np.ndarray | None:
        """(STATISTICS,) of everything that was recognised, see `HarmonyStatistics`; None where classes are others."""
        return self._statistics.finish()

    @property
    def _smooth(self) -> bool:
        return self._recognizer.decoding != "paper"

    def _recognize_pending(self) -> None:
        waveform = np.concatenate(self._pieces)
        self._pieces, self._pending = [], 0
        model = self._recognizer.model
        features = cqt_features(waveform)
        logits = frame_logits(features, model, overlap=self._smooth)
        if logits.shape[1] == len(VOCABULARY):
            self._statistics.push(logits)
        if self._smooth:
            self._onsets.append(onset_strength(waveform))  # two minutes are a multiple of its hop
            levels = features.max(axis=1)
            if logits.shape[1] == len(VOCABULARY):
                self._levels.append(levels)
                self._likeliest.append(logits[:, : len(VOCABULARY) - 2].argmax(axis=1))  # but X and N
            if "N" in model.config.label2id:  # of any vocabulary
                hush(logits, levels, model.config.label2id["N"])
        self._frames.push(logits)


class ChordRecognizer:
    """Waveform (samples,) at `sampling_rate`, mono -> list of ChordSegment without gaps.

    decoding: "paper", each frame on its own, times as published; or "smooth", overlapping blocks, and chords of a
    plausible duration that begin with a sound and end where the track ends. None takes what the model was saved with
    ("paper" if nothing was said).
    `push` and `finish` do the same for a waveform in blocks; `stream()` gives one such reader for each of several.
    """

    sampling_rate = SAMPLING_RATE
    subfolder = "chords"

    def __init__(self, model: BTCModel, decoding: str | None = None):
        decoding = decoding or model.config.decoding
        if decoding not in DECODINGS:
            raise ValueError(f"Unknown chord decoding {decoding!r}: choose {' or '.join(map(repr, DECODINGS))}.")
        self.model = model.eval()
        self.decoding = decoding
        self._stream = None

    def __call__(self, waveform: np.ndarray) -> list[ChordSegment]:
        """The chords of a whole waveform; none for an empty one. Raises ValueError for NaN or several channels."""
        stream = self.stream()
        stream.push(waveform)
        return stream.finish()

    def stream(self) -> ChordStream:
        """A reader for one waveform in blocks, independent of all others."""
        return ChordStream(self)

    def push(self, samples: np.ndarray) -> None:
        """Takes the next samples of the current waveform. The first call begins one, as after `finish` or an error."""
        stream, self._stream = self._stream or self.stream(), None
        stream.push(samples)
        self._stream = stream

    def finish(self) -> list[ChordSegment]:
        """The chords of everything pushed since the last `finish`."""
        stream, self._stream = self._stream, None
        return stream.finish() if stream else []

    @property
    def device(self) -> torch.device:
        """Where the network runs; the transform is computed on the CPU."""
        return self.model.device

    def to(self, device: str | torch.device) -> "ChordRecognizer":
        """Itself, with the network on `device`."""
        self.model.to(device)
        return self

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Writes the network into the folder `chords` of `save_directory`, in half precision where nothing is lost."""
        self.model.config.decoding = self.decoding
        weights = self.model.state_dict()
        halves = {name: w.half() if w.is_floating_point() else w for name, w in weights.items()}
        lossless = all(torch.equal(halves[name].to(weight.dtype), weight) for name, weight in weights.items())
        self.model.save_pretrained(Path(save_directory) / self.subfolder, state_dict=halves if lossless else weights)

    @classmethod
    def from_pretrained(
        cls, repo_or_dir: str | Path, decoding: str | None = None, subfolder: str = "", **hub_arguments
    ) -> "ChordRecognizer":
        """The recogniser in the folder `chords` (below `subfolder`) of a hub repository or local folder, or at the top
        of one that holds nothing else, in float32. Raises ValueError where weights are missing.

        hub_arguments: cache_dir, force_download, local_files_only, revision, token; others are not looked at.
        """
        arguments = {key: hub_arguments[key] for key in HUB_ARGUMENTS if hub_arguments.get(key) is not None}
        folder = subfolder or ""
        if not _is_recognizer(repo_or_dir, folder, arguments):
            folder = str(PurePosixPath(folder) / cls.subfolder)
        model, report = BTCModel.from_pretrained(
            repo_or_dir, subfolder=folder, dtype=torch.float32, output_loading_info=True, **arguments
        )
        if missing := report["missing_keys"]:  # transformers only warns, and leaves such weights random
            raise ValueError(f"{repo_or_dir} lacks {len(missing)} weights of the chord recogniser: get it again.")
        return cls(model, decoding)


def _is_recognizer(repo_or_dir: str | Path, folder: str, hub_arguments: dict) -> bool:
    """Whether the config.json of this folder is that of a chord recogniser."""
    quiet = {f"_raise_exceptions_for_{what}": False for what in ("missing_entries", "connection_errors")}
    path = cached_file(repo_or_dir, "config.json", subfolder=folder, **quiet, **hub_arguments)
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except ValueError:  # whoever reads it has a better sentence
        return False
    return config.get("model_type") == BTCConfig.model_type
