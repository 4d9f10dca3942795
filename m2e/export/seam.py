"""Exported graphs in the place of a pipeline's encoder and chord recogniser; all else of the pipeline stays."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from m2e.export.runtime import Graphs
from modeling_m2e.chord_decoding_m2e import ONSET_HOP, ONSET_WINDOW
from modeling_m2e.chord_labels_m2e import ChordSegment
from modeling_m2e.chords_m2e import CHUNK_FRAMES, CHUNK_SAMPLES, SAMPLING_RATE, ChordFrames
from modeling_m2e.windows_m2e import check_windows

if TYPE_CHECKING:
    from modeling_m2e import MusicEmotionPipeline

PART_CHUNKS = 12  # two minutes at once
MARGIN_CHUNKS = 2  # around them, so that every block of frames is whole that one of them lies in


class GraphEncoder:
    """The encoder of exported graphs, with the members of the protocol `Encoder`."""

    def __init__(self, graphs: Graphs, encoder: Any):
        self._graphs, self._encoder = graphs, encoder
        self.sampling_rate, self.hidden_size = encoder.sampling_rate, encoder.hidden_size
        self.window_seconds = encoder.window_seconds
        self.reference: Callable[[], dict[str, Any]] = encoder.reference
        self.settings: Callable[[], dict[str, Any]] = encoder.settings
        self.save_pretrained: Callable[..., None] = encoder.save_pretrained

    def to(self, device: str | torch.device) -> "GraphEncoder":
        """Itself: graphs are computed on the CPU."""
        return self

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """(n, hidden_size) of windows (n, samples). Raises ModelError as `check_windows`."""
        return torch.from_numpy(self._graphs.encoder(check_windows(windows).numpy())["embeddings"])

    def seconds(self, windows: torch.Tensor) -> torch.Tensor:
        """(n, seconds, hidden_size) of windows (n, samples)."""
        return torch.from_numpy(self._graphs.encoder(check_windows(windows).numpy())["seconds"])


class GraphChords:
    """The chord recogniser of exported graphs, as far as a processor uses it."""

    sampling_rate = SAMPLING_RATE

    def __init__(self, graphs: Graphs):
        self.graphs = graphs
        self.labels: list[str] = graphs.description["chords"]["labels"]
        self.decoding: str = graphs.description["chords"]["decoding"]

    def to(self, device: str | torch.device) -> "GraphChords":
        """Itself: graphs are computed on the CPU."""
        return self

    def stream(self) -> "GraphChordStream":
        """A reader for one waveform in blocks."""
        return GraphChordStream(self)


class GraphChordStream:
    """As `ChordStream`, by a graph that takes a waveform; holds at most three minutes of it.

    Parts of two minutes are computed with twenty seconds around them, which gives the same as the whole at once.
    """

    def __init__(self, recognizer: GraphChords):
        self._graphs = recognizer.graphs
        self._frames = ChordFrames(recognizer.labels, recognizer.decoding)
        self._smooth = recognizer.decoding != "paper"
        self._held = np.empty(0, np.float32)  # from the margin before the next part on
        self._before = 0  # chunks of that margin
        self._samples = 0

    @property
    def duration(self) -> float:
        """Seconds that were pushed."""
        return self._samples / SAMPLING_RATE

    def push(self, samples: np.ndarray) -> None:
        """Takes the next samples (n,), mono, 22,050 Hz, of any number."""
        self._samples += len(samples)
        self._held = np.concatenate([self._held, samples])
        while len(self._held) > (needed := (self._before + PART_CHUNKS + MARGIN_CHUNKS) * CHUNK_SAMPLES):
            self._compute(self._held[:needed], self._before + PART_CHUNKS)
            begin = self._before + PART_CHUNKS - MARGIN_CHUNKS
            self._held, self._before = self._held[begin * CHUNK_SAMPLES :], MARGIN_CHUNKS

    def finish(self, duration: float | None = None) -> list[ChordSegment]:
        """The chords of everything that was pushed, see `ChordStream.finish`."""
        if len(self._held) > self._before * CHUNK_SAMPLES:
            self._compute(self._held)
        return self._frames.finish(self.duration, duration)

    def statistics(self) -> np.ndarray | None:
        """See `ChordStream.statistics`."""
        return self._frames.statistics()

    def _compute(self, waveform: np.ndarray, end: int | None = None) -> None:
        """Takes the frames of a part: from behind its margin to the end of the chunk `end`."""
        found = self._graphs.chords(np.pad(waveform, (0, max(0, ONSET_WINDOW - len(waveform)))))
        frames = slice(self._before * CHUNK_FRAMES, None if end is None else end * CHUNK_FRAMES)
        self._frames.push(found["logits"][frames], found["levels"][frames])
        if self._smooth:
            hops = CHUNK_SAMPLES // ONSET_HOP
            self._frames.push_onsets(found["onsets"][self._before * hops : None if end is None else end * hops])


def with_graphs(pipe: "MusicEmotionPipeline", graphs: Graphs) -> "MusicEmotionPipeline":
    """The pipeline, whose encoder and chord recogniser are those of `graphs` from now on."""
    processor = pipe.processor
    processor._encoder = GraphEncoder(graphs, processor.encoder)
    if processor.chord_recognizer is not None:
        processor._chord_recognizer = GraphChords(graphs)  # type: ignore[assignment]  # has what a processor uses
    return pipe
