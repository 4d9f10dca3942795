"""Small music taggers as frozen feature extractors: MusiCNN, FCN and CRNN in one model.

MusiCNN: Pons & Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", ISMIR-LBD 2019.
FCN and CRNN: Won et al., "Evaluation of CNN-based automatic music tagging models", SMC 2020.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedConfig
from transformers import initialization as init
from transformers.utils import ModelOutput

from .bounds_m2e import RATE, check_common, check_number
from .errors_m2e import ModelError
from .mel_m2e import mel_filters
from .weights_m2e import CheckedModel

SAMPLING_RATE = 16000  # Hz, of every net
N_FFT = 512
HOP_LENGTH = 256
N_MELS = 96
N_TAGS = 50  # tags of both training sets
PATCH_FRAMES = 187  # MusiCNN's input: 3 s


class TaggersConfig(PreTrainedConfig):
    """The nets and the features that make up the embedding.

    nets: names `<architecture>_<training set>`, the architecture one of musicnn, fcn, crnn (`musicnn_msd`, ...).
    features: architecture -> names of the features in the embedding (where not given: `DEFAULT_FEATURES`).
    """

    model_type = "m2e-taggers"
    nets: list[str] | tuple[str, ...] = ("musicnn_msd", "fcn_msd", "fcn_jamendo", "crnn_msd", "crnn_jamendo")
    features: dict[str, list[str]] | None = None
    sampling_rate: int = SAMPLING_RATE
    hidden_size: int = 0  # derived from nets and features

    def __post_init__(self, **kwargs: Any) -> None:
        check_common(self, kwargs)
        check_number("TaggersConfig", "sampling_rate", self.sampling_rate, *RATE, whole=True)
        super().__post_init__(**kwargs)
        self.nets = list(self.nets)
        self.features = {key: list(value) for key, value in {**DEFAULT_FEATURES, **(self.features or {})}.items()}
        if not self.nets or len(set(self.nets)) < len(self.nets):
            raise ModelError(f"TaggersConfig.nets must name at least one net and each only once, got {self.nets}.")
        for architecture in self.features:
            self.architecture(architecture)
        self.hidden_size = sum(sum(self.embedding_widths(name).values()) for name in self.nets)

    @staticmethod
    def architecture(name: str) -> str:
        """The architecture of a net called `name`; ModelError for an unknown one."""
        architecture = name.partition("_")[0]
        if architecture not in FEATURE_WIDTHS:
            raise ModelError(f"Unknown tagger {name!r}: its name must begin with one of {', '.join(FEATURE_WIDTHS)}.")
        return architecture

    def embedding_widths(self, name: str) -> dict[str, int]:
        """Feature name -> width, for the features of net `name` that enter the embedding, in order."""
        architecture = self.architecture(name)
        widths = FEATURE_WIDTHS[architecture]
        chosen = (self.features or DEFAULT_FEATURES)[architecture]
        if not chosen or not set(chosen) <= set(widths):
            raise ModelError(f"{architecture} offers the features {', '.join(widths)}, TaggersConfig wants {chosen}.")
        return {feature: widths[feature] for feature in chosen}


FEATURE_WIDTHS = {
    "musicnn": {"penultimate": 200, "mean_pool": 753, "max_pool": 753, "logits": N_TAGS},
    "fcn": {"block3": 128, "block4": 128, "block5": 64, "logits": N_TAGS},
    "crnn": {"block3": 128, "block4": 128, "state": 32, "logits": N_TAGS},
}
DEFAULT_FEATURES = {"musicnn": ["penultimate"], "fcn": ["block4", "block5"], "crnn": ["block4", "state"]}


@dataclass
class TaggersOutput(ModelOutput):
    """embeddings: (n, hidden_size), the chosen features of every net, each net scaled by 1 / sqrt(its width).
    blocks: on request, `<net>.<feature>` -> (n, width), every feature of every net, unscaled."""

    embeddings: torch.Tensor = None  # type: ignore[assignment]  # always set; ModelOutput needs a default
    blocks: dict[str, torch.Tensor] | None = None


def repeat_to_length(waveform: torch.Tensor, samples: int) -> torch.Tensor:
    """(n, max(length, samples)): waveforms (n, length), repeated from their start where too short for `samples`."""
    length = waveform.shape[-1]
    if length >= samples:
        return waveform
    return waveform.repeat(1, -(-samples // length))[:, :samples]


def power_spectrogram(waveform: torch.Tensor) -> torch.Tensor:
    """(n, 1 + length // 256, 257) power of (n, length >= 257): periodic Hann window, centred, reflected at the ends."""
    window = torch.hann_window(N_FFT, device=waveform.device, dtype=waveform.dtype)
    spectrum = torch.stft(waveform, N_FFT, HOP_LENGTH, window=window, pad_mode="reflect", return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)


def zero_padded_edges(power: torch.Tensor, waveform: torch.Tensor) -> torch.Tensor:
    """`power` of `waveform` as it is with zeros at the ends: only the first and the last frame reach past them."""
    half = N_FFT // 2
    first = F.pad(waveform[:, :half], (half, 0))
    last = waveform[:, (power.shape[1] - 1) * HOP_LENGTH - half :]
    frames = torch.stack([first, F.pad(last, (0, N_FFT - last.shape[-1]))], dim=1)
    window = torch.hann_window(N_FFT, device=waveform.device, dtype=waveform.dtype)
    spectrum = torch.fft.rfft(frames * window)
    edges = spectrum.real.square() + spectrum.imag.square()
    return torch.cat([edges[:, :1], power[:, 1:-1], edges[:, 1:]], dim=1)


class _Net(nn.Module):
    """A tagger behind its spectrogram.

    mel_scale: see `mel_matrix`.  min_samples: shortest input.  zero_padded: the waveform at its ends; False: reflected.
    """

    mel_scale: str
    min_samples: int
    zero_padded: bool

    @staticmethod
    def compress(mel: torch.Tensor) -> torch.Tensor:
        """The mel spectrogram on the net's logarithmic scale."""
        raise NotImplementedError


class MusiCNN(_Net):
    """Tall and long convolutions side by side, three over time, maximum and mean over time, two dense layers."""

    mel_scale = "slaney"
    min_samples = (PATCH_FRAMES - 1) * HOP_LENGTH  # one patch
    zero_padded = True
    chunk = 10  # patches in one go: keeps the widest activation (204 x 187 x 59 per patch) near 90 MB

    def __init__(self) -> None:
        super().__init__()
        eps = 1e-3
        self.input_norm = nn.BatchNorm2d(1, eps=eps)
        self.timbral = nn.ModuleList([nn.Conv2d(1, 204, (7, bands), padding=(3, 0)) for bands in (38, 67)])
        self.temporal = nn.ModuleList([nn.Conv2d(1, 51, (frames, 1)) for frames in (128, 64, 32)])
        self.front_norms = nn.ModuleList([nn.BatchNorm1d(width, eps=eps) for width in (204, 204, 51, 51, 51)])
        self.middle = nn.ModuleList([nn.Conv1d(width, 64, 7, padding=3) for width in (561, 64, 64)])
        self.middle_norms = nn.ModuleList([nn.BatchNorm1d(64, eps=eps) for _ in range(3)])
        self.pool_norm = nn.BatchNorm1d(2 * 753, eps=eps)
        self.dense = nn.Linear(2 * 753, 200)
        self.dense_norm = nn.BatchNorm1d(200, eps=eps)
        self.output = nn.Linear(200, N_TAGS)

    @staticmethod
    def compress(mel: torch.Tensor) -> torch.Tensor:
        return torch.log10(10000 * mel + 1)

    def patch_features(self, log_mel: torch.Tensor) -> dict[str, torch.Tensor]:
        """Feature name -> (n, width) of patches (n, 187, 96)."""
        x = self.input_norm(log_mel[:, None])
        bands = []
        front = cast(list[nn.Conv2d], [*self.timbral, *self.temporal])
        for conv, front_norm in zip(front, cast(list[nn.BatchNorm1d], list(self.front_norms)), strict=True):
            frames = conv.kernel_size[0]
            # TensorFlow's "same" padding puts the odd cell after
            padded = x if conv.padding[0] else F.pad(x, (0, 0, (frames - 1) // 2, frames // 2))
            y, sign = _conv_for_maximum(padded, conv, front_norm)
            bands.append(front_norm(F.relu(y.amax(-1) * sign[:, None])))
        x = torch.cat(bands, dim=1)
        layers = [x]
        for i, (middle, norm) in enumerate(zip(self.middle, self.middle_norms, strict=True)):
            y = norm(F.relu(middle(x)))
            x = y + x if i else y
            layers.append(x)
        x = torch.cat(layers, dim=1)
        max_pool, mean_pool = x.amax(-1), x.mean(-1)
        pooled = torch.stack([max_pool, mean_pool], dim=-1).flatten(1)  # interleaved per channel
        penultimate = self.dense(self.pool_norm(pooled))
        logits = self.output(self.dense_norm(F.relu(penultimate)))
        return {"penultimate": penultimate, "mean_pool": mean_pool, "max_pool": max_pool, "logits": logits}

    def forward(self, log_mel: torch.Tensor) -> dict[str, torch.Tensor]:
        """Feature name -> (n, width): means over the 3-s patches of (n, frames, 96), without an incomplete last one."""
        n, frames, _ = log_mel.shape
        patches = log_mel[:, : frames - frames % PATCH_FRAMES].reshape(-1, PATCH_FRAMES, N_MELS)
        parts = [self.patch_features(chunk) for chunk in patches.split(self.chunk)]
        return {key: torch.cat([part[key] for part in parts]).unflatten(0, (n, -1)).mean(1) for key in parts[0]}


def _conv_for_maximum(
    x: torch.Tensor, conv: nn.Conv2d, norm: nn.BatchNorm1d | nn.BatchNorm2d
) -> tuple[torch.Tensor, torch.Tensor]:
    """(sign * conv(x), sign); sign (channels,) is that of the norm's scale, so that norm(sign * y) rises with y.

    Taking a maximum before the norm and the ReLU then gives the same result, and leaves them far less data."""
    sign = torch.where(norm.weight < 0, -1.0, 1.0).to(x.dtype)
    bias = None if conv.bias is None else conv.bias * sign
    return F.conv2d(x, conv.weight * sign[:, None, None, None], bias, padding=conv.padding), sign


class ConvBlock(nn.Module):
    """3 x 3 convolution, batch norm, ReLU, max pooling."""

    def __init__(self, n_in: int, n_out: int, pooling: tuple[int, int]):
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.bn = nn.BatchNorm2d(n_out)
        self.pooling = pooling

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, sign = _conv_for_maximum(x, self.conv, self.bn)
        return F.relu(self.bn(F.max_pool2d(y, self.pooling) * sign[:, None, None]))


class _MelConvNet(_Net):
    """The front that FCN and CRNN share: decibels of the mel spectrogram, normalised, then convolution blocks."""

    mel_scale = "htk"
    zero_padded = False

    def __init__(self, widths: tuple[int, ...], poolings: tuple[tuple[int, int], ...]):
        super().__init__()
        self.spec_bn = nn.BatchNorm2d(1)
        blocks = zip((1, *widths[:-1]), widths, poolings, strict=True)
        self.blocks = nn.ModuleList([ConvBlock(*block) for block in blocks])

    @staticmethod
    def compress(mel: torch.Tensor) -> torch.Tensor:
        return 10 * torch.log10(mel.clamp(min=1e-10))

    def run_blocks(self, log_mel: torch.Tensor) -> list[torch.Tensor]:
        """The output of each block, (n, width, bands, time), from (n, frames, 96)."""
        x = self.spec_bn(log_mel.transpose(1, 2)[:, None])
        layers = []
        for block in self.blocks:
            x = block(x)
            layers.append(x)
        return layers


class FCN(_MelConvNet):
    """Five convolution blocks that reduce 29 s to one vector."""

    min_samples = int(29.0 * SAMPLING_RATE)  # the length it was trained on

    def __init__(self) -> None:
        super().__init__((64, 128, 128, 128, 64), ((2, 4), (2, 4), (2, 4), (3, 5), (4, 4)))
        self.dense = nn.Linear(64, N_TAGS)

    def forward(self, log_mel: torch.Tensor) -> dict[str, torch.Tensor]:
        """Feature name -> (n, width) from (n, frames, 96)."""
        *_, block3, block4, block5 = (layer.mean((2, 3)) for layer in self.run_blocks(log_mel))
        return {"block3": block3, "block4": block4, "block5": block5, "logits": self.dense(block5)}


class CRNN(_MelConvNet):
    """Four convolution blocks, then a recurrent summary over time."""

    min_samples = int(29.1 * SAMPLING_RATE)  # the length it was trained on

    def __init__(self) -> None:
        super().__init__((64, 128, 128, 128), ((2, 2), (3, 3), (4, 4), (4, 4)))
        self.gru = nn.GRU(128, 32, num_layers=2, batch_first=True)
        self.dense = nn.Linear(32, N_TAGS)

    def forward(self, log_mel: torch.Tensor) -> dict[str, torch.Tensor]:
        """Feature name -> (n, width) from (n, frames, 96)."""
        *_, block3, block4 = self.run_blocks(log_mel)
        states, _ = self.gru(block4.squeeze(2).transpose(1, 2))
        last = states[:, -1]
        return {"block3": block3.mean((2, 3)), "block4": block4.mean((2, 3)), "state": last, "logits": self.dense(last)}


ARCHITECTURES = {"musicnn": MusiCNN, "fcn": FCN, "crnn": CRNN}


class TaggersModel(CheckedModel):
    """Waveforms to embeddings through frozen taggers; nets with the same front end share one spectrogram."""

    config: TaggersConfig
    base_model_prefix = "taggers"
    main_input_name = "input_values"
    input_modalities = "audio"

    def __init__(self, config: TaggersConfig):
        super().__init__(config)
        self.nets = nn.ModuleDict({name: ARCHITECTURES[config.architecture(name)]() for name in config.nets})
        for scale in self._mel_scales():  # persistent: from_pretrained loses buffers that are not in the file
            self.register_buffer(f"mel_{scale}", torch.zeros(N_FFT // 2 + 1, N_MELS))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            for scale in self._mel_scales():
                init.copy_(getattr(self, f"mel_{scale}"), mel_matrix(scale))

    def _named_nets(self) -> list[tuple[str, _Net]]:
        return cast(list[tuple[str, _Net]], list(self.nets.items()))  # ModuleDict does not tell what it holds

    def _mel_scales(self) -> list[str]:
        return sorted({net.mel_scale for _, net in self._named_nets()})

    def forward(
        self, input_values: torch.Tensor, output_blocks: bool = False, return_dict: bool | None = None
    ) -> TaggersOutput | tuple[torch.Tensor, ...]:
        """`TaggersOutput.embeddings` (n, hidden_size), float32; no gradients unless in training mode.

        input_values: (n, samples) waveforms at 16 kHz. A net that needs more (29 s for FCN, 29.1 s for CRNN, 3 s for
        MusiCNN) takes the waveform repeated; a longer one is taken whole.
        output_blocks: return every feature of every net as well.
        Raises: ValueError for another number of dimensions, or no samples.
        """
        if input_values.ndim != 2 or input_values.shape[-1] == 0:
            raise ValueError(
                f"TaggersModel needs waveforms of shape (n, samples) with samples > 0, got {tuple(input_values.shape)}."
            )
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.training):
            blocks = self._features(input_values.to(self.device, torch.float32))
            parts = []
            for name in self.config.nets:
                widths = self.config.embedding_widths(name)
                part = torch.cat([blocks[f"{name}.{feature}"] for feature in widths], dim=-1)
                parts.append(part / sum(widths.values()) ** 0.5)
            output = TaggersOutput(embeddings=torch.cat(parts, dim=-1), blocks=blocks if output_blocks else None)
        return output if return_dict is not False else output.to_tuple()

    def _features(self, waveform: torch.Tensor) -> dict[str, torch.Tensor]:
        """`<net>.<feature>` -> (n, width) float32, of (n, samples) float32."""
        powers: dict[int, torch.Tensor] = {}
        log_mels: dict[tuple[int, str], torch.Tensor] = {}
        blocks: dict[str, torch.Tensor] = {}
        for name, net in self._named_nets():
            filled = repeat_to_length(waveform, net.min_samples)
            length = filled.shape[-1]
            if length not in powers:
                powers[length] = power_spectrogram(filled)
            if (length, net.mel_scale) not in log_mels:
                power = zero_padded_edges(powers[length], filled) if net.zero_padded else powers[length]
                log_mels[length, net.mel_scale] = net.compress(power @ getattr(self, f"mel_{net.mel_scale}").float())
            log_mel = log_mels[length, net.mel_scale]
            for feature, value in net(log_mel.to(self.dtype)).items():
                blocks[f"{name}.{feature}"] = value.float()
        return blocks


def mel_matrix(scale: str) -> torch.Tensor:
    """(257, 96) mel filters: "slaney" (area-normalised, MusiCNN) or "htk" (peaks of one, FCN and CRNN)."""
    slaney = scale == "slaney"
    return mel_filters(SAMPLING_RATE, N_FFT, N_MELS, scale=scale, equal_area=slaney)
