"""The feature extractor of the processor: cuts a track into the windows of the encoder."""

from typing import Any

import numpy as np
from transformers import BatchFeature, FeatureExtractionMixin

from .audio_m2e import AudioInput, load
from .bounds_m2e import RATE, check_number
from .errors_m2e import ModelError
from .windows_m2e import MIN_SECONDS, Windows

MAX_WINDOW_SECONDS = 3600.0  # of a saved model; a window is held in memory


class M2EFeatureExtractor(FeatureExtractionMixin):
    """Audio of any form and rate to the equal windows of an encoder.

    sampling_rate: of the encoder, in Hz.  window_seconds: length of a window (arXiv 2502.03979: 30 s).
    hop_seconds: from window to window, for encoders with an embedding of each second; None: they follow each other.
    skip_silence: leave silence out of windows, see `SilenceCutter`; for models that were trained so.
    harmony_seconds: of harmony around each point of the curve, see local_harmony_m2e; None: that of the whole track.
    padding_value, padding_side: fill the features of shorter tracks in a batch; weights and masks are 0 there.
    """

    model_input_names = ["input_values", "window_weights"]

    def __init__(
        self,
        sampling_rate: int = 16000,
        window_seconds: float = 30.0,
        padding_value: float = 0.0,
        padding_side: str = "right",
        skip_silence: bool = False,
        hop_seconds: float | None = None,
        harmony_seconds: float | None = None,
        **kwargs: Any,
    ):
        check_number("M2EFeatureExtractor", "sampling_rate", sampling_rate, *RATE, whole=True)
        check_number("M2EFeatureExtractor", "window_seconds", window_seconds, MIN_SECONDS, MAX_WINDOW_SECONDS)
        for name, seconds in (("hop_seconds", hop_seconds), ("harmony_seconds", harmony_seconds)):
            if seconds is not None:
                check_number("M2EFeatureExtractor", name, seconds, MIN_SECONDS, MAX_WINDOW_SECONDS)
        if not isinstance(skip_silence, bool):
            raise ModelError(f"M2EFeatureExtractor: skip_silence is {str(skip_silence)[:40]}; give true or false.")
        super().__init__(**kwargs)
        self.sampling_rate = sampling_rate
        self.window_seconds = window_seconds
        self.hop_seconds = hop_seconds
        self.padding_value = padding_value
        self.padding_side = padding_side
        self.skip_silence = skip_silence
        self.harmony_seconds = harmony_seconds

    def __call__(
        self, audio: AudioInput, sampling_rate: int | None = None, return_tensors: str | None = None, **kwargs: Any
    ) -> BatchFeature:
        """input_values (windows, samples) and window_weights (windows,) of one track; the windows follow each other.

        audio: as for `stream` of the audio module, or a bare waveform with its `sampling_rate`. Raises: AudioError.
        """
        waveform, _ = load(audio if sampling_rate is None else (np.asarray(audio), sampling_rate), self.sampling_rate)
        cutter = Windows(round(self.window_seconds * self.sampling_rate), self.sampling_rate, self.skip_silence)
        pieces = cutter.push(waveform) + cutter.finish()
        values = np.stack([samples for samples, _ in pieces])
        weights = np.array([window.weight for _, window in pieces], np.float32)
        return BatchFeature({"input_values": values, "window_weights": weights}, tensor_type=return_tensors)
