"""The chord branch of the emotion network: a small transformer over chord tokens (arXiv 2502.03979).

Shapes: B tracks, L chords.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .chord_labels_m2e import PAD_TOKEN
from .configuration_m2e import M2EConfig


def sinusoidal_positions(length: int, size: int, device: torch.device | None = None) -> torch.Tensor:
    """(length, size) sines at even and cosines at odd indices (Vaswani et al. 2017, section 3.5). `size` is even."""
    position = torch.arange(length, dtype=torch.float32, device=device)[:, None]
    frequency = torch.exp(torch.arange(0, size, 2, dtype=torch.float32, device=device) * (-math.log(10000.0) / size))
    angle = position * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class _Layer(nn.TransformerEncoderLayer):
    """PyTorch's layer, with its own attention for predictions: PyTorch's imports an algebra system to check the mask,
    which takes .25 s."""

    def _sa_block(
        self,
        x: torch.Tensor,
        attn_mask: torch.Tensor | None,
        key_padding_mask: torch.Tensor | None,
        is_causal: bool = False,
    ) -> torch.Tensor:
        if self.training:
            return super()._sa_block(x, attn_mask, key_padding_mask, is_causal)
        own = self.self_attn
        parts = F.linear(x, own.in_proj_weight, own.in_proj_bias).unflatten(-1, (3, own.num_heads, own.head_dim))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mask = None if key_padding_mask is None else key_padding_mask[:, None, None]  # -inf where padded
        mixed = F.scaled_dot_product_attention(query, key, value, mask)
        return own.out_proj(mixed.transpose(1, 2).flatten(2))


class ChordTransformer(nn.Module):
    """Chord tokens to one harmony vector: the output at the start token."""

    def __init__(self, config: M2EConfig):
        super().__init__()
        size = config.chord_size
        self.max_chords = config.max_chords
        self.pad_to_max = config.pad_chords_to_max
        self.mask_padding = config.mask_chords
        self.root_embedding = _embedding(config.num_root_tokens, size // 2)
        self.quality_embedding = _embedding(config.num_quality_tokens, size // 2)
        self.duration_projection = nn.Linear(1, size) if config.chord_durations else None
        self.cls = nn.Parameter(torch.zeros(size)) if config.learned_cls else None
        layer = _Layer(size, config.chord_heads, config.chord_ffn_size, config.chord_dropout, batch_first=True)
        layer.activation_relu_or_gelu = 0  # else PyTorch's fused layer holds the scores of all pairs of chords
        # Nested tensors would drop padding rows on one code path only; the mask alone gives the same result on all.
        self.encoder = nn.TransformerEncoder(layer, config.chord_layers, enable_nested_tensor=False)

    def forward(
        self,
        roots: torch.Tensor,
        qualities: torch.Tensor,
        durations: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(B, size) from (B, L) token ids, seconds, and mask (true = a chord; None = wherever the root is no padding).

        L may be 0, and every chord of a track may be masked: the start token is always there to attend to.
        """
        mask = roots != PAD_TOKEN if mask is None else mask.bool()
        roots, qualities, mask = (self._fit(part) for part in (roots, qualities, mask))
        tokens = torch.cat([self.root_embedding(roots), self.quality_embedding(qualities)], dim=-1)
        tokens = tokens + sinusoidal_positions(tokens.shape[1], tokens.shape[2], tokens.device).to(tokens)
        if self.duration_projection is not None and durations is not None:
            tokens = tokens + self.duration_projection(self._fit(durations).float().log1p().to(tokens)[..., None])
        start = tokens.new_zeros(tokens.shape[-1]) if self.cls is None else self.cls
        tokens = torch.cat([start.expand(len(tokens), 1, -1), tokens], dim=1)
        padding = F.pad(~mask, (1, 0), value=False) if self.mask_padding else None
        return self.encoder(tokens, src_key_padding_mask=padding)[:, 0]

    def _fit(self, part: torch.Tensor) -> torch.Tensor:
        """(B, L') from (B, L): without the chords beyond `max_chords` and, if configured, padded to as many."""
        part = part[:, : self.max_chords]
        if self.pad_to_max and self.max_chords is not None:
            part = F.pad(part, (0, self.max_chords - part.shape[1]))
        return part


def _embedding(tokens: int, width: int) -> nn.Embedding:
    weight = torch.empty(tokens, width)
    if not weight.is_meta:  # there random numbers import the compiler of PyTorch
        nn.init.normal_(weight)
    return nn.Embedding.from_pretrained(weight, freeze=False)
