"""The model package: importing it makes transformers know the model type "m2e" and the task "music-emotion"."""

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from .audio_m2e import AudioError
from .configuration_m2e import M2EConfig
from .encoder_m2e import MertEncoder, TaggerEncoder
from .feature_extraction_m2e import M2EFeatureExtractor
from .harmony_m2e import ChordSegment, Key
from .modeling_btc import BTCConfig, BTCModel
from .modeling_m2e import M2EForMusicEmotion, M2EModel
from .output_m2e import MusicEmotion
from .pipeline_m2e import MusicEmotionPipeline
from .processing_m2e import M2EProcessor

__all__ = [
    "AudioError",
    "BTCConfig",
    "BTCModel",
    "ChordSegment",
    "Key",
    "M2EConfig",
    "M2EFeatureExtractor",
    "M2EForMusicEmotion",
    "M2EModel",
    "M2EProcessor",
    "MertEncoder",
    "MusicEmotion",
    "MusicEmotionPipeline",
    "TaggerEncoder",
]

# What save_pretrained notes in config.json, so that the repo loads where this package is not installed.
M2EConfig.register_for_auto_class()
M2EForMusicEmotion.register_for_auto_class("AutoModel")
M2EFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
M2EProcessor.register_for_auto_class("AutoProcessor")

AutoConfig.register("m2e", M2EConfig)
AutoModel.register(M2EConfig, M2EForMusicEmotion)
AutoFeatureExtractor.register(M2EConfig, M2EFeatureExtractor)
AutoProcessor.register(M2EConfig, M2EProcessor)
PIPELINE_REGISTRY.register_pipeline(
    "music-emotion", pipeline_class=MusicEmotionPipeline, pt_model=AutoModel, type="audio"
)
