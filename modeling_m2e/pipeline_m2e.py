"""`pipeline("music-emotion")`: audio of any form in, one `MusicEmotion` record per track out."""

import os

from transformers import Pipeline

from .audio_m2e import AudioInput
from .output_m2e import MusicEmotion, compose


class MusicEmotionPipeline(Pipeline):
    """Takes a path, URL, bytes, file object, (waveform, rate), {"array", "sampling_rate"} or a `datasets` audio value;
    a list of these gives a list, a generator or dataset an iterator of records.

    top_k: how many moods a record keeps (all).  harmony: whether chords and key are recognised (yes).
    """

    _load_processor = True
    _load_feature_extractor = False
    _load_image_processor = False
    _load_tokenizer = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.processor.to(self.device)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, device=None, **hub_arguments) -> "MusicEmotionPipeline":
        """The pipeline of a hub repo or folder, by this installed code: none of the repo's own code is run."""
        from .modeling_m2e import M2EForMusicEmotion
        from .processing_m2e import M2EProcessor

        model = M2EForMusicEmotion.from_pretrained(name, **hub_arguments)
        processor = M2EProcessor.from_pretrained(name, **hub_arguments)
        return cls(model=model, processor=processor, device=device)

    @property
    def name(self) -> str:
        """What records call the model: its hub id, or the name of its folder."""
        source = str(self.model.config.name_or_path)
        return os.path.basename(os.path.normpath(source)) if os.path.isdir(source) else source

    def _sanitize_parameters(self, top_k: int | None = None, harmony: bool | None = None, **kwargs):
        if kwargs:
            raise TypeError(f"music-emotion knows no parameter {', '.join(kwargs)}; it takes top_k and harmony.")
        return (
            {} if harmony is None else {"harmony": harmony},
            {},
            {} if top_k is None else {"top_k": top_k},
        )

    def preprocess(self, inputs: AudioInput, harmony: bool = True) -> dict:
        track = self.processor.analyze(inputs, harmony)
        return {**self.processor.collate([track]), "track": track}

    def _forward(self, model_inputs: dict) -> dict:
        track = model_inputs.pop("track")
        output = self.model(**model_inputs)
        names = ("mood_logits", "va", "quadrant_logits", "window_va")
        return {name: output[name] for name in names if output.get(name) is not None} | {"track": track}

    def postprocess(self, model_outputs: dict, top_k: int | None = None) -> MusicEmotion:
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
        return record

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs):
        """Model, code and processor: what a hub repo needs to be loaded by anyone."""
        super().save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)
