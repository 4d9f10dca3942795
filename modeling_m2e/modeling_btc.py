"""BTC, the bi-directional transformer for chord recognition, as a transformers model.

Park, Choi, Jeon, Kim, Park: "A Bi-Directional Transformer for Musical Chord Recognition", ISMIR 2019. The input are
10-second pieces of a constant-Q transform, the output is one of 170 chords for each of their 108 frames.
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedConfig
from transformers import initialization as init
from transformers.utils import ModelOutput

from .bounds_m2e import MAX_LABELS, Bounds, check_common, check_numbers, check_parameters
from .chord_labels_m2e import VOCABULARY
from .errors_m2e import ModelError
from .weights_m2e import CheckedModel

_WHOLE: Bounds = {
    "num_bins": (1, 1 << 12),
    "num_frames": (1, 10_000),
    "hidden_size": (1, 1 << 12),
    "num_hidden_layers": (1, 64),
    "num_attention_heads": (1, 256),
    "intermediate_size": (1, 1 << 14),
    "kernel_size": (1, 1001),
    "num_labels": (1, MAX_LABELS),
}
_REAL: Bounds = {
    "max_timescale": (1, 1e9),
    "layer_norm_eps": (0, 1),
    "input_dropout": (0, 1),
    "layer_dropout": (0, 1),
    "attention_dropout": (0, 1),
    "relu_dropout": (0, 1),
    "feature_mean": (-1e6, 1e6),
    "feature_std": (1e-6, 1e6),
    "level": (-100, 100),
}


class BTCConfig(PreTrainedConfig):
    """Sizes of a BTC network (defaults: the published large-vocabulary one) and the scale of its input.

    num_bins, num_frames: shape of one input piece. intermediate_size, kernel_size: width of the position-wise
    convolutions and frames they span. feature_mean, feature_std: scalars of log(|CQT| + 1e-6) over the training
    data; the network expects (feature - feature_mean) / feature_std. level: of the features of every piece, which is
    brought to it first (see `levelled` of chord_logits_m2e), so that the answer does not depend on the volume; None =
    as they are, as published. decoding: default of ChordRecognizer.
    """

    model_type = "m2e-btc"

    num_bins: int = 144
    num_frames: int = 108
    hidden_size: int = 128
    num_hidden_layers: int = 8
    num_attention_heads: int = 4
    intermediate_size: int = 128
    kernel_size: int = 3
    max_timescale: float = 10000.0  # frames, slowest sinusoid of the timing signal / 2 pi
    input_dropout: float = 0.2
    layer_dropout: float = 0.2
    attention_dropout: float = 0.2
    relu_dropout: float = 0.2
    layer_norm_eps: float = 1e-6  # added to the standard deviation, not to the variance
    feature_mean: float = 0.0
    feature_std: float = 1.0
    level: float | None = None
    decoding: str = "paper"

    def __post_init__(self, **kwargs: Any) -> None:
        check_common(self, kwargs)
        if self.id2label is None and kwargs.get("num_labels") in (None, len(VOCABULARY)):
            self.id2label = dict(enumerate(VOCABULARY))
            self.label2id = {label: index for index, label in enumerate(VOCABULARY)}
        super().__post_init__(**kwargs)
        check_numbers(self, _WHOLE, _REAL, optional=("level",))
        convolutions = 4 * self.kernel_size * self.hidden_size * self.intermediate_size  # two, in both directions
        layer = convolutions + 10 * self.hidden_size**2
        check_parameters("BTCConfig", self.num_hidden_layers * layer)
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ModelError(
                f"BTCConfig: hidden_size {self.hidden_size} must be divisible by twice num_attention_heads "
                f"{self.num_attention_heads}."
            )


@dataclass
class BTCOutput(ModelOutput):
    """loss: scalar, mean cross-entropy over labelled frames. logits: (batch, frames, 170). last_hidden_state:
    (batch, frames, hidden_size) after the last norm. hidden_states: on request, the input of the first layer and
    the output of each layer, (batch, frames, hidden_size) each."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


def timing_signal(frames: int, size: int, max_timescale: float = 10000.0) -> torch.Tensor:
    """(frames, size) float32: sines of `size / 2` geometrically spaced timescales 1...max_timescale, then cosines."""
    scales = size // 2
    steps = torch.arange(scales, dtype=torch.float64) / max(scales - 1, 1)
    angles = torch.arange(frames, dtype=torch.float64)[:, None] * torch.exp(-math.log(max_timescale) * steps)
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


class BTCLayerNorm(nn.Module):
    """Layer norm that divides by (unbiased standard deviation + eps).

    By the fused kernel: its biased variance is smaller by (n - 1) / n, which the gain corrects, and eps is squared
    under the root. The remaining relative difference is eps / deviation, about 1e-6.
    """

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.bias_correction = (size - 1) / size
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight * math.sqrt(self.bias_correction)
        return F.layer_norm(x, self.weight.shape, weight, self.bias, self.eps**2 * self.bias_correction)


class BTCAttention(nn.Module):
    """Multi-head attention of each frame over itself and the past, or over itself and the future (`reverse`)."""

    def __init__(self, config: BTCConfig, reverse: bool):
        super().__init__()
        self.heads = config.num_attention_heads
        self.dropout = config.attention_dropout
        self.reverse = reverse
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.output = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, frames, size = x.shape
        qkv = self.query_key_value(x)
        if self.reverse:  # the future mask is the causal one of the reversed piece
            qkv = qkv.flip(1)
        query, key, value = qkv.view(batch, frames, 3, self.heads, size // self.heads).permute(2, 0, 3, 1, 4)
        if self.training and x.device.type == "cpu":
            attended = self._causal_attention(query, key, value)
        else:
            dropout = self.dropout if self.training else 0.0
            attended = F.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=dropout)
        attended = attended.transpose(1, 2).reshape(batch, frames, size)
        if self.reverse:
            attended = attended.flip(1)
        return self.output(attended)

    def _causal_attention(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """The same without the fused kernel, whose backward pass takes half of a training step on a CPU."""
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        weights = scores.masked_fill(future, -math.inf).softmax(-1).to(value.dtype)
        return F.dropout(weights, self.dropout) @ value


class BTCFeedForward(nn.Module):
    """Two convolutions over time, each followed by ReLU: the second one too, as published."""

    def __init__(self, config: BTCConfig):
        super().__init__()
        size, inner, kernel = config.hidden_size, config.intermediate_size, config.kernel_size
        self.conv_in = nn.Conv1d(size, inner, kernel, padding=kernel // 2)
        self.conv_out = nn.Conv1d(inner, size, kernel, padding=kernel // 2)
        self.dropout = nn.Dropout(config.relu_dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        image = x.transpose(1, 2).unsqueeze(2)  # a row of frames, channels last: the layout of x, and the fastest
        image = self.dropout(F.relu(self._convolve(image, self.conv_in)))
        return F.relu(self._convolve(image, self.conv_out)).squeeze(2).transpose(1, 2)

    @staticmethod
    def _convolve(image: torch.Tensor, conv: nn.Conv1d) -> torch.Tensor:
        weight = conv.weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return F.conv2d(image, weight, conv.bias, padding=(0, conv.kernel_size[0] // 2))


class BTCBlock(nn.Module):
    """Pre-norm transformer block that looks in one direction of time (paper section 3.2)."""

    def __init__(self, config: BTCConfig, reverse: bool):
        super().__init__()
        self.attention_norm = BTCLayerNorm(config.hidden_size, config.layer_norm_eps)
        self.attention = BTCAttention(config, reverse)
        self.feed_forward_norm = BTCLayerNorm(config.hidden_size, config.layer_norm_eps)
        self.feed_forward = BTCFeedForward(config)
        self.dropout = nn.Dropout(config.layer_dropout)
        # ReLU dropout and layer dropout follow each other here: one dropout that keeps what both keep.
        self.feed_forward_dropout = nn.Dropout(1 - (1 - config.relu_dropout) * (1 - config.layer_dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.feed_forward_dropout(self.feed_forward(self.feed_forward_norm(x)))


class BTCLayer(nn.Module):
    """A block for the past and one for the future, concatenated and projected back to hidden_size."""

    def __init__(self, config: BTCConfig):
        super().__init__()
        self.forward_block = BTCBlock(config, reverse=False)
        self.backward_block = BTCBlock(config, reverse=True)
        self.projection = nn.Linear(2 * config.hidden_size, config.hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.projection(torch.cat([self.forward_block(x), self.backward_block(x)], dim=-1))


class BTCModel(CheckedModel):
    """CQT pieces -> chord logits of every frame. Weights are trained from scratch or converted from published ones."""

    config: BTCConfig
    base_model_prefix = "btc"
    main_input_name = "input_features"
    input_modalities = "audio"
    _supports_sdpa = True
    _no_split_modules = ["BTCLayer"]

    def __init__(self, config: BTCConfig):
        super().__init__(config)
        self.input_dropout = nn.Dropout(config.input_dropout)
        self.embedding = nn.Linear(config.num_bins, config.hidden_size, bias=False)
        self.layers = nn.ModuleList(BTCLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = BTCLayerNorm(config.hidden_size, config.layer_norm_eps)
        self.classifier = nn.Linear(config.hidden_size, cast(int, config.num_labels))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """PyTorch's own scheme: a deviation of 0.02, as in transformers, is too small for layers without a skip."""
        if isinstance(module, nn.Linear | nn.Conv1d):
            bound = 1 / math.sqrt(module.weight[0].numel())
            init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                init.uniform_(module.bias, -bound, bound)
        else:
            super()._init_weights(module)

    def forward(
        self,
        input_features: torch.Tensor,
        labels: torch.Tensor | None = None,
        output_hidden_states: bool = False,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> BTCOutput | tuple[torch.Tensor, ...]:
        """BTCOutput for input_features (batch, frames, num_bins), normalised log-magnitudes; frames is 108 in training
        and in published weights. labels: (batch, frames) chord class ids, -100 = not counted."""
        signal = timing_signal(input_features.shape[1], self.config.hidden_size, self.config.max_timescale)
        x = self.embedding(self.input_dropout(input_features))
        x = x + signal.to(x)
        states = (x,)
        for layer in self.layers:
            x = layer(x)
            states += (x,) if output_hidden_states else ()
        x = self.norm(x)
        logits = self.classifier(x)
        loss = None
        if labels is not None:  # a sum over the count: a batch without any label gives 0, not NaN
            total = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum")
            loss = total / (labels != -100).sum().clamp(min=1)
        output = BTCOutput(
            loss=loss, logits=logits, last_hidden_state=x, hidden_states=states if output_hidden_states else None
        )
        return output.to_tuple() if return_dict is False else output
