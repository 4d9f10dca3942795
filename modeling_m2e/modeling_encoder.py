"""A compact convolutional music encoder: a waveform to one embedding per second, and their average.

Log-mel spectrogram, convolutions over time and frequency, then over time alone. Trained here by distillation of several
published networks (`m2e.training.encoder`).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedConfig
from transformers import initialization as init
from transformers.utils import ModelOutput

from .mel_m2e import mel_filters
from .weights_m2e import CheckedModel

TIME_STRIDES = (3, 3)  # of the stem and of the last stage
MEL_STRIDE = 8  # mel bands in one band of the last stage: each of three steps halves them


class M2EEncoderConfig(PreTrainedConfig):
    """Sizes of the encoder and the scale of its input.

    sampling_rate, in Hz, divided by hop_length, in samples: spectra per second, a multiple of 9.
    num_mel_bins: a multiple of 8, from min_frequency to max_frequency, in Hz.
    power_floor: added to the power of a mel band, where the loudness is 1; 1e-7 = -70 dB.
    widths, depths: channels and blocks of the three stages over time and frequency; stage 1 has a third of the spectra
    and half of the bands, stage 2 a quarter of the bands, stage 3 a ninth and an eighth. Blocks of the first two are
    dense convolutions, those of the third and of the trunk depthwise: where few channels meet many positions a dense
    convolution takes less time than a depthwise one.
    squeezed_width: channels per band when the bands are joined.  trunk_depth: blocks over time alone.
    hidden_size: of the embeddings.  expansion: inner width of a block / its width.
    """

    model_type = "m2e-encoder"

    sampling_rate: int = 22050
    n_fft: int = 1024
    hop_length: int = 490
    num_mel_bins: int = 96
    min_frequency: float = 30.0
    max_frequency: float = 11000.0
    power_floor: float = 1e-7
    widths: tuple[int, ...] | list[int] = (16, 40, 128)
    depths: tuple[int, ...] | list[int] = (1, 1, 2)
    expansion: int = 2
    squeezed_width: int = 32
    trunk_depth: int = 2
    hidden_size: int = 384

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.widths, self.depths = list(self.widths), list(self.depths)
        if self.sampling_rate % (self.hop_length * math.prod(TIME_STRIDES)):
            raise ValueError(
                f"sampling_rate {self.sampling_rate} / hop_length {self.hop_length} must be a multiple of "
                f"{math.prod(TIME_STRIDES)}."
            )
        if self.num_mel_bins % MEL_STRIDE or len(self.widths) != 3 or len(self.depths) != 3:
            raise ValueError(f"num_mel_bins must be a multiple of {MEL_STRIDE}, widths and depths are three numbers.")

    @property
    def spectra_per_second(self) -> int:
        return self.sampling_rate // self.hop_length


@dataclass
class M2EEncoderOutput(ModelOutput):
    """last_hidden_state: (batch, seconds, hidden_size), one embedding per second of audio, the last second perhaps
    incomplete.  pooler_output: (batch, hidden_size), their average, weighted by the audio in each second."""

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None


def loudness(input_values: torch.Tensor) -> torch.Tensor:
    """(batch,) mean square of waveforms (batch, samples) without their quiet parts.

    Quiet are blocks of 0.1 s at 22,050 Hz that lie 10 dB below the mean of all (ITU-R BS.1770, without its filter).
    """
    block = min(2205, input_values.shape[-1])
    count = input_values.shape[-1] // block
    power = input_values[:, : count * block].reshape(-1, count, block).square().mean(-1)
    loud = power >= 0.1 * power.mean(-1, keepdim=True)
    return (power * loud).sum(-1) / loud.sum(-1)


class DenseBlock(nn.Module):
    """Two 3 x 3 convolutions around a skip; (batch, width, bands, time)."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(inner)))


class Block(nn.Module):
    """Depthwise convolution, then two pointwise ones that widen and narrow, around a skip; (batch, width, bands, time).

    kernel: over bands and time.
    """

    def __init__(self, width: int, expansion: int, kernel: tuple[int, int]):
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.depthwise = nn.Conv2d(width, width, kernel, padding=padding, groups=width, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(width)
        self.widen = nn.Conv2d(width, expansion * width, 1)
        self.narrow = nn.Conv2d(expansion * width, width, 1, bias=False)
        self.narrow_norm = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = F.relu(self.widen(self.depthwise_norm(self.depthwise(x))))
        return x + self.narrow_norm(self.narrow(inner))


def _reduce(
    before: int, after: int, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int] = (0, 0)
) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


class M2EEncoderModel(CheckedModel):
    """Waveforms at 22,050 Hz to embeddings. The loudness is normalised first, so the level does not matter."""

    config: M2EEncoderConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"
    input_modalities = "audio"
    window: torch.Tensor
    mel: torch.Tensor

    def __init__(self, config: M2EEncoderConfig):
        super().__init__(config)
        first, second, third = config.widths
        self.input_norm = nn.BatchNorm1d(config.num_mel_bins)
        reductions = (
            _reduce(1, first, (5, 5), (2, TIME_STRIDES[0]), (2, 1)),
            _reduce(first, second, (2, 1), (2, 1)),
            _reduce(second, third, (2, TIME_STRIDES[1]), (2, TIME_STRIDES[1])),
        )
        layers: list[nn.Module] = []
        for reduction, width, depth in zip(reductions[:2], config.widths, config.depths, strict=False):
            layers += [reduction, *(DenseBlock(width) for _ in range(depth))]
        self.dense_stages = nn.Sequential(*layers)
        blocks = [Block(third, config.expansion, (5, 5)) for _ in range(config.depths[2])]
        self.depthwise_stage = nn.Sequential(reductions[2], *blocks)
        self.squeeze = _reduce(third, config.squeezed_width, (1, 1), (1, 1))
        joined = config.squeezed_width * config.num_mel_bins // MEL_STRIDE
        trunk = [Block(config.hidden_size, config.expansion, (1, 7)) for _ in range(config.trunk_depth)]
        self.trunk = nn.Sequential(_reduce(joined, config.hidden_size, (1, 1), (1, 1)), *trunk)
        self.output = _reduce(config.hidden_size, config.hidden_size, (1, 1), (1, 1))
        # persistent: what is made here does not survive from_pretrained
        self.register_buffer("window", torch.zeros(config.n_fft))
        self.register_buffer("mel", torch.zeros(config.n_fft // 2 + 1, config.num_mel_bins))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)
        if isinstance(module, Block):
            init.zeros_(module.narrow_norm.weight)  # a block begins as its skip
        if isinstance(module, DenseBlock):
            init.zeros_(module.second_norm.weight)
        if module is self:
            window = torch.hann_window(self.config.n_fft)
            init.copy_(self.window, window / (window.square().sum() * self.config.n_fft / 2).sqrt())
            config = self.config
            bands = config.num_mel_bins, config.min_frequency, config.max_frequency
            init.copy_(self.mel, mel_filters(config.sampling_rate, config.n_fft, *bands))

    def mel_power(self, input_values: torch.Tensor, level: torch.Tensor | None = None) -> torch.Tensor:
        """(batch, bands, spectra) power of mel bands of (batch, samples), with zeros up to a whole second.

        level: (batch,) the mean square that becomes 1; by default the loudness of each waveform.
        """
        level = loudness(input_values) if level is None else level
        frames = self.padded(input_values).unfold(-1, self.config.n_fft, self.config.hop_length)
        spectrum = torch.fft.rfft(frames * self.window)
        power = spectrum.real.square() + spectrum.imag.square()
        return (power @ self.mel).transpose(1, 2) / level.clamp(min=1e-9)[:, None, None]

    def padded(self, input_values: torch.Tensor) -> torch.Tensor:
        """Waveforms (batch, samples) with zeros around them, for all spectra of whole seconds."""
        config = self.config
        margin = config.n_fft - config.hop_length
        missing = -input_values.shape[-1] % config.sampling_rate
        return F.pad(input_values, (margin // 2, margin - margin // 2 + missing))

    def encode(self, power: torch.Tensor) -> torch.Tensor:
        """(batch, seconds, hidden_size) of `mel_power`'s (batch, bands, spectra)."""
        return self.encode_maps(self.maps(power))

    def maps(self, power: torch.Tensor) -> torch.Tensor:
        """(batch, width, bands / 4, spectra / 3), the dense stages of `mel_power`'s (batch, bands, spectra)."""
        x = self.input_norm((power + self.config.power_floor).log())
        return self.dense_stages(x[:, None].to(memory_format=torch.channels_last))

    def encode_maps(self, maps: torch.Tensor) -> torch.Tensor:
        """(batch, seconds, hidden_size) of `maps`."""
        x = self.squeeze(self.depthwise_stage(maps))
        x = self.trunk(x.flatten(1, 2)[:, :, None])
        x = self.output(x)[:, :, 0]
        per_second = self.config.spectra_per_second // math.prod(TIME_STRIDES)
        return x.unflatten(-1, (-1, per_second)).mean(-1).transpose(1, 2)

    def forward(
        self, input_values: torch.Tensor, level: torch.Tensor | None = None, return_dict: bool | None = None
    ) -> M2EEncoderOutput | tuple[torch.Tensor, ...]:
        """M2EEncoderOutput of waveforms (batch, samples) at config.sampling_rate, in [-1, 1].

        level: (batch,) loudness to normalise by, as `loudness` of the whole track gives it for a part of it; by default
        that of each waveform. ValueError: not two-dimensional, or without samples.
        """
        if input_values.ndim != 2 or not input_values.shape[-1]:
            raise ValueError(
                f"The encoder needs waveforms of shape (batch, samples), samples > 0, got {tuple(input_values.shape)}."
            )
        seconds = self.encode(self.mel_power(input_values, level))
        output = M2EEncoderOutput(last_hidden_state=seconds, pooler_output=self.pool(seconds, input_values.shape[-1]))
        return output.to_tuple() if return_dict is False else output

    def pool(self, seconds: torch.Tensor, samples: int) -> torch.Tensor:
        """(batch, hidden_size) mean of embeddings (batch, seconds, hidden_size) of waveforms with so many samples."""
        starts = torch.arange(seconds.shape[1], device=seconds.device, dtype=seconds.dtype)
        weights = (samples / self.config.sampling_rate - starts).clamp(max=1.0)
        return (seconds * weights[:, None]).sum(1) / weights.sum()
