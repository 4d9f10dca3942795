"""Published networks whose outputs the encoder learns: MusiCNN, FCN, CRNN, a mood CNN, mn04 and YAMNet.

Their weights are files beside the project (see `TEACHERS`) and are used to label training audio only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from m2e.checkpoints.convert_taggers import convert_taggers
from m2e.datasets.encoder.pool import CLIP_SECONDS
from m2e.errors import DataError
from modeling_m2e.modeling_taggers import repeat_to_length
from modeling_m2e.weights_m2e import check_weights

Labels = tuple[np.ndarray, np.ndarray]  # embeddings (n, width) and tag probabilities (n, tags), float32


@dataclass(frozen=True)
class Teacher:
    """A network and the grid on which it labels a clip.

    sampling_rate: of its input, in Hz.  cell_seconds: length of the pieces that it labels one by one.
    whole: whether it also labels the clip in one go; else the mean of the cells is the label of the clip.
    label: waveforms (n, samples), float32, to `Labels`.
    """

    sampling_rate: int
    cell_seconds: float
    label: Callable[[np.ndarray], Labels]


# --- music taggers ---


def tagger(net: str, cell_seconds: float, weights: Path) -> Teacher:
    """MusiCNN, FCN or CRNN; shorter input than it was trained on is repeated."""
    model = convert_taggers(weights, [net])
    widths = model.config.embedding_widths(net)

    @torch.inference_mode()
    def label(waveforms: np.ndarray) -> Labels:
        blocks = model(torch.from_numpy(waveforms), output_blocks=True).blocks
        embedding = torch.cat([blocks[f"{net}.{feature}"] for feature in widths], dim=-1)
        return embedding.numpy(), blocks[f"{net}.logits"].sigmoid().numpy()

    return Teacher(model.config.sampling_rate, cell_seconds, label)


class MoodCNN(nn.Module):
    """The baseline of MTG-Jamendo for its 56 mood and theme tags: five convolution blocks over 29.1 s."""

    sampling_rate = 12000
    frames = 1366
    poolings = ((2, 4), (2, 4), (2, 4), (3, 5), (4, 4))
    mel: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.bn_init = nn.BatchNorm2d(1)
        widths = (1, 64, 128, 128, 128, 64)
        for index, (before, after) in enumerate(zip(widths[:-1], widths[1:], strict=True), 1):
            self.add_module(f"conv_{index}", nn.Conv2d(before, after, 3, padding=1))
            self.add_module(f"bn_{index}", nn.BatchNorm2d(after))
        self.dense = nn.Linear(64, 56)
        mel = librosa.filters.mel(sr=self.sampling_rate, n_fft=512, n_mels=96)
        self.register_buffer("mel", torch.from_numpy(mel), persistent=False)

    def forward(self, waveforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 64) embeddings and (n, 56) logits of (n, samples)."""
        waveforms = repeat_to_length(waveforms, 256 * (self.frames - 1))[:, : 256 * (self.frames - 1)]
        spectrum = torch.stft(waveforms, 512, 256, window=torch.hann_window(512), return_complex=True)
        x = 10 * (self.mel @ spectrum.abs().square()).clamp(min=1e-10).log10()
        x = self.bn_init(x[:, None])
        for index, pooling in enumerate(self.poolings, 1):
            x = self.get_submodule(f"bn_{index}")(self.get_submodule(f"conv_{index}")(x))
            x = F.max_pool2d(F.elu(x), pooling)
        embedding = x.mean((2, 3))
        return embedding, self.dense(embedding)


def mood_cnn(weights: Path) -> Teacher:
    net = MoodCNN().eval()
    with np.load(_file(weights, "teachers/jamendo_moodtheme_cnn.npz")) as arrays:
        net.load_state_dict({name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files})
    check_weights(net, "The mood CNN")
    return Teacher(net.sampling_rate, CLIP_SECONDS, partial(_label, net))


# --- mn04: EfficientAT, Schmid et al., ICASSP 2023 ---


class _Excitation(nn.Module):
    """Squeeze-and-excitation over channels."""

    def __init__(self, width: int, squeezed: int):
        super().__init__()
        layers = {"fc1": nn.Linear(width, squeezed), "fc2": nn.Linear(squeezed, width)}
        self.conc_se_layers = nn.ModuleList([nn.ModuleDict(layers)])  # the published names

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        squeezed = F.relu(self.get_submodule("conc_se_layers.0.fc1")(x.mean((2, 3))))
        scale = self.get_submodule("conc_se_layers.0.fc2")(squeezed).sigmoid()
        return x * scale[:, :, None, None]


def _eighth(width: float) -> int:
    """The nearest multiple of 8, as MobileNet rounds widths: never less than 90 %."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


class _Inverted(nn.Module):
    """MobileNetV3's block: expansion, depthwise convolution, excitation, projection."""

    def __init__(self, before: int, kernel: int, inner: int, after: int, excite: bool, hard: bool, stride: int):
        super().__init__()
        activation = nn.Hardswish if hard else nn.ReLU
        layers: list[nn.Module] = []
        if inner != before:
            layers.append(_conv(before, inner, 1, activation))
        layers.append(_conv(inner, inner, kernel, activation, stride, inner))
        if excite:
            layers.append(_Excitation(inner, _eighth(inner // 4)))
        layers.append(_conv(inner, after, 1, nn.Identity))
        self.block = nn.Sequential(*layers)
        self.skip = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.block(x) if self.skip else self.block(x)


def _conv(
    before: int, after: int, kernel: int, activation: type[nn.Module], stride: int = 1, groups: int = 1
) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after, eps=1e-3), activation())


class MN04(nn.Module):
    """MobileNetV3-Large (arXiv 1905.02244, table 1), widths times 0.4, for 527 AudioSet classes at 32 kHz."""

    sampling_rate = 32000
    window: torch.Tensor
    mel: torch.Tensor
    # kernel, inner width, width, excitation, hard swish, stride
    table = (
        (3, 16, 16, False, False, 1), (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1),
        (5, 72, 40, True, False, 2), (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1),
        (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1), (3, 184, 80, False, True, 1),
        (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
        (5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1),
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        width = _eighth(0.4 * 16)
        features: list[nn.Module] = [_conv(1, width, 3, nn.Hardswish, 2)]
        for kernel, inner, after, excite, hard, stride in self.table:
            sizes = _eighth(0.4 * inner), _eighth(0.4 * after)
            features.append(_Inverted(width, kernel, *sizes, excite, hard, stride))
            width = sizes[1]
        features.append(_conv(width, 384, 1, nn.Hardswish))
        self.features = nn.Sequential(*features)
        # the places of the published classifier: pooling, flatten, dense, activation, dropout, dense
        self.classifier = nn.Sequential(
            nn.Identity(), nn.Identity(), nn.Linear(384, 512), nn.Hardswish(), nn.Identity(), nn.Linear(512, 527)
        )
        self.register_buffer("window", torch.hann_window(800, periodic=False), persistent=False)
        self.register_buffer("mel", kaldi_mel(self.sampling_rate, 1024, 128, 0.0, 15000.0), persistent=False)

    def log_mel(self, waveforms: torch.Tensor) -> torch.Tensor:
        """(n, 128, frames) of (n, samples)."""
        emphasised = waveforms[:, 1:] - 0.97 * waveforms[:, :-1]
        spectrum = torch.stft(emphasised, 1024, 320, 800, self.window, pad_mode="reflect", return_complex=True)
        return ((self.mel @ spectrum.abs().square() + 1e-5).log() + 4.5) / 5

    def forward(self, waveforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 384) embeddings and (n, 527) logits of (n, samples)."""
        embedding = self.features(self.log_mel(waveforms)[:, None]).mean((2, 3))
        return embedding, self.classifier(embedding)


def kaldi_mel(sampling_rate: int, n_fft: int, bands: int, low: float, high: float) -> torch.Tensor:
    """(bands, n_fft / 2 + 1) triangles that are linear in Kaldi's mel scale, with peaks of one."""

    def mel(hertz: np.ndarray | float) -> np.ndarray:
        return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)

    edges = np.linspace(mel(low), mel(high), bands + 2)[:, None]
    place = mel(np.arange(n_fft // 2 + 1) * sampling_rate / n_fft)
    rise = (place - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - place) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rise, fall))
    filters[:, -1] = 0.0  # Kaldi leaves the Nyquist bin out
    return torch.from_numpy(filters.astype(np.float32))


def mn04(weights: Path) -> Teacher:
    net = MN04().eval()
    state = torch.load(_file(weights, "teachers2/mn04_as.pt"), map_location="cpu", weights_only=True)
    net.load_state_dict(state)
    check_weights(net, "mn04")
    return Teacher(net.sampling_rate, 10.0, partial(_label, net))


@torch.inference_mode()
def _label(net: nn.Module, waveforms: np.ndarray) -> Labels:
    embedding, logits = net(torch.from_numpy(waveforms))
    return embedding.numpy(), logits.sigmoid().numpy()


# --- YAMNet ---


class YAMNet:
    """The published TensorFlow Lite file; one run labels 0.975 s at 16 kHz."""

    sampling_rate = 16000
    samples = 15600

    def __init__(self, path: Path):
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise DataError("YAMNet needs the package ai-edge-litert: pip install ai-edge-litert.") from error
        self.interpreter = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.scores = self.interpreter.get_output_details()[0]["index"]
        details = self.interpreter.get_tensor_details()
        self.embedding = next(d["index"] for d in details if d["name"].endswith("global_average_pooling2d/Mean"))

    def __call__(self, waveforms: np.ndarray) -> Labels:
        embeddings, scores = [], []
        for waveform in waveforms:
            self.interpreter.set_tensor(self.input, np.ascontiguousarray(waveform[: self.samples], np.float32))
            self.interpreter.invoke()
            embeddings.append(self.interpreter.get_tensor(self.embedding).reshape(-1))
            scores.append(self.interpreter.get_tensor(self.scores).reshape(-1))
        return np.stack(embeddings), np.stack(scores)


def yamnet(weights: Path) -> Teacher:
    return Teacher(YAMNet.sampling_rate, 1.0, YAMNet(_file(weights, "teachers2/yamnet.tflite")))


# --- all of them ---


def _file(weights: Path, name: str) -> Path:
    path = weights / name
    if not path.is_file():
        raise DataError(f"{path} is missing: give the folder of the teachers' weights.")
    return path


TEACHERS: dict[str, Callable[[Path], Teacher]] = {
    "musicnn_msd": partial(tagger, "musicnn_msd", 3.0),
    "fcn_msd": partial(tagger, "fcn_msd", CLIP_SECONDS),
    "fcn_jamendo": partial(tagger, "fcn_jamendo", CLIP_SECONDS),
    "musicnn_mtt": partial(tagger, "musicnn_mtt", 3.0),
    "crnn_msd": partial(tagger, "crnn_msd", CLIP_SECONDS),
    "crnn_jamendo": partial(tagger, "crnn_jamendo", CLIP_SECONDS),
    "mood_cnn": mood_cnn,
    "mn04": mn04,
    "yamnet": yamnet,
}
