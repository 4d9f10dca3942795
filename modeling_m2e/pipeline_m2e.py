"""`pipeline("music-emotion")`: audio of any form in, one `MusicEmotion` record per track out."""

import os
from collections.abc import Iterator, Sequence

from transformers import Pipeline

from .audio_m2e import AudioInput
from .key_m2e import key_segments as keys_over_time
from .output_m2e import compose
from .record_m2e import MusicEmotion


class MusicEmotionPipeline(Pipeline):
    """Takes a path, URL, bytes, file object, (waveform, rate), {"array", "sampling_rate"} or a `datasets` audio value;
    a list of these gives a list, a generator or a column of `datasets` an iterator of records.

    top_k: how many moods a record keeps (all).  harmony: whether chords and key are recognised (yes).
    key_segments: whether a record also tells the keys over time (no).
    batch_size: tracks that go through the network at once.  name: what records call the model.
    """

    _load_processor = True
    _load_feature_extractor = False
    _load_image_processor = False
    _load_tokenizer = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        read, trained = self.processor.chord_vocabulary, self.model.config.chord_vocabulary
        if read != trained:
            raise ValueError(f"The processor gives {read!r} chord tokens, but the model was trained with {trained!r}.")
        self.processor.to(self.device)
        source = str(self.model.config.name_or_path)  # a hub id, a folder, or "" for a new model
        self.name = (os.path.basename(os.path.abspath(source)) if os.path.isdir(source) else source) or None

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, device=None, **hub_arguments) -> "MusicEmotionPipeline":
        """The pipeline of a hub repo or folder, by this installed code: none of the repo's own code is run."""
        from .modeling_m2e import M2EForMusicEmotion
        from .processing_m2e import M2EProcessor

        model, report = M2EForMusicEmotion.from_pretrained(name, output_loading_info=True, **hub_arguments)
        if report["missing_keys"]:  # transformers only warns, and leaves such weights random
            raise ValueError(f"{name} lacks weights of the model, the first is {min(report['missing_keys'])}.")
        processor = M2EProcessor.from_pretrained(name, **hub_arguments)
        return cls(model=model, processor=processor, device=device)

    def __call__(self, inputs: AudioInput | Sequence[AudioInput] | Iterator[AudioInput], **kwargs):
        if isinstance(inputs, list) and not inputs:
            return []
        one = isinstance(inputs, str | bytes | bytearray | memoryview | list | tuple) or hasattr(inputs, "read")
        if not one and isinstance(inputs, Sequence | Iterator):  # transformers knows generators only
            inputs = (source for source in inputs)
        return super().__call__(inputs, **kwargs)

    def _sanitize_parameters(self, harmony: bool | None = None, **kwargs):
        if unknown := kwargs.keys() - {"top_k", "key_segments"}:
            known = "top_k, harmony and key_segments"
            raise TypeError(f"music-emotion knows no parameter {', '.join(sorted(unknown))}; it takes {known}.")
        shown = {name: value for name, value in kwargs.items() if value is not None}
        return {} if harmony is None else {"harmony": harmony}, {}, shown

    def preprocess(self, inputs: AudioInput, harmony: bool = True) -> dict:
        track = self.processor.analyze(inputs, harmony)
        return {**self.processor.collate([track]), "track": track}

    def _forward(self, model_inputs: dict) -> dict:
        track = model_inputs.pop("track")
        output = self.model(**model_inputs)
        names = ("mood_logits", "va", "quadrant_logits", "window_va")
        return {name: output[name] for name in names if output.get(name) is not None} | {"track": track}

    def postprocess(self, model_outputs: dict, top_k: int | None = None, key_segments: bool = False) -> MusicEmotion:
        track = model_outputs["track"]
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
        )
        record.moods = record.moods[:top_k]
        if key_segments and track.chords is not None:
            record.key_segments = keys_over_time(track.chords, track.key)
        return record

    def save_pretrained(
        self, save_directory: str | os.PathLike, push_to_hub: bool = False, repo_id: str | None = None, **kwargs
    ):
        """Model, code and processor: what a hub repo needs to be loaded by anyone.

        push_to_hub: also into the repo `repo_id` (named as the folder), in one commit; kwargs are those of push_to_hub.
        """
        super().save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)
        if push_to_hub:
            self.push_to_hub(repo_id or os.path.basename(os.path.abspath(save_directory)), **kwargs)
