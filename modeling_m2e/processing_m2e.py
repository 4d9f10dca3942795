"""The processor: audio to everything that the model eats, with the encoder and the chord recogniser inside."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import BatchFeature, ProcessorMixin

from .audio_m2e import AudioInput, describe, stream
from .chord_labels_m2e import ChordSegment, chord_tokens
from .chords_m2e import ChordRecognizer, ChordStream
from .encoder_m2e import HUB_ARGUMENTS, Encoder, load_encoder
from .feature_extraction_m2e import M2EFeatureExtractor
from .harmony_statistics_m2e import STATISTICS
from .key_m2e import FITTED, PAPER, Key, estimate_key, mode_index, normalise
from .windows_m2e import Window


@dataclass(frozen=True)
class TrackFeatures:
    """What one pass over a track yields.

    embeddings: (windows, width) float32.  windows: their times and weights.  duration: seconds.
    chords, key: None without harmony; key also where nothing decides it.
    statistics: (STATISTICS,) float32, see `HarmonyStatistics`; None without harmony or with another vocabulary.
    """

    path: str
    duration: float
    windows: list[Window]
    embeddings: torch.Tensor
    chords: list[ChordSegment] | None
    key: Key | None
    statistics: np.ndarray | None = None


class M2EProcessor(ProcessorMixin):
    """Bundles audio reading, a frozen encoder, chord recognition and the key.

    feature_extractor: sampling rate and window length of the encoder.
    encoder_reference: where the encoder comes from; its weights travel in the folder "encoder" or stay on the hub.
    chord_vocabulary: token ids that the model was trained with, "m2e" or "paper".
    has_chords: whether a chord recogniser travels in the folder "chords".
    windows_per_batch: how many windows the encoder sees at once; more than 1 costs memory and pays on a GPU only.
    """

    def __init__(
        self,
        feature_extractor: M2EFeatureExtractor,
        encoder_reference: dict | None = None,
        chord_vocabulary: str = "m2e",
        has_chords: bool = True,
        windows_per_batch: int = 1,
        **kwargs,
    ):
        super().__init__(feature_extractor, **kwargs)
        self.encoder_reference = encoder_reference
        self.chord_vocabulary = chord_vocabulary
        self.has_chords = has_chords
        self.windows_per_batch = windows_per_batch
        # Networks are no JSON: they are kept out of the init parameters and saved by `save_pretrained` below.
        self._encoder: Encoder | None = None
        self._chord_recognizer: ChordRecognizer | None = None

    @classmethod
    def build(
        cls, encoder: Encoder, chord_recognizer: ChordRecognizer | None = None, chord_vocabulary: str = "m2e"
    ) -> "M2EProcessor":
        """A processor of loaded parts; without a chord recogniser it gives no harmony."""
        extractor = M2EFeatureExtractor(encoder.sampling_rate, encoder.window_seconds)
        processor = cls(extractor, encoder.reference(), chord_vocabulary, has_chords=chord_recognizer is not None)
        processor._encoder, processor._chord_recognizer = encoder, chord_recognizer
        return processor

    @property
    def encoder(self) -> Encoder:
        """The frozen audio encoder."""
        if self._encoder is None:
            raise ValueError("This processor has no encoder: make it with from_pretrained or build.")
        return self._encoder

    @property
    def chord_recognizer(self) -> ChordRecognizer | None:
        """The chord recogniser, or None where the model was published without one."""
        return self._chord_recognizer

    @property
    def key_profile(self) -> str:
        """How the key is told from the chords: as in the paper for models that read its chord tokens."""
        return PAPER if self.chord_vocabulary == "paper" else FITTED

    def to(self, device: str | torch.device) -> "M2EProcessor":
        """Itself, with its networks on `device`."""
        self.encoder.to(device)
        if self._chord_recognizer is not None:
            self._chord_recognizer.to(device)
        return self

    def analyze(self, source: AudioInput, harmony: bool = True) -> TrackFeatures:
        """One pass over a track, decoded once and never held whole. Raises: AudioError."""
        cutter = self.feature_extractor.windows()
        rate = self.feature_extractor.sampling_rate
        reader = self._chord_recognizer.stream() if harmony and self._chord_recognizer is not None else None
        rates = [rate] if reader is None else sorted({rate, self._chord_recognizer.sampling_rate})
        pending, windows, embeddings = [], [], []

        def embed(enough: int) -> None:
            while len(pending) >= enough:
                batch = [samples for samples, _ in pending[: self.windows_per_batch]]
                windows.extend(window for _, window in pending[: self.windows_per_batch])
                embeddings.append(self.encoder(torch.from_numpy(np.stack(batch))))
                del pending[: self.windows_per_batch]

        for block in stream(source, rates):
            pending += cutter.push(block[rate])
            embed(self.windows_per_batch)
            if reader is not None:
                reader.push(block[self._chord_recognizer.sampling_rate])
        pending += cutter.finish()
        embed(1)

        duration = windows[-1].end
        harmony = (None, None) if reader is None else self._harmony(reader, duration)
        return TrackFeatures(describe(source), duration, windows, torch.cat(embeddings), *harmony)

    def hear_harmony(self, source: AudioInput) -> tuple[list[ChordSegment], Key | None, np.ndarray | None]:
        """Chords, key and statistics alone, as `analyze` gives them.

        Raises: AudioError; ValueError without a chord recogniser.
        """
        if self._chord_recognizer is None:
            raise ValueError("This processor has no chord recogniser.")
        reader, rate, samples = self._chord_recognizer.stream(), self._chord_recognizer.sampling_rate, 0
        for block in stream(source, [rate]):
            reader.push(block[rate])
            samples += len(block[rate])
        return self._harmony(reader, samples / rate)

    def _harmony(
        self, reader: ChordStream, duration: float
    ) -> tuple[list[ChordSegment], Key | None, np.ndarray | None]:
        """The chords that were heard, ending where the track ends, their key, and statistics."""
        chords = [
            ChordSegment(chord.start, min(chord.end, duration), chord.label)
            for chord in reader.finish()
            if chord.start < duration
        ]
        return chords, estimate_key(chords, profile=self.key_profile), reader.statistics()

    def collate(self, tracks: Sequence[TrackFeatures]) -> BatchFeature:
        """The model's inputs for several tracks, shorter ones padded and masked.

        embeddings (B, W, H), window_weights (B, W); chord_roots, chord_qualities, chord_durations and chord_mask, all
        (B, L); mode (B,); harmony_statistics (B, STATISTICS). A track without harmony has no chords, the mode of C
        major and NaN for statistics.
        """
        tokens = [chord_tokens(normalise(track.chords or [], track.key), self.chord_vocabulary) for track in tracks]
        weights = [torch.tensor([window.weight for window in track.windows]) for track in tracks]

        def padded(arrays) -> torch.Tensor:
            return pad_sequence([torch.as_tensor(array) for array in arrays], batch_first=True)

        return BatchFeature(
            {
                "embeddings": padded(track.embeddings for track in tracks),
                "window_weights": padded(weights),
                "chord_roots": padded(part.roots for part in tokens),
                "chord_qualities": padded(part.qualities for part in tokens),
                "chord_durations": padded(part.durations for part in tokens),
                "chord_mask": padded(np.ones(len(part.roots), bool) for part in tokens),
                "mode": torch.tensor([float(mode_index(track.key)) for track in tracks]),
                "harmony_statistics": torch.stack([_statistics(track) for track in tracks]),
            }
        )

    def __call__(
        self,
        audio: AudioInput | Sequence[AudioInput] | None = None,
        sampling_rate: int | None = None,
        harmony: bool = True,
        **kwargs,
    ) -> BatchFeature:
        """The model's inputs (see `collate`) for one track or a list of tracks.

        audio: any form of the audio module; bare waveforms need their `sampling_rate`. Raises: AudioError.
        """
        sources = audio if isinstance(audio, list) else [audio]
        if sampling_rate is not None:
            sources = [(np.asarray(waveform), sampling_rate) for waveform in sources]
        return self.collate([self.analyze(source, harmony) for source in sources])

    def to_dict(self) -> dict:
        """What processor_config.json holds."""
        networks = {name: self.__dict__.pop(name) for name in ("_encoder", "_chord_recognizer")}
        try:  # the base class copies everything deeply
            return super().to_dict()
        finally:
            self.__dict__.update(networks)

    def save_pretrained(
        self, save_directory: str | os.PathLike, push_to_hub: bool = False, repo_id: str | None = None, **kwargs
    ):
        """Writes processor_config.json and the folders "encoder" (unless its weights stay on the hub) and "chords".

        push_to_hub: also into the repo `repo_id` (named as the folder), in one commit; kwargs are those of push_to_hub.
        """
        os.makedirs(save_directory, exist_ok=True)
        self.encoder.save_pretrained(save_directory)
        if self._chord_recognizer is not None:
            self._chord_recognizer.save_pretrained(save_directory)
        written = super().save_pretrained(save_directory)
        if push_to_hub:  # not by the base class, which would send what itself has written
            self.push_to_hub(repo_id or os.path.basename(os.path.abspath(save_directory)), **kwargs)
        return written

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        """The processor of a hub repo or a folder, with its encoder and, where there is one, its chord recogniser."""
        processor = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        hub = {name: kwargs[name] for name in HUB_ARGUMENTS if kwargs.get(name) is not None}
        processor._encoder = load_encoder(processor.encoder_reference, pretrained_model_name_or_path, **hub)
        if processor.has_chords:
            processor._chord_recognizer = ChordRecognizer.from_pretrained(pretrained_model_name_or_path, **hub)
        return processor


def _statistics(track: TrackFeatures) -> torch.Tensor:
    return torch.full((STATISTICS,), torch.nan) if track.statistics is None else torch.tensor(track.statistics)
