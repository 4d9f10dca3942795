"""`pipeline("music-emotion")`: audio of any form in, one record per track out."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import Pipeline

from .audio_m2e import AudioInput, describe
from .bounds_m2e import MAX_LABELS, check_number
from .errors_m2e import M2EError, ModelError
from .harmony_m2e import Harmony
from .key_m2e import key_segments as keys_over_time
from .local_harmony_m2e import parts
from .modeling_m2e import M2EForMusicEmotion
from .output_m2e import compose
from .processing_m2e import M2EProcessor, Progress, TrackFeatures
from .record_m2e import FailedTrack, MusicEmotion
from .tempo_m2e import check_installed
from .weights_m2e import load_complete
from .windows_m2e import Window

# Of the network, that a record is composed of.
OUTPUTS = (
    *("mood_logits", "va", "quadrant_logits", "window_va", "window_mood_logits", "va_spread"),
    "descriptor_logits",
)
WINDOW_OUTPUTS = ("window_va", "window_mood_logits")
PARTS_AT_ONCE = 12  # of the curve, two minutes


class MusicEmotionPipeline(Pipeline):
    """Takes a path, URL, bytes, file object, (waveform, rate), {"array", "sampling_rate"} or a `datasets` audio value;
    a list of these gives a list, a generator or a column of `datasets` an iterator of records.

    top_k: how many moods a record keeps; None = all.  harmony: whether chords and key are recognised (yes).
    key_segments: whether a record also has the keys over time (no).
    tempo: whether a record also has the tempo (no), by librosa: pip install "m2e[tempo]".
    include_embedding, include_embeddings: whether a record also has the mean embedding of the track, and those of its
    windows (no).  progress: called while a track is analysed, see `Progress`.
    errors: "raise", or "record" to get a `FailedTrack` for a source that cannot be analysed, and go on with the others.
    batch_size: tracks that go through the network at once.  name: the name of the model in records.
    """

    model: M2EForMusicEmotion
    processor: M2EProcessor

    # What transformers loads for this task. It types these switches as None, which would mean "if there is one".
    _load_processor, _load_feature_extractor = True, False  # type: ignore[assignment]
    _load_image_processor, _load_tokenizer = False, False  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        read, trained = self.processor.chord_vocabulary, self.model.config.chord_vocabulary
        if read != trained:
            raise ModelError(
                f"The processor gives {read!r} chord tokens, but the model was trained with {trained!r}: use the "
                "processor of the model."
            )
        self.processor.to(self.device)
        source = str(self.model.config.name_or_path)  # a hub id, a folder, or "" for a new model
        self.name = (os.path.basename(os.path.abspath(source)) if os.path.isdir(source) else source) or None

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        device: str | torch.device | None = None,
        *,
        window_seconds: float | None = None,
        hop_seconds: float | None = None,
        windows_per_batch: int | None = None,
        encoder_dtype: str | torch.dtype = "float32",
        harmony: bool = True,
        key_segments: bool = False,
        include_embedding: bool = False,
        include_embeddings: bool = False,
        tempo: bool = False,
        **hub_arguments: Any,
    ) -> "MusicEmotionPipeline":
        """The pipeline of a hub repo or folder, by this installed code: none of the repo's own code is run.

        device: None = the first accelerator, else the CPU.  window_seconds: length of windows that follow each
        other; hop_seconds: from window to window, if these overlap; None = as saved.
        windows_per_batch: windows that the encoder takes at once; None = as saved.
        encoder_dtype: precision of a MERT encoder; other encoders are small and computed in float32.
        harmony, key_segments, include_embedding, include_embeddings, tempo: the parameters of calls that give none.
        Raises: ModelError where weights are missing, or librosa for the tempo.
        """
        hub_arguments["trust_remote_code"] = False
        model = load_complete(M2EForMusicEmotion, name, **hub_arguments)
        processor = M2EProcessor.from_pretrained(name, encoder_dtype=encoder_dtype, **hub_arguments)
        if window_seconds is not None:
            processor.feature_extractor.window_seconds = float(window_seconds)
            processor.feature_extractor.hop_seconds = None
        if hop_seconds is not None:
            processor.feature_extractor.hop_seconds = float(hop_seconds)
        if windows_per_batch is not None:
            processor.windows_per_batch = windows_per_batch
        return cls(
            model=model,
            processor=processor,
            device=device,
            harmony=harmony,
            key_segments=key_segments,
            include_embedding=include_embedding,
            include_embeddings=include_embeddings,
            tempo=tempo,
        )

    def __call__(
        self, inputs: AudioInput | Sequence[AudioInput] | Iterator[AudioInput], *args: Any, **kwargs: Any
    ) -> Any:
        """A `MusicEmotion` for one track, a list of them for a list, an iterator for all else with several tracks."""
        if isinstance(inputs, list) and not inputs:
            return []
        one = isinstance(inputs, str | bytes | bytearray | memoryview | list | tuple) or hasattr(inputs, "read")
        if not one and isinstance(inputs, Sequence | Iterator):  # transformers knows generators only
            inputs = (source for source in inputs)
        return super().__call__(inputs, *args, **kwargs)

    def predict_features(self, track: TrackFeatures) -> MusicEmotion:
        """The record of a track that `M2EProcessor.analyze` or a feature cache gave, without its audio."""
        settings = {name: value for name, value in self._postprocess_params.items() if name != "errors"}
        return self._record(track, self.forward(self._inputs(track)), **settings)

    def predict_embeddings(
        self,
        embeddings: torch.Tensor | np.ndarray,
        windows: Sequence[Window] | None = None,
        harmony: Harmony | None = None,
        path: str = "<embeddings>",
    ) -> MusicEmotion:
        """The record of a track from the embeddings (windows, width) of its windows, without its audio.

        windows: their times and weights, as `M2EProcessor.embed` gives them; None = windows that follow each other.
        harmony: as `M2EProcessor.analyze_harmony` gives it; None = a track without harmony.  path: in the record.
        Raises: ModelError for embeddings of another shape or width, or that are not finite.
        """
        vectors = torch.as_tensor(embeddings, dtype=torch.float32)
        if vectors.ndim != 2 or not vectors.isfinite().all():
            raise ModelError(f"Embeddings of shape {tuple(vectors.shape)}: give finite numbers (windows, width).")
        if windows is None:
            seconds = self.processor.feature_extractor.window_seconds
            windows = [Window(index * seconds, (index + 1) * seconds, 1.0) for index in range(len(vectors))]
        if len(windows) != len(vectors) or not len(vectors):
            raise ModelError(f"{len(vectors)} embeddings do not fit {len(windows)} windows: give one for each.")
        duration = max(window.end for window in windows) if harmony is None else harmony.duration
        track = TrackFeatures(path, duration, list(windows), vectors, chords=None, key=None)
        if harmony is not None:
            track = replace(track, chords=harmony.chords, key=harmony.key, statistics=harmony.statistics)
        return self.predict_features(track)

    def _inputs(self, track: TrackFeatures) -> dict[str, Any]:
        """The network's inputs for a track. The track goes with them, as `postprocess` sees nothing else."""
        return {**self.processor.collate([track]), "track": track}

    def _inputs_of_failed(self, track: FailedTrack) -> dict[str, Any]:
        """Inputs of the usual kind, as all tracks of a batch need; their outputs are not used."""
        empty = torch.zeros(1, self.processor.encoder.hidden_size)
        return self._inputs(TrackFeatures("", 0.0, [Window(0.0, 0.0, 1.0)], empty, None, None)) | {"track": track}

    def _sanitize_parameters(
        self,
        harmony: bool | None = None,
        errors: str | None = None,
        progress: Progress | None = None,
        tempo: bool | None = None,
        **kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if unknown := kwargs.keys() - {"top_k", "key_segments", "include_embedding", "include_embeddings"}:
            known = "top_k, harmony, key_segments, include_embedding, include_embeddings, tempo, progress and errors"
            raise TypeError(f"music-emotion has no parameter {', '.join(sorted(unknown))}; it takes {known}.")
        if errors not in (None, "raise", "record"):
            raise M2EError(f"music-emotion: errors is {errors!r}; use 'raise' or 'record'.")
        shown = {name: value for name, value in kwargs.items() if value is not None}
        if "top_k" in shown:
            check_number("music-emotion", "top_k", shown["top_k"], 1, MAX_LABELS, whole=True)
        handling = {} if errors is None else {"errors": errors}
        if tempo:
            check_installed()  # once, not for every track
        analysis = {"harmony": harmony, "progress": progress, "tempo": tempo}
        given = {name: value for name, value in analysis.items() if value is not None}
        return handling | given, {}, shown | handling

    # The three steps of transformers, which types all parameters as dicts and all outputs as tensors.

    def preprocess(  # type: ignore[override]
        self,
        input_: AudioInput,
        harmony: bool = True,
        errors: str = "raise",
        progress: Progress | None = None,
        tempo: bool = False,
    ) -> dict[str, Any]:
        try:
            return self._inputs(self.processor.analyze(input_, harmony, progress, tempo))
        except M2EError as error:
            if errors == "raise":
                raise
            return self._inputs_of_failed(FailedTrack(describe(input_), str(error), self.name))

    def _forward(self, input_tensors: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        track = input_tensors.pop("track")
        tracks = track if isinstance(track, list) else [track]
        seconds = self.processor.feature_extractor.harmony_seconds
        longer = seconds is not None and any(isinstance(t, TrackFeatures) and t.duration > seconds for t in tracks)
        local = self.model.config.use_encoder and longer  # a shorter track is one part: itself
        output = self.model(**input_tensors, output_windows=not local)
        found = {name: output[name] for name in OUTPUTS if output.get(name) is not None} | {"track": track}
        if not local:
            return found
        each = [self._window_outputs(one) for one in tracks]
        return found | {name: pad_sequence([one[name] for one in each], batch_first=True) for name in WINDOW_OUTPUTS}

    def _window_outputs(self, track: TrackFeatures | FailedTrack) -> dict[str, torch.Tensor]:
        """The outputs of a track's windows (windows, ...), each with the harmony around it; a few at once, so that the
        memory does not grow with the track."""
        if isinstance(track, FailedTrack):
            return {"window_va": torch.zeros(1, 2), "window_mood_logits": torch.zeros(1, self.model.config.num_labels)}
        seconds = self.processor.feature_extractor.harmony_seconds
        pieces: dict[str, list[torch.Tensor]] = {name: [] for name in WINDOW_OUTPUTS}
        waiting = parts(track, seconds, self.processor.key_profile)
        while some := list(islice(waiting, PARTS_AT_ONCE)):
            inputs = self._ensure_tensor_on_device(dict(self.processor.collate(some)), device=self.device)
            output = self.model(**inputs, output_windows=True)
            for name, own in pieces.items():
                own += [rows[: len(part.windows)] for rows, part in zip(output[name], some, strict=True)]
        return {name: torch.cat(own) for name, own in pieces.items()}

    def postprocess(  # type: ignore[override]
        self,
        model_outputs: dict[str, Any],
        errors: str = "raise",
        **shown: Any,
    ) -> MusicEmotion | FailedTrack:
        track: TrackFeatures | FailedTrack = model_outputs["track"]
        if isinstance(track, FailedTrack):
            return track
        try:
            return self._record(track, model_outputs, **shown)
        except M2EError as error:  # outputs that are not finite
            if errors == "raise":
                raise
            return FailedTrack(track.path, str(error), self.name)

    def _record(
        self,
        track: TrackFeatures,
        model_outputs: dict[str, Any],
        top_k: int | None = None,
        key_segments: bool = False,
        include_embedding: bool = False,
        include_embeddings: bool = False,
    ) -> MusicEmotion:
        outputs = {name: value[0] for name, value in model_outputs.items() if name != "track"}
        record = compose(
            **outputs,
            config=self.model.config,
            windows=track.windows,
            embeddings=track.embeddings,
            path=track.path,
            duration=track.duration,
            key=track.key,
            chords=track.chords,
            model=self.name,
            seconds_used=track.seconds_used,
            warnings=track.warnings,
            tempo=track.tempo,
        )
        record.moods = record.moods[:top_k]
        if key_segments and track.chords is not None:
            record.key_segments = keys_over_time(track.chords, track.key)
        if include_embedding:
            record.embedding = track.mean_embedding()
        if include_embeddings:
            record.embeddings = track.embeddings.cpu().numpy()
        return record

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write model, code and processor: all that anyone needs to load the model from a hub repo.

        push_to_hub: also into the repo `repo_id` (named as the folder), in one commit; kwargs are those of push_to_hub.
        """
        super().save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)
        if push_to_hub:
            self.push_to_hub(repo_id or os.path.basename(os.path.abspath(save_directory)), **kwargs)
