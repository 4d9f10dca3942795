"""`pipeline("music-emotion")`: audio of any form in, one `MusicEmotion` record per track out."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from transformers import Pipeline

from .audio_m2e import AudioInput
from .errors_m2e import ModelError
from .key_m2e import key_segments as keys_over_time
from .modeling_m2e import M2EForMusicEmotion
from .output_m2e import compose
from .processing_m2e import M2EProcessor, TrackFeatures
from .record_m2e import MusicEmotion
from .weights_m2e import check_weights

OUTPUTS = ("mood_logits", "va", "quadrant_logits", "window_va")  # of the network, that a record is composed of


class MusicEmotionPipeline(Pipeline):
    """Takes a path, URL, bytes, file object, (waveform, rate), {"array", "sampling_rate"} or a `datasets` audio value;
    a list of these gives a list, a generator or a column of `datasets` an iterator of records.

    top_k: how many moods a record keeps; None = all.  harmony: whether chords and key are recognised (yes).
    key_segments: whether a record also has the keys over time (no).
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
        windows_per_batch: int | None = None,
        encoder_dtype: str | torch.dtype = "float32",
        harmony: bool = True,
        key_segments: bool = False,
        **hub_arguments: Any,
    ) -> "MusicEmotionPipeline":
        """The pipeline of a hub repo or folder, by this installed code: none of the repo's own code is run.

        device: None = the first accelerator, else the CPU.  window_seconds: length of a window; None = as saved.
        windows_per_batch: windows that the encoder takes at once; None = as saved.
        encoder_dtype: precision of a MERT encoder; other encoders are small and computed in float32.
        harmony, key_segments: the parameters of calls that give none.
        Raises: ModelError where weights are missing.
        """
        hub_arguments["trust_remote_code"] = False
        loaded = M2EForMusicEmotion.from_pretrained(name, output_loading_info=True, **hub_arguments)
        model, report = cast(tuple[M2EForMusicEmotion, dict[str, Any]], loaded)  # a pair, with output_loading_info
        if report["missing_keys"]:  # transformers only warns, and leaves such weights random
            missing = min(report["missing_keys"])
            raise ModelError(f"{name} lacks weights of the model, the first is {missing}: save or download it again.")
        check_weights(model, str(name))
        processor = M2EProcessor.from_pretrained(name, encoder_dtype=encoder_dtype, **hub_arguments)
        if window_seconds is not None:
            processor.feature_extractor.window_seconds = float(window_seconds)
        if windows_per_batch is not None:
            processor.windows_per_batch = windows_per_batch
        return cls(model=model, processor=processor, device=device, harmony=harmony, key_segments=key_segments)

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
        return self.postprocess(self.forward(self._inputs(track)), **self._postprocess_params)

    def _inputs(self, track: TrackFeatures) -> dict[str, Any]:
        """The network's inputs for a track. The track goes with them, as `postprocess` sees nothing else."""
        return {**self.processor.collate([track]), "track": track}

    def _sanitize_parameters(
        self, harmony: bool | None = None, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if unknown := kwargs.keys() - {"top_k", "key_segments"}:
            known = "top_k, harmony and key_segments"
            raise TypeError(f"music-emotion has no parameter {', '.join(sorted(unknown))}; it takes {known}.")
        shown = {name: value for name, value in kwargs.items() if value is not None}
        return {} if harmony is None else {"harmony": harmony}, {}, shown

    # The three steps of transformers, which types all parameters as dicts and all outputs as tensors.

    def preprocess(self, input_: AudioInput, harmony: bool = True) -> dict[str, Any]:  # type: ignore[override]
        return self._inputs(self.processor.analyze(input_, harmony))

    def _forward(self, input_tensors: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        track = input_tensors.pop("track")
        output = self.model(**input_tensors)
        return {name: output[name] for name in OUTPUTS if output.get(name) is not None} | {"track": track}

    def postprocess(  # type: ignore[override]
        self, model_outputs: dict[str, Any], top_k: int | None = None, key_segments: bool = False
    ) -> MusicEmotion:
        track: TrackFeatures = model_outputs["track"]
        outputs = {name: value[0] for name, value in model_outputs.items() if name != "track"}
        record = compose(
            **outputs,
            config=self.model.config,
            windows=track.windows,
            path=track.path,
            duration=track.duration,
            key=track.key,
            chords=track.chords,
            model=self.name,
            seconds_used=track.seconds_used,
            warnings=track.warnings,
        )
        record.moods = record.moods[:top_k]
        if key_segments and track.chords is not None:
            record.key_segments = keys_over_time(track.chords, track.key)
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
