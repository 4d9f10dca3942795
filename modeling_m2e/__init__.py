"""The model package: importing it makes transformers know the model type "m2e" and the task "music-emotion"."""

from pathlib import Path

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from .chord_labels_m2e import ChordSegment
from .configuration_m2e import M2EConfig
from .encoder_m2e import MertEncoder, TaggerEncoder
from .feature_extraction_m2e import M2EFeatureExtractor
from .key_m2e import Key
from .modeling_btc import BTCConfig, BTCModel
from .modeling_encoder import M2EEncoderConfig, M2EEncoderModel
from .modeling_m2e import M2EForMusicEmotion, M2EModel
from .pipeline_m2e import MusicEmotionPipeline
from .processing_m2e import M2EProcessor
from .record_m2e import FailedTrack, MusicEmotion, TrackHarmony

__all__ = [
    "AudioError",
    "BTCConfig",
    "BTCModel",
    "ChordSegment",
    "FailedTrack",
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
    "TrackHarmony",
]

TASK = "music-emotion"

# What save_pretrained notes in config.json, so that the repo loads where this package is not installed.
M2EConfig.register_for_auto_class()
M2EForMusicEmotion.register_for_auto_class("AutoModel")
M2EFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
M2EProcessor.register_for_auto_class("AutoProcessor")

AutoConfig.register("m2e", M2EConfig)
AutoModel.register(M2EConfig, M2EForMusicEmotion)
AutoFeatureExtractor.register(M2EConfig, M2EFeatureExtractor)
AutoProcessor.register(M2EConfig, M2EProcessor)
AutoConfig.register("m2e-btc", BTCConfig)
AutoModel.register(BTCConfig, BTCModel)
AutoConfig.register("m2e-encoder", M2EEncoderConfig)
AutoModel.register(M2EEncoderConfig, M2EEncoderModel)
PIPELINE_REGISTRY.register_pipeline(TASK, pipeline_class=MusicEmotionPipeline, pt_model=AutoModel, type="audio")
# pipeline("music-emotion") alone takes the model that ships with the package; in a copy, because what was registered
# is written into every config.json.
_EMBEDDED = Path(__file__).resolve().parent.parent / "m2e" / "models" / "m2e-small"
_REGISTERED = PIPELINE_REGISTRY.supported_tasks[TASK]
PIPELINE_REGISTRY.supported_tasks[TASK] = _REGISTERED | {"default": {"model": (str(_EMBEDDED), "main")}}


class _CustomPipelines(dict):
    """The tasks that a config names: transformers may read the name off it, but not find the task itself.

    It would otherwise insist on running the pipeline code of the repo, though the class registered here is at hand.
    """

    def __contains__(self, task: object) -> bool:
        return task != TASK and super().__contains__(task)


def _custom_pipelines(config: M2EConfig) -> _CustomPipelines:
    return _CustomPipelines(vars(config).get("custom_pipelines", {}))


def _set_custom_pipelines(config: M2EConfig, tasks: dict) -> None:
    vars(config)["custom_pipelines"] = tasks  # what is saved


M2EConfig.custom_pipelines = property(_custom_pipelines, _set_custom_pipelines)
