"""The parts of a model as networks that can be exported: they take waveforms, and no operation of theirs is rare.

`EncoderGraph` and `ChordGraph` take waveforms, `HeadsGraph` what is made of their outputs. Between them stand the
cutting into windows, the decoding of chords and the key, which are no networks.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from m2e.export.constant_q import ConstantQ
from m2e.export.spectrum import Spectrum, framed
from modeling_m2e import BTCModel, M2EEncoderModel, M2EForMusicEmotion
from modeling_m2e.chord_decoding_m2e import ONSET_HOP, ONSET_WINDOW
from modeling_m2e.chord_logits_m2e import MAX_GAIN
from modeling_m2e.chords_m2e import BINS, BINS_PER_OCTAVE, CHUNK_FRAMES, CHUNK_SAMPLES, FLOOR, HOP, MIN_SAMPLES
from modeling_m2e.chords_m2e import SAMPLING_RATE as CHORD_RATE
from modeling_m2e.modeling_encoder import loudness

Axes = dict[str, tuple[str | int, ...]]  # of inputs or outputs; an axis with a name may have any length


class Graph(nn.Module):
    """A network to export: its name, its inputs and outputs in order, and inputs as an example."""

    name: ClassVar[str]
    inputs: Axes
    outputs: Axes

    def example(self) -> tuple[torch.Tensor, ...]:
        """Inputs of lengths above 1, by which the exporter follows the network."""
        raise NotImplementedError

    def filters(self) -> set[str]:
        """Names of the numbers of its transforms."""
        return {name for name, _ in self.named_buffers() if not name.startswith("model.")}


class EncoderGraph(Graph):
    """Windows of a waveform to the embeddings of their seconds and of the whole."""

    name = "encoder"
    mel: torch.Tensor

    def __init__(self, model: M2EEncoderModel):
        super().__init__()
        self.model = model
        width = model.config.hidden_size
        self.inputs = {"waveform": ("windows", "samples")}
        self.outputs = {"seconds": ("windows", "seconds", width), "embeddings": ("windows", width)}
        self.spectrum = Spectrum(model.window)
        self.register_buffer("mel", self.spectrum.weights(model.mel))

    def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, seconds, hidden_size) and (n, hidden_size) of (n, samples)."""
        config = self.model.config
        padded = F.pad(self.model.padded(waveform), (0, -config.n_fft % config.hop_length))
        frames = framed(padded, config.n_fft, config.hop_length)
        bands = (self.spectrum(frames.flatten(0, 1)) @ self.mel).sum(0)
        power = bands.unflatten(0, (-1, frames.shape[1])).transpose(1, 2)
        seconds = self.model.encode(power / loudness(waveform).clamp(min=1e-9)[:, None, None])
        return seconds, self.model.pool(seconds, waveform.shape[1])

    def example(self) -> tuple[torch.Tensor, ...]:
        return (_noise(2, self.model.config.sampling_rate * 5 // 2),)


class ChordGraph(Graph):
    """A waveform to what its chords are decoded from: logits and level of every frame, and strengths of onsets."""

    name = "chords"
    counted: torch.Tensor

    def __init__(self, model: BTCModel, overlap: bool):
        super().__init__()
        self.model = model
        self.inputs = {"waveform": ("samples",)}
        classes = model.classifier.out_features
        self.outputs = {"logits": ("frames", classes), "levels": ("frames",), "onsets": ("hops",)}
        self.cqt = ConstantQ(CHORD_RATE, HOP, BINS, BINS_PER_OCTAVE)
        self.onset_spectrum = Spectrum(torch.hann_window(ONSET_WINDOW))
        counted = self.onset_spectrum.weights(torch.ones(ONSET_WINDOW // 2 + 1, 1))
        self.register_buffer("counted", counted)
        self.size = model.config.num_frames
        self.shared = self.size // 3 if overlap else 0

    def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(frames, classes), (frames,) and (samples // 245,) of (samples,), at least 490."""
        features = self.features(waveform)
        return self.logits(features), features.amax(1), self.onsets(waveform)

    def example(self) -> tuple[torch.Tensor, ...]:
        return (_noise(CHUNK_SAMPLES * 5 // 2),)

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """(frames, 144) as `cqt_features`."""
        samples = waveform.shape[0]
        chunks = F.pad(waveform, (0, -samples % CHUNK_SAMPLES)).reshape(-1, CHUNK_SAMPLES)
        lengths = (samples - CHUNK_SAMPLES * torch.arange(chunks.shape[0])).clamp(MIN_SAMPLES, CHUNK_SAMPLES)
        whole, rest = samples // CHUNK_SAMPLES, samples % CHUNK_SAMPLES
        last = 1 + (torch.sym_max(rest, MIN_SAMPLES) + 1) // 2 // (HOP // 2)
        frames = whole * CHUNK_FRAMES + torch.sym_min(rest, 1) * last
        return (self.cqt(chunks, lengths) + FLOOR).log().flatten(0, 1)[:frames]

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """(frames, classes) as `frame_logits`."""
        config, frames = self.model.config, features.shape[0]
        step = self.size - self.shared
        blocks = torch.sym_max(frames - self.shared + step - 1, step) // step
        rows = (blocks + (step < self.size)) * step
        missing = (0, 0, 0, rows - frames)
        pieces = framed(F.pad(features, missing)[None], self.size, step)[0]
        there = framed(F.pad(torch.ones_like(features[:, :1]), missing)[None], self.size, step)[0]
        if config.level is not None:  # as `levelled`
            power = ((2 * pieces).exp() * there).sum((1, 2)) / (there.sum((1, 2)) * features.shape[1])
            pieces = pieces + (config.level - power.log() / 2).clamp(max=MAX_GAIN)[:, None, None]
        predicted = self.model(there * (pieces - config.feature_mean) / config.feature_std).logits
        if not self.shared:
            return predicted.flatten(0, 1)[:frames]
        counts = self._added(torch.ones_like(predicted[:, :, :1]))
        return (self._added(predicted) / counts)[:frames]

    def _added(self, blocks: torch.Tensor) -> torch.Tensor:
        """(frames, m) sums of overlapping blocks (n, size, m)."""
        step = self.size - self.shared
        begun = F.pad(blocks[:, :step], (0, 0, 0, 0, 0, 1))
        ended = F.pad(blocks[:, step:], (0, 0, 0, step - self.shared, 1, 0))
        return (begun + ended).flatten(0, 1)

    def onsets(self, waveform: torch.Tensor) -> torch.Tensor:
        """(samples // 245,) as `onset_strength`."""
        half = ONSET_WINDOW // 2
        count = waveform.shape[0] // ONSET_HOP
        padded = F.pad(waveform[None], (half, half), mode="reflect")[:, : (count + 2) * ONSET_HOP]
        magnitudes = self.onset_spectrum(framed(padded, ONSET_WINDOW, ONSET_HOP)[0]).sqrt().log1p()
        rises = ((magnitudes[:, 1:] - magnitudes[:, :-1]).relu() @ self.counted).sum((0, 2))
        return F.pad(rises[:-1], (1, 0))


class HeadsGraph(Graph):
    """One track's embeddings, chords and key to its emotion: the outputs of `M2EForMusicEmotion` without losses.

    Which inputs and outputs there are depends on the model.
    """

    name = "model"

    def __init__(self, model: M2EForMusicEmotion):
        super().__init__()
        self.model = model
        config = model.config
        self.inputs = {}
        if config.use_encoder:
            self.inputs |= {"embeddings": ("windows", config.embedding_size), "window_weights": ("windows",)}
        if config.use_harmony:
            chords = ("chord_roots", "chord_qualities", "chord_durations", "chord_mask")
            self.inputs |= {name: ("chords",) for name in chords} | {"mode": ()}
            if config.num_harmony_statistics:
                self.inputs["harmony_statistics"] = (config.num_harmony_statistics,)
        with torch.no_grad():
            trial = {name: value[0] for name, value in self._run(self.example()).items()}
        self.outputs = {
            name: ("windows", *value.shape[1:]) if name.startswith("window_") else tuple(value.shape)
            for name, value in trial.items()
        }

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The outputs for one track, without the axis of tracks."""
        return tuple(value[0] for value in self._run(inputs).values())

    def _run(self, inputs: Iterable[torch.Tensor]) -> dict[str, torch.Tensor]:
        named = {name: value[None] for name, value in zip(self.inputs, inputs, strict=True)}
        return dict(self.model(**named, output_hidden_states=False))

    def example(self) -> tuple[torch.Tensor, ...]:
        sizes = {"windows": 3, "chords": 7}
        kinds = {"chord_roots": torch.int64, "chord_qualities": torch.int64, "chord_mask": torch.bool}
        return tuple(
            torch.ones([sizes[axis] if isinstance(axis, str) else axis for axis in axes], dtype=kinds.get(name))
            for name, axes in self.inputs.items()
        )


def _noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
