"""A small model on m2e-encoder, and its export, which takes a while and is made once."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch

from m2e.export.write import export
from modeling_m2e import (
    BTCConfig,
    BTCModel,
    M2EConfig,
    M2EEncoderConfig,
    M2EEncoderModel,
    M2EForMusicEmotion,
    M2EProcessor,
    MusicEmotionPipeline,
)
from modeling_m2e.chords_m2e import ChordRecognizer
from modeling_m2e.encoder_carried_m2e import DistilledEncoder
from modeling_m2e.harmony_statistics_m2e import STATISTICS

SIZES = {"widths": (4, 6, 8), "depths": (1, 1, 1), "squeezed_width": 2, "trunk_depth": 1, "hidden_size": 12}

CALIBRATION = {  # 5.1 and 4.8 are neutral, and differences of valence are larger
    "valence": {"source": [1.0, 5.1, 9.0], "target": [1.0, 5.0, 9.0]},
    "arousal": {"source": [1.0, 4.0, 4.8, 5.6, 9.0], "target": [1.0, 3.8, 5.0, 6.2, 9.0]},
}


WIDTH = {"constant": 0.1, "spread": 0.4, "seconds": -0.2, "below": 1.1, "above": 0.9}
ANSWERS = {
    "mood_base_rates": [0.3 + 0.002 * mood for mood in range(56)],
    "quadrant_temperature": 1.3,
    "calibration": CALIBRATION,
    "intervals": {"level": 0.8, "valence": WIDTH, "arousal": WIDTH | {"spread": 0.0}},
}


def pipeline() -> MusicEmotionPipeline:
    """With an ensemble, quadrants, answers, descriptors and statistics of harmony."""
    torch.manual_seed(0)
    network = M2EEncoderModel(M2EEncoderConfig(**SIZES)).eval()
    btc = BTCModel(BTCConfig(num_hidden_layers=1, hidden_size=16, intermediate_size=16))
    config = M2EConfig.default(
        embedding_size=12, fusion_size=32, branch_size=16, chord_size=8, num_quadrants=4, num_members=2,
        num_harmony_statistics=STATISTICS, mood_scale=[0.9] * 56, mood_offset=[-0.5] * 56,
        answers=ANSWERS, descriptors=["energy", "liveness", "music"],
    )  # fmt: skip
    with torch.no_grad():
        network.input_norm.running_mean -= 7.0  # of logarithms of power
        network.input_norm.running_var *= 9.0
        btc.classifier.weight *= 100  # many chords, not one
        model = M2EForMusicEmotion(config).eval()
        model.descriptor_head.bias[-1] += 5  # this is music
    processor = M2EProcessor.build(DistilledEncoder(network), ChordRecognizer(btc, "smooth"))
    return MusicEmotionPipeline(model=model, processor=processor)


@cache
def folder() -> Path:
    """A folder with the exported model."""
    out = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    export(pipeline(), out)
    return out
