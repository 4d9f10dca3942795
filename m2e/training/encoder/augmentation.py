"""Other productions of the same music: level, equaliser, bandwidth, masks and mixtures, on batches of crops."""

import math
from dataclasses import dataclass

import torch

from m2e.training.encoder.data import Target


@dataclass(frozen=True)
class Augmentation:
    """Strengths, and shares of the crops of a batch; zeros leave the crops as they are.

    speed: largest change of pitch and tempo together, 0.05 = 5 %.
    level_db, gain_db, gain_share: standard deviation of the level error of all crops, and bounds of a uniform one of a
    share of them, dB; without either a crop is normalised by the loudness of its clip.
    equalizer_db: standard deviation of the slowest of five waves over the mel bands.
    lowpass_share: crops without the bands above a random one, as codecs leave them out.
    mask_bands, mask_share: widest mask over mel bands, and longest one over time as a share of it; two of each.
    mixup_share: crops that are mixed with another one, and their targets with its targets.
    """

    speed: float = 0.0
    level_db: float = 0.0
    gain_db: float = 0.0
    gain_share: float = 0.0
    equalizer_db: float = 0.0
    lowpass_share: float = 0.0
    mask_bands: int = 0
    mask_share: float = 0.0
    mixup_share: float = 0.0


def wrong_levels(levels: torch.Tensor, strength: Augmentation) -> torch.Tensor:
    """Levels (k,) as power, each some dB off."""
    error = strength.level_db * torch.randn_like(levels)
    far = strength.gain_db * (2 * torch.rand_like(levels) - 1)
    error = torch.where(torch.rand_like(levels) < strength.gain_share, far, error)
    return levels * 10 ** (error / 10)


def equalize(power: torch.Tensor, strength: Augmentation) -> torch.Tensor:
    """Mel power (k, bands, spectra), equalised by slow cosines over the bands, some without their highest bands."""
    count, bands, _ = power.shape
    orders = torch.arange(1, 6)
    waves = torch.cos(math.pi * orders[:, None] * torch.arange(bands) / bands + 2 * math.pi * torch.rand(count, 5, 1))
    gains = (waves * torch.randn(count, 5, 1) * strength.equalizer_db / orders[:, None]).sum(1)
    cutoff = bands // 2 + torch.rand(count) * bands / 2
    cutoff = torch.where(torch.rand(count) < strength.lowpass_share, cutoff, bands)
    kept = torch.arange(bands) < cutoff[:, None]
    return power * (10 ** (gains / 10) * kept)[:, :, None]


def mask(power: torch.Tensor, strength: Augmentation) -> torch.Tensor:
    """Mel power with two masks over bands and two over time in each crop (SpecAugment, arXiv 1904.08779)."""
    count, bands, spectra = power.shape
    keep = torch.ones(count, bands, spectra, dtype=torch.bool)
    for _ in range(2):
        keep &= ~_spans(count, bands, strength.mask_bands)[:, :, None]
        keep &= ~_spans(count, spectra, strength.mask_share * spectra)[:, None]
    return power * keep


def _spans(count: int, size: int, longest: float) -> torch.Tensor:
    """(count, size) bool: a random span of each row, of random length up to `longest`."""
    lengths = longest * torch.rand(count, 1)
    begins = (size - lengths) * torch.rand(count, 1)
    places = torch.arange(size)
    return (places >= begins) & (places + 1 <= begins + lengths)


def mix(
    waveforms: torch.Tensor, levels: torch.Tensor, targets: dict[str, Target], strength: Augmentation
) -> tuple[torch.Tensor, torch.Tensor, dict[str, Target]]:
    """Waveforms (k, samples), levels (k,) and targets, a share of them mixed with another crop, equally loud."""
    count = len(waveforms)
    partner = (torch.arange(count) + torch.randint(1, max(count, 2), ())) % count
    share = torch.where(torch.rand(count) < strength.mixup_share, 0.5 + 0.5 * torch.rand(count), 1.0)
    same = (levels / levels[partner]).clamp(1e-6, 1e6)  # silent clips have no level
    other = waveforms[partner] * (same * (1 - share)).sqrt()[:, None]
    mixed = waveforms * share.sqrt()[:, None] + other
    alone = (share == 1.0)[:, None]

    def blend(values: torch.Tensor) -> torch.Tensor:
        return share[:, None] * values + (1 - share)[:, None] * values[partner]

    blended = {
        name: Target(
            torch.where(alone, target.embeddings, blend(target.embeddings)),
            torch.where(alone, target.tags, blend(target.tags)),
            target.present & (alone[:, 0] | target.present[partner]),
        )
        for name, target in targets.items()
    }
    return mixed, levels, blended
