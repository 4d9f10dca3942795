"""The processor: turns audio into the model's inputs, with the frozen encoder and the chord recogniser inside."""

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import BatchFeature, ProcessorMixin

from .audio_blocks_m2e import AudioReport
from .audio_m2e import AudioInput, describe, stream
from .bounds_m2e import check_number
from .chord_labels_m2e import ChordSegment, ChordTokens, chord_tokens, without_edges
from .chords_m2e import ChordRecognizer
from .encoder_m2e import HUB_ARGUMENTS, Encoder, load_encoder
from .encoder_mert_m2e import find_file, read_json
from .errors_m2e import ModelError
from .feature_extraction_m2e import M2EFeatureExtractor
from .harmony_m2e import Harmony, HarmonyStream, analyze_harmony
from .harmony_statistics_m2e import harmony_statistics
from .key_m2e import Key, key_profile, mode_index, normalise
from .limits_m2e import Limits
from .tempo_m2e import SAMPLING_RATE as TEMPO_RATE
from .tempo_m2e import TempoStream
from .window_embeddings_m2e import SlidingEmbeddings, WindowEmbeddings
from .windows_m2e import Window

SAVED = ("encoder_reference", "chord_vocabulary", "has_chords", "windows_per_batch")  # in processor_config.json
MAX_WINDOWS_PER_BATCH = 1024
# Called as progress(path, seconds so far, seconds of the track or None) while a track is analysed.
Progress = Callable[[str, float, float | None], None]


@dataclass(frozen=True)
class TrackFeatures:
    """The features of one track.

    embeddings: (windows, width) float32.  windows: their times and weights.  duration: seconds.
    chords, key: None without harmony; the key also where nothing decides it.
    statistics: (cells, CELL_NUMBERS) float32, see `HarmonyStatistics`; None without harmony or with another vocabulary.
    seconds_used, warnings: of the audio, see `AudioReport`.  tempo: beats per minute, None unless asked for and found.
    A feature cache does not keep these three.
    """

    path: str
    duration: float
    windows: list[Window]
    embeddings: torch.Tensor
    chords: list[ChordSegment] | None
    key: Key | None
    statistics: np.ndarray | None = None
    seconds_used: float | None = None
    warnings: tuple[str, ...] = ()
    tempo: float | None = None

    def mean_embedding(self) -> np.ndarray:
        """(width,) float32: the mean of the embeddings, weighted by the durations that the windows stand for."""
        weights = [window.weight for window in self.windows]
        return np.average(self.embeddings.cpu().numpy(), axis=0, weights=weights).astype(np.float32)


class M2EProcessor(ProcessorMixin):
    """Bundles audio reading, a frozen encoder, chord recognition and the key.

    feature_extractor: sampling rate and window length of the encoder.
    encoder_reference: source of the encoder; its weights are in the folder "encoder" or stay on the hub.
    chord_vocabulary: token ids that the model was trained with, "m2e" or "paper".
    has_chords: whether there is a chord recogniser in the folder "chords".
    windows_per_batch: windows that the encoder embeds at once; more than 1 needs memory and is faster on a GPU only.
    limits: beyond which a track is refused (none); an attribute that is not saved.
    """

    def __init__(
        self,
        feature_extractor: M2EFeatureExtractor,
        encoder_reference: dict[str, Any] | None = None,
        chord_vocabulary: str = "m2e",
        has_chords: bool = True,
        windows_per_batch: int = 1,
        **kwargs: Any,
    ):
        check_number("M2EProcessor", "windows_per_batch", windows_per_batch, 1, MAX_WINDOWS_PER_BATCH, whole=True)
        if not isinstance(encoder_reference, dict | None):
            raise ModelError("M2EProcessor: encoder_reference is no object: save or download the model again.")
        if chord_vocabulary not in ("m2e", "paper"):
            raise ModelError(f"M2EProcessor: chord_vocabulary is {chord_vocabulary!r}; use 'm2e' or 'paper'.")
        super().__init__(feature_extractor, **kwargs)
        self.encoder_reference = encoder_reference
        self.chord_vocabulary = chord_vocabulary
        self.has_chords = has_chords
        self.windows_per_batch = windows_per_batch
        self.limits = Limits()
        # Networks are no JSON: they are no init parameters, and `save_pretrained` below writes them.
        self._encoder: Encoder | None = None
        self._chord_recognizer: ChordRecognizer | None = None

    @classmethod
    def build(
        cls,
        encoder: Encoder,
        chord_recognizer: ChordRecognizer | None = None,
        chord_vocabulary: str = "m2e",
        **windows: Any,
    ) -> "M2EProcessor":
        """A processor made of loaded parts; without a chord recogniser it gives no harmony.

        windows: of `M2EFeatureExtractor`: window_seconds, hop_seconds, skip_silence, harmony_seconds.
        """
        extractor = M2EFeatureExtractor(encoder.sampling_rate, **{"window_seconds": encoder.window_seconds, **windows})
        processor = cls(extractor, encoder.reference(), chord_vocabulary, has_chords=chord_recognizer is not None)
        processor._encoder, processor._chord_recognizer = encoder, chord_recognizer
        return processor

    @property
    def encoder(self) -> Encoder:
        """The frozen audio encoder."""
        if self._encoder is None:
            raise ModelError("This processor has no encoder: make it with from_pretrained or build.")
        return self._encoder

    @property
    def chord_recognizer(self) -> ChordRecognizer | None:
        """The chord recogniser, or None where the model was published without one."""
        return self._chord_recognizer

    @property
    def key_profile(self) -> str:
        """The profile that estimates the key from the chords, see `key_profile` of key_m2e."""
        return key_profile(self.chord_vocabulary)

    def to(self, device: str | torch.device) -> "M2EProcessor":
        """Itself, with its networks on `device`."""
        self.encoder.to(device)
        if self._chord_recognizer is not None:
            self._chord_recognizer.to(device)
        return self

    def analyze(
        self, source: AudioInput, harmony: bool = True, progress: Progress | None = None, tempo: bool = False
    ) -> TrackFeatures:
        """The features of a track, decoded once and never held whole.

        progress: called after every block, of at most 30 s, see `Progress`.  tempo: whether it is estimated.
        Raises: AudioError; ModelError for a tempo without librosa.
        """
        windows = self._window_embeddings()
        rate, chord_rate = self.feature_extractor.sampling_rate, ChordRecognizer.sampling_rate
        chords = HarmonyStream(self._chord_recognizer) if harmony and self._chord_recognizer is not None else None
        beats = TempoStream() if tempo else None
        readers = ((chord_rate, chords), (TEMPO_RATE, beats))
        rates = sorted({rate, *(own for own, reader in readers if reader is not None)})
        report = AudioReport()
        for block in stream(source, rates, report=report, limits=self.limits):
            windows.push(block[rate])
            for own, reader in readers:
                if reader is not None:
                    reader.push(block[own])
            if progress is not None:
                progress(describe(source), windows.duration, report.seconds_expected)
        found = None if chords is None else chords.finish(windows.duration, self.key_profile)
        bpm = None if beats is None else beats.finish()
        del chords, beats, readers  # a long track holds much there
        spans, embeddings = windows.finish()
        track = TrackFeatures(
            describe(source),
            windows.duration,
            spans,
            embeddings,
            chords=None,
            key=None,
            seconds_used=report.seconds_used,
            warnings=tuple(report.warnings),
            tempo=bpm,
        )
        if found is None:
            return track
        return replace(track, chords=found.chords, key=found.key, statistics=found.statistics)

    def _window_embeddings(self) -> WindowEmbeddings:
        extractor = self.feature_extractor
        size, hop, silence = extractor.window_seconds, extractor.hop_seconds, extractor.skip_silence
        if hop is None:
            return WindowEmbeddings(self.encoder, size, silence, self.windows_per_batch)
        return SlidingEmbeddings(self.encoder, size, hop, silence, self.windows_per_batch)

    def embed(self, source: AudioInput) -> tuple[list[Window], torch.Tensor]:
        """The windows of a track, and the encoder's embeddings (windows, width) of them. Raises: AudioError."""
        track = self.analyze(source, harmony=False)
        return track.windows, track.embeddings

    def analyze_harmony(self, source: AudioInput) -> Harmony:
        """Chords, key and statistics alone, as `analyze` gives them.

        Raises: AudioError; ModelError without a chord recogniser.
        """
        if self._chord_recognizer is None:
            raise ModelError("This processor has no chord recogniser: take a model that has one.")
        return analyze_harmony(source, self._chord_recognizer, self.key_profile, limits=self.limits)

    def collate(self, tracks: Sequence[TrackFeatures]) -> BatchFeature:
        """The model's inputs for several tracks, shorter ones padded and masked.

        embeddings (B, W, H), window_weights (B, W); chord_roots, chord_qualities, chord_durations and chord_mask, all
        (B, L); mode (B,); harmony_statistics (B, STATISTICS). A track without harmony has no chords, the mode of C
        major and NaN for statistics.
        """
        tokens = [self._tokens(track) for track in tracks]
        weights = [torch.tensor([window.weight for window in track.windows]) for track in tracks]

        def padded(arrays: Iterable[torch.Tensor | np.ndarray]) -> torch.Tensor:
            tensors = [torch.as_tensor(array) for array in arrays]
            return tensors[0][None] if len(tensors) == 1 else pad_sequence(tensors, batch_first=True)

        return BatchFeature(
            {
                "embeddings": padded(track.embeddings for track in tracks),
                "window_weights": padded(weights),
                "chord_roots": padded(part.roots for part in tokens),
                "chord_qualities": padded(part.qualities for part in tokens),
                "chord_durations": padded(part.durations for part in tokens),
                "chord_mask": padded(np.ones(len(part.roots), bool) for part in tokens),
                "mode": torch.tensor([float(mode_index(track.key)) for track in tracks]),
                "harmony_statistics": padded(harmony_statistics(track.statistics) for track in tracks),
            }
        )

    def _tokens(self, track: TrackFeatures) -> ChordTokens:
        chords: Sequence[ChordSegment] = track.chords or []
        if self.chord_vocabulary != "paper":
            chords = without_edges(chords)
        return chord_tokens(normalise(chords, track.key), self.chord_vocabulary)

    def __call__(
        self,
        audio: AudioInput | Sequence[AudioInput] | None = None,
        sampling_rate: int | None = None,
        harmony: bool = True,
        **kwargs: Any,
    ) -> BatchFeature:
        """The model's inputs (see `collate`) for one track or a list of tracks.

        audio: as `stream` of the audio module takes it; bare waveforms need their `sampling_rate`. Raises: AudioError.
        """
        sources = audio if isinstance(audio, list) else [audio]
        if sampling_rate is not None:
            sources = [(np.asarray(waveform), sampling_rate) for waveform in sources]
        return self.collate([self.analyze(source, harmony) for source in sources])

    def to_dict(self) -> dict[str, Any]:
        """The content of processor_config.json."""
        bare = copy.copy(self)  # without the networks, which the base class would copy deeply
        del bare._encoder, bare._chord_recognizer, bare.limits
        return super(M2EProcessor, bare).to_dict()

    def save_pretrained(
        self, save_directory: str | os.PathLike, push_to_hub: bool = False, repo_id: str | None = None, **kwargs: Any
    ) -> list[str]:
        """Paths of written files: processor_config.json and the folders "encoder" (unless its weights stay on the hub)
        and "chords" are written.

        push_to_hub: also push to the repo `repo_id` (default: the folder's name) in one commit; kwargs are passed on.
        """
        os.makedirs(save_directory, exist_ok=True)
        self.encoder.save_pretrained(save_directory)
        if self._chord_recognizer is not None:
            self._chord_recognizer.save_pretrained(save_directory)
        written = super().save_pretrained(save_directory)
        if push_to_hub:  # the base class would push only its own files
            self.push_to_hub(repo_id or os.path.basename(os.path.abspath(save_directory)), **kwargs)
        return written

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the base class lists the hub's arguments, which pass through
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> "M2EProcessor":
        """The processor of a hub repo or a folder, with its encoder and, where there is one, its chord recogniser.

        Not by the base class, which would load any class and any other repo that the files name: `trust_remote_code`
        is ignored, because no code of the repo is needed.
        kwargs: those of the hub, and parameters of the processor that replace saved ones; encoder_dtype, the precision
        of MERT ("float32"); others are ignored.
        Raises: ModelError.
        """
        hub = {name: kwargs[name] for name in HUB_ARGUMENTS if kwargs.get(name) is not None}
        file = find_file(os.fspath(pretrained_model_name_or_path), "processor_config.json", hub)
        if file is None:
            raise ModelError(
                f"{pretrained_model_name_or_path} has no processor_config.json: save or download the model again."
            )
        saved = {**read_json(file), **kwargs}
        if not isinstance(saved.get("feature_extractor", {}), dict):
            raise ModelError(f"{file}: feature_extractor is no object: save or download the model again.")
        extractor = M2EFeatureExtractor.from_pretrained(pretrained_model_name_or_path, **hub)
        processor = cls(extractor, **{name: saved[name] for name in SAVED if name in saved})
        if processor.encoder_reference is None:
            raise ModelError(f"{pretrained_model_name_or_path} names no encoder: save or download the model again.")
        processor._encoder = load_encoder(
            processor.encoder_reference, pretrained_model_name_or_path, kwargs.get("encoder_dtype") or "float32", **hub
        )
        if processor.has_chords:
            processor._chord_recognizer = ChordRecognizer.from_pretrained(pretrained_model_name_or_path, **hub)
        return processor
