"""The model package: importing it registers the model type "m2e" and the task "music-emotion" with transformers."""

import logging
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from .chord_labels_m2e import ChordSegment
from .configuration_m2e import M2EConfig
from .encoder_carried_m2e import DistilledEncoder, TaggerEncoder
from .encoder_m2e import MertEncoder
from .errors_m2e import AudioError
from .feature_extraction_m2e import M2EFeatureExtractor
from .harmony_m2e import Harmony
from .key_m2e import Key
from .modeling_btc import BTCConfig, BTCModel
from .modeling_encoder import M2EEncoderConfig, M2EEncoderModel
from .modeling_m2e import M2EForMusicEmotion, M2EModel
from .pipeline_m2e import MusicEmotionPipeline
from .processing_m2e import M2EProcessor, TrackFeatures
from .record_m2e import FailedTrack, MusicEmotion, TrackHarmony
from .windows_m2e import Window

__all__ = [
    "AudioError",
    "BTCConfig",
    "BTCModel",
    "ChordSegment",
    "DistilledEncoder",
    "FailedTrack",
    "Harmony",
    "Key",
    "M2EConfig",
    "M2EEncoderConfig",
    "M2EEncoderModel",
    "M2EFeatureExtractor",
    "M2EForMusicEmotion",
    "M2EModel",
    "M2EProcessor",
    "MertEncoder",
    "MusicEmotion",
    "MusicEmotionPipeline",
    "TaggerEncoder",
    "TrackFeatures",
    "TrackHarmony",
    "Window",
]

TASK = "music-emotion"
# By model type: the Auto classes of transformers, and the classes of this package that they make.
AUTO_CLASSES: dict[str, dict[str, Any]] = {
    "m2e": {
        "AutoConfig": M2EConfig,
        "AutoModel": M2EForMusicEmotion,
        "AutoFeatureExtractor": M2EFeatureExtractor,
        "AutoProcessor": M2EProcessor,
    },
    "m2e-btc": {"AutoConfig": BTCConfig, "AutoModel": BTCModel},
    "m2e-encoder": {"AutoConfig": M2EEncoderConfig, "AutoModel": M2EEncoderModel},
}


def _code(part: type) -> str:
    """The module and name of a class in the flat code of a hub repo."""
    return f"{part.__module__.rpartition('.')[2]}.{part.__name__}"


def auto_map(model_type: str, *names: str) -> dict[str, str]:
    """The entry "auto_map" of a configuration file, which lets a repo load where this package is not installed.

    names: of the Auto classes in it.
    """
    return {name: _code(AUTO_CLASSES[model_type][name]) for name in names}


# The entry "custom_pipelines" of config.json, for the same purpose.
CUSTOM_PIPELINES = {TASK: {"impl": _code(MusicEmotionPipeline), "pt": ["AutoModel"], "type": "audio"}}

for _model_type, _classes in AUTO_CLASSES.items():
    AutoConfig.register(_model_type, _classes["AutoConfig"])
    AutoModel.register(_classes["AutoConfig"], _classes["AutoModel"])
for _name, _class in AUTO_CLASSES["m2e"].items():
    _class.register_for_auto_class(_name)  # save_pretrained then writes auto_map and copies the code
AutoFeatureExtractor.register(M2EConfig, M2EFeatureExtractor)
AutoProcessor.register(M2EConfig, M2EProcessor)
PIPELINE_REGISTRY.register_pipeline(TASK, pipeline_class=MusicEmotionPipeline, pt_model=AutoModel, type="audio")
# pipeline("music-emotion") without a model loads the one in this package. The default goes into a copy, because the
# registered dict is written into every config.json.
_EMBEDDED = Path(__file__).resolve().parent.parent / "m2e" / "models" / "m2e-small"
_REGISTERED = PIPELINE_REGISTRY.supported_tasks[TASK]
PIPELINE_REGISTRY.supported_tasks[TASK] = _REGISTERED | {"default": {"model": (str(_EMBEDDED), "main")}}
# transformers advises against a default model, which may change: this one changes with the version of this package only
logging.getLogger("transformers.pipelines").addFilter(lambda record: str(_EMBEDDED) not in record.getMessage())


class _CustomPipelines(dict):
    """The entry of a config, in which `in` does not find our own task.

    Where transformers finds the task there, it runs the pipeline code of the repo instead of the class registered here.
    """

    def __contains__(self, task: object) -> bool:
        return task != TASK and super().__contains__(task)


def _custom_pipelines(config: M2EConfig) -> _CustomPipelines:
    return _CustomPipelines(vars(config).get("custom_pipelines", {}))


def _set_custom_pipelines(config: M2EConfig, tasks: dict[str, Any]) -> None:
    vars(config)["custom_pipelines"] = tasks  # save_pretrained writes this


M2EConfig.custom_pipelines = property(  # type: ignore[attr-defined]  # transformers sets it without a declaration
    _custom_pipelines, _set_custom_pipelines
)
