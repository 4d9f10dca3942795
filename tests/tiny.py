"""Small models with random weights, and audio for them."""

import json
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from transformers import HubertConfig, HubertModel

from modeling_m2e import (
    BTCConfig,
    BTCModel,
    M2EConfig,
    M2EForMusicEmotion,
    M2EProcessor,
    MusicEmotionPipeline,
    TaggerEncoder,
)
from modeling_m2e.chord_labels_m2e import VOCABULARY
from modeling_m2e.chords_m2e import ChordRecognizer
from modeling_m2e.modeling_taggers import TaggersConfig, TaggersModel

SAMPLING_RATE = 22050
ROOT = Path(__file__).resolve().parent.parent


def pipeline(chords: bool = True) -> MusicEmotionPipeline:
    """A whole model of about a megabyte, windows of 3 s."""
    torch.manual_seed(0)
    encoder = TaggerEncoder(TaggersModel(TaggersConfig(nets=["musicnn_msd"])))
    btc = BTCModel(BTCConfig(num_hidden_layers=1, hidden_size=16, intermediate_size=16))
    with torch.no_grad():
        btc.classifier.weight *= 100  # many chords, not one
    recognizer = ChordRecognizer(btc, "smooth") if chords else None
    processor = M2EProcessor.build(encoder, recognizer)
    processor.feature_extractor.window_seconds = 3.0
    config = M2EConfig.default(embedding_size=encoder.hidden_size, fusion_size=32, branch_size=16)
    return MusicEmotionPipeline(model=M2EForMusicEmotion(config).eval(), processor=processor)


def waveform(seconds: float, seed: int = 0) -> np.ndarray:
    """Changing tones in noise (samples,) float32 at SAMPLING_RATE."""
    random = np.random.default_rng(seed)
    samples = round(seconds * SAMPLING_RATE)
    notes = np.repeat(random.integers(40, 80, 1 + int(2 * seconds)), SAMPLING_RATE // 2)[:samples]
    phase = 2 * np.pi * np.cumsum(440 * 2 ** ((notes - 69) / 12)) / SAMPLING_RATE
    return (0.3 * np.sin(phase) + 0.05 * random.standard_normal(len(phase))).astype(np.float32)


def published_mert(width: int = 768, layers: int = 7) -> dict[str, bytes]:
    """The files of a MERT repository of 2023; its code raises where it is run."""
    import io

    config = HubertConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=12,
        intermediate_size=32,
        conv_dim=[16] * 7,
        num_conv_pos_embeddings=8,
    )
    torch.manual_seed(1)
    state = OrderedDict(HubertModel(config).half().state_dict())
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        state[f"encoder.pos_conv_embed.conv.{old}"] = state.pop(
            f"encoder.pos_conv_embed.conv.parametrizations.weight.{new}"
        )
    weights = io.BytesIO()
    torch.save(state, weights)
    described = config.to_dict() | {
        "architectures": ["MERTModel"],
        "auto_map": {"AutoConfig": "configuration_MERT.MERTConfig", "AutoModel": "modeling_MERT.MERTModel"},
        "model_type": "mert_model",
        "sample_rate": 24000,
        "transformers_version": "4.24.0",
    }
    preprocessor = {
        "do_normalize": True,
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "return_attention_mask": True,
        "sampling_rate": 24000,
    }
    trap = b"raise SystemExit('the code of a repo was run')\n"
    return {
        "config.json": json.dumps(described).encode(),
        "preprocessor_config.json": json.dumps(preprocessor).encode(),
        "pytorch_model.bin": weights.getvalue(),
        "configuration_MERT.py": trap,
        "modeling_MERT.py": trap,
    }


def published_head(seed: int = 0, embedding_size: int = 1536) -> dict:
    """What a Lightning checkpoint of a Music2Emo student holds."""
    torch.manual_seed(seed)
    layer = torch.nn.TransformerEncoderLayer(8, 8, dim_feedforward=64, batch_first=True)
    network = torch.nn.ModuleDict(
        {
            "chord_root_embedding": torch.nn.Embedding(14, 4),
            "chord_attr_embedding": torch.nn.Embedding(14, 4),
            "chord_transformer": torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
            "input_proj": torch.nn.Sequential(torch.nn.Linear(embedding_size + 8 + 1, 512)),
            "classification_branch": _branch(56),
            "regression_branch": _branch(2),
        }
    )
    state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    state["model.regression_branch.2.bias"] += 5  # the middle of the scale
    share = torch.linspace(0.01, 0.1, 56, dtype=torch.float64)
    for loss in ("loss_fn_classification", "loss_fn_classification_eval"):
        state[f"{loss}.weight"], state[f"{loss}.pos_weight"] = 2 / (1 + 1 / share), 1 / share
    return {"epoch": 1, "global_step": 10, "pytorch-lightning_version": "2.4.0", "state_dict": state}


def _branch(outputs: int) -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Linear(512, 256), torch.nn.ReLU(), torch.nn.Linear(256, outputs))


def constant_chord(checkpoint: Path, chord: str) -> dict:
    """A published chord recogniser that detects `chord` and nothing else, made of another one."""
    from m2e.checkpoints.convert_btc import _load

    content = _load(checkpoint)
    content["model"]["output_layer.output_projection.weight"].zero_()
    bias = content["model"]["output_layer.output_projection.bias"]
    bias.copy_(torch.eye(len(VOCABULARY))[VOCABULARY.index(chord)] * 10)
    return content


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """A script in an isolated interpreter that may reach the hub of HF_ENDPOINT and knows no token."""
    import os

    dropped = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HF_ENDPOINT", "PYTHONPATH")
    inherited = {name: value for name, value in os.environ.items() if name not in dropped}
    return subprocess.run(
        [sys.executable, "-I", "-c", script, *arguments],
        env=inherited | environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=600,
    )
