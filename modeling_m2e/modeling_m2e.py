"""The music emotion network: encoder embeddings, chords and key to mood logits and valence-arousal.

Published as "Towards Unified Music Emotion Recognition across Dimensional and Categorical Models" (arXiv 2502.03979).
`M2EConfig.paper()` is that network exactly, `M2EConfig.default()` this project's variant of it.

Shapes: B tracks, W windows of a track, H embedding width, L chords, M moods.
"""

import copy
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from .configuration_m2e import M2EConfig
from .losses_m2e import mood_loss, quadrant_loss, va_loss

PAD_TOKEN = 0  # of roots and qualities, in both vocabularies


# Outputs --------------------------------------------------------------------------------------------------------------


@dataclass
class M2EModelOutput(ModelOutput):
    """
    fused: (B, fusion_size) trunk output of the whole track.
    window_fused: (B, W, fusion_size) of each window, or None when not asked for.
    harmony: (B, chord_size) harmony vector, or None without harmony.
    """

    fused: torch.FloatTensor | None = None
    window_fused: torch.FloatTensor | None = None
    harmony: torch.FloatTensor | None = None


@dataclass
class M2EOutput(ModelOutput):
    """
    loss: weighted sum of the losses whose labels were given, or None.
    mood_logits: (B, M) before calibration.
    va: (B, 2) valence, arousal on the 1-9 scale, not clipped.
    quadrant_logits: (B, 4) for Q1..Q4, or None without that branch.
    window_va: (B, W, 2) of each window, or None when not asked for.
    hidden_states: harmony vector (B, chord_size), left out without harmony, and trunk output (B, fusion_size), those of
    all members of an ensemble one after the other; or None.
    mood_loss, va_loss, quadrant_loss: the parts of the loss before their factors.
    """

    loss: torch.FloatTensor | None = None
    mood_logits: torch.FloatTensor | None = None
    va: torch.FloatTensor | None = None
    quadrant_logits: torch.FloatTensor | None = None
    window_va: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    mood_loss: torch.FloatTensor | None = None
    va_loss: torch.FloatTensor | None = None
    quadrant_loss: torch.FloatTensor | None = None


# Network --------------------------------------------------------------------------------------------------------------


def sinusoidal_positions(length: int, size: int, device: torch.device | None = None) -> torch.Tensor:
    """(length, size) sines at even and cosines at odd indices (Vaswani et al. 2017, section 3.5). `size` is even."""
    position = torch.arange(length, dtype=torch.float32, device=device)[:, None]
    frequency = torch.exp(torch.arange(0, size, 2, dtype=torch.float32, device=device) * (-math.log(10000.0) / size))
    angle = position * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class ChordTransformer(nn.Module):
    """Chord tokens to one harmony vector: the output at the start token."""

    def __init__(self, config: M2EConfig):
        super().__init__()
        size = config.chord_size
        self.max_chords = config.max_chords
        self.pad_to_max = config.pad_chords_to_max
        self.mask_padding = config.mask_chords
        self.root_embedding = nn.Embedding(config.num_root_tokens, size // 2)
        self.quality_embedding = nn.Embedding(config.num_quality_tokens, size // 2)
        self.duration_projection = nn.Linear(1, size) if config.chord_durations else None
        self.cls = nn.Parameter(torch.zeros(size)) if config.learned_cls else None
        layer = nn.TransformerEncoderLayer(
            size, config.chord_heads, config.chord_ffn_size, config.chord_dropout, batch_first=True
        )
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
        if mask is None:
            mask = roots != PAD_TOKEN
        chords = [roots, qualities, durations, mask.bool()]
        if self.max_chords is not None:
            chords = [part if part is None else part[:, : self.max_chords] for part in chords]
        if self.pad_to_max:
            missing = self.max_chords - chords[0].shape[1]
            chords = [part if part is None else F.pad(part, (0, missing)) for part in chords]
        roots, qualities, durations, mask = chords

        tokens = torch.cat([self.root_embedding(roots), self.quality_embedding(qualities)], dim=-1)
        tokens = tokens + sinusoidal_positions(tokens.shape[1], tokens.shape[2], tokens.device).to(tokens)
        if self.duration_projection is not None and durations is not None:
            tokens = tokens + self.duration_projection(durations.float().log1p().to(tokens)[..., None])
        start = tokens.new_zeros(tokens.shape[-1]) if self.cls is None else self.cls
        tokens = torch.cat([start.expand(len(tokens), 1, -1), tokens], dim=1)
        padding = F.pad(~mask, (1, 0), value=False) if self.mask_padding else None
        return self.encoder(tokens, src_key_padding_mask=padding)[:, 0]


class M2EPreTrainedModel(PreTrainedModel):
    config: M2EConfig
    base_model_prefix = "m2e"
    main_input_name = "embeddings"
    input_modalities = "audio"
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)  # norms, attention
        # PyTorch's own defaults for the rest, as the published network was trained from: narrow embeddings of
        # standard deviation 0.02 would drown in the positions.
        if isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.in_features)
            init.uniform_(module.weight, -bound, bound)
            if (start := getattr(module, "bias_start", None)) is not None:
                init.constant_(module.bias, start)
            elif module.bias is not None:
                init.uniform_(module.bias, -bound, bound)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight)
        elif isinstance(module, ChordTransformer) and module.cls is not None:
            init.normal_(module.cls)
        elif isinstance(module, M2EModel):
            for name, buffer in module.named_buffers(recurse=False):
                (init.ones_ if name.endswith("_std") else init.zeros_)(buffer)


class M2EModel(M2EPreTrainedModel):
    """The trunk: embeddings, chords and key to one fused vector."""

    def __init__(self, config: M2EConfig):
        super().__init__(config)
        size = 0
        if config.use_encoder:
            size += config.embedding_size
            if config.embedding_norm == "standard":
                self.register_buffer("embedding_mean", torch.zeros(config.embedding_size))
                self.register_buffer("embedding_std", torch.ones(config.embedding_size))
            elif config.embedding_norm == "layer":
                self.embedding_layer_norm = nn.LayerNorm(config.embedding_size)
        if config.use_harmony:
            size += config.chord_size + 1 + config.num_harmony_statistics
            self.chord_transformer = ChordTransformer(config)
            if config.num_harmony_statistics:
                self.register_buffer("statistics_mean", torch.zeros(config.num_harmony_statistics))
                self.register_buffer("statistics_std", torch.ones(config.num_harmony_statistics))
        self.fusion = nn.Sequential(nn.Linear(size, config.fusion_size), nn.ReLU(), nn.Dropout(config.dropout))
        self.post_init()

    @torch.no_grad()
    def set_embedding_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Store mean and deviation (embedding_size,) of the training embeddings; a deviation of 0 becomes 1."""
        if not self.config.use_encoder or self.config.embedding_norm != "standard":
            raise ValueError(
                "Embedding statistics need a configuration with use_encoder and embedding_norm='standard'."
            )
        mean, std = torch.as_tensor(mean), torch.as_tensor(std)
        expected = (self.config.embedding_size,)
        if mean.shape != expected or std.shape != expected or not (mean.isfinite().all() and (std >= 0).all()):
            raise ValueError(
                f"Embedding statistics must be finite, of shape {expected}, with deviations of at least 0."
            )
        self.embedding_mean.copy_(mean)
        self.embedding_std.copy_(torch.where(std > 1e-6, std, 1.0))

    @torch.no_grad()
    def set_harmony_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Store mean and deviation (num_harmony_statistics,) of the training tracks; a deviation of 0 becomes 1."""
        self.statistics_mean.copy_(mean)
        self.statistics_std.copy_(torch.where(std > 1e-6, std, 1.0))

    def forward(
        self,
        embeddings: torch.Tensor | None = None,
        window_weights: torch.Tensor | None = None,
        chord_roots: torch.Tensor | None = None,
        chord_qualities: torch.Tensor | None = None,
        chord_durations: torch.Tensor | None = None,
        chord_mask: torch.Tensor | None = None,
        mode: torch.Tensor | None = None,
        harmony_statistics: torch.Tensor | None = None,
        output_windows: bool | None = None,
    ) -> M2EModelOutput:
        """Trunk output; arguments as in `M2EForMusicEmotion.forward`."""
        harmony, context = self._harmony(embeddings, chord_roots, chord_qualities, chord_durations, chord_mask, mode)
        if self.config.use_harmony and self.config.num_harmony_statistics:
            context = torch.cat([context, self._statistics(harmony, harmony_statistics)], dim=-1)
        if not self.config.use_encoder:
            return M2EModelOutput(fused=self.fusion(context), harmony=harmony)

        windows = self._windows(embeddings)
        fused = self._fuse(_weighted_mean(windows, window_weights), context)
        window_fused = None
        if not self.training if output_windows is None else output_windows:
            if windows.shape[1] == 1 and not self.training:
                window_fused = fused[:, None]  # the only window is the average
            else:
                window_fused = self._fuse(windows, None if context is None else context[:, None])
        return M2EModelOutput(fused=fused, window_fused=window_fused, harmony=harmony)

    def _windows(self, embeddings: torch.Tensor | None) -> torch.Tensor:
        if embeddings is None:
            raise ValueError("This model needs `embeddings` of the audio (its configuration has use_encoder on).")
        if embeddings.ndim == 2:
            embeddings = embeddings[:, None]
        if embeddings.ndim != 3 or embeddings.shape[-1] != self.config.embedding_size:
            raise ValueError(
                f"`embeddings` has shape {tuple(embeddings.shape)}; this model takes (tracks, windows, "
                f"{self.config.embedding_size}): use the encoder it was trained with."
            )
        return embeddings.to(self.dtype)

    def _harmony(self, embeddings, roots, qualities, durations, mask, mode):
        """Harmony vector (B, chord_size), and the same with the mode appended; both None without harmony."""
        if not self.config.use_harmony:
            return None, None
        if (roots is None) != (qualities is None):
            raise ValueError("`chord_roots` and `chord_qualities` must be given together.")
        if roots is None:  # a track without chords
            given = mode if embeddings is None else embeddings
            if given is None:
                raise ValueError("The model was given neither `embeddings` nor chords.")
            roots = qualities = torch.zeros(len(given), 0, dtype=torch.long, device=given.device)
            durations = mask = None
        harmony = self.chord_transformer(roots, qualities, durations, mask)
        mode = harmony.new_zeros(len(harmony), 1) if mode is None else mode.to(harmony).reshape(-1, 1)
        return harmony, torch.cat([harmony, mode], dim=-1)

    def _statistics(self, harmony: torch.Tensor, statistics: torch.Tensor | None) -> torch.Tensor:
        """(B, num_harmony_statistics) in deviations from the training tracks' mean, 0 where unknown."""
        if statistics is None:
            return harmony.new_zeros(len(harmony), self.config.num_harmony_statistics)
        found = (statistics.to(self.statistics_mean) - self.statistics_mean) / self.statistics_std
        return found.nan_to_num(0.0).to(harmony)

    def _fuse(self, embeddings: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
        """(..., fusion_size) from (..., H) and a context (..., C) that is broadcast over windows."""
        if self.config.embedding_norm == "standard":
            embeddings = (embeddings - self.embedding_mean) / self.embedding_std
        elif self.config.embedding_norm == "layer":
            embeddings = self.embedding_layer_norm(embeddings)
        if context is not None:
            embeddings = torch.cat([embeddings, context.expand(*embeddings.shape[:-1], -1)], dim=-1)
        return self.fusion(embeddings)


def _weighted_mean(windows: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    if weights is None:
        return windows.mean(dim=1)
    weights = weights.to(windows)
    total = weights.sum(dim=1, keepdim=True)
    return (windows * (weights / total.clamp(min=torch.finfo(windows.dtype).tiny))[..., None]).sum(dim=1)


class M2EForMusicEmotion(M2EPreTrainedModel):
    """The trunk with a mood branch, a valence-arousal branch and, if configured, a quadrant branch.

    With several `config.num_members`, the others are such networks, too, and the answer is the mean of all.
    """

    def __init__(self, config: M2EConfig):
        super().__init__(config)
        self.m2e = M2EModel(config)
        self.mood_branch = self._branch(config.num_labels)
        self.va_branch = self._branch(2)
        self.va_branch[-1].bias_start = config.va_initial  # read by _init_weights
        self.quadrant_branch = self._branch(config.num_quadrants) if config.num_quadrants else None
        alone = copy.deepcopy(config)
        alone.num_members = 1
        self.others = nn.ModuleList([M2EForMusicEmotion(alone) for _ in range(config.num_members - 1)])
        self.post_init()

    @property
    def members(self) -> list["M2EForMusicEmotion"]:
        """The networks that answer together, this one first."""
        return [self, *self.others]

    def _branch(self, outputs: int) -> nn.Sequential:
        sizes = self.config
        hidden = nn.Linear(sizes.fusion_size, sizes.branch_size)
        return nn.Sequential(hidden, nn.ReLU(), nn.Dropout(sizes.dropout), nn.Linear(sizes.branch_size, outputs))

    def set_harmony_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Store mean and deviation (num_harmony_statistics,) of the training tracks."""
        for member in self.members:
            member.m2e.set_harmony_statistics(mean, std)

    def set_embedding_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Store mean and deviation (embedding_size,) of the training embeddings."""
        for member in self.members:
            member.m2e.set_embedding_statistics(mean, std)

    def forward(
        self,
        embeddings: torch.Tensor | None = None,
        window_weights: torch.Tensor | None = None,
        chord_roots: torch.Tensor | None = None,
        chord_qualities: torch.Tensor | None = None,
        chord_durations: torch.Tensor | None = None,
        chord_mask: torch.Tensor | None = None,
        mode: torch.Tensor | None = None,
        harmony_statistics: torch.Tensor | None = None,
        mood_labels: torch.Tensor | None = None,
        va_labels: torch.Tensor | None = None,
        quadrant_labels: torch.Tensor | None = None,
        output_windows: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> M2EOutput:
        """Logits, valence-arousal and, with labels, the loss.

        embeddings: (B, W, H) or (B, H) of the encoder.  window_weights: (B, W), 0 for padding windows; None = equal.
        chord_roots, chord_qualities: (B, L) token ids of the key-normalised chords; None = tracks without chords.
        chord_durations: (B, L) seconds.  chord_mask: (B, L), true = a chord; None = where the root is no padding.
        mode: (B,) 0 major, 1 minor.  harmony_statistics: (B, num_harmony_statistics), NaN = unknown; not looked at
        without that configuration.
        mood_labels: (B, M) in 0..1, NaN = missing.  va_labels: (B, 2), NaN = missing.  quadrant_labels: (B,), -100 =
        missing. A branch without labels gets a zero gradient, and none at all where its labels are None.
        output_windows: give `window_va` too; None = when not training. The harmony vector is that of the whole track.
        """
        inputs = {
            "embeddings": embeddings,
            "window_weights": window_weights,
            "chord_roots": chord_roots,
            "chord_qualities": chord_qualities,
            "chord_durations": chord_durations,
            "chord_mask": chord_mask,
            "mode": mode,
            "harmony_statistics": harmony_statistics,
            "output_windows": output_windows,
        }
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        output = _together([member._answer(inputs, output_hidden_states) for member in self.members])

        config, losses = self.config, {}
        if mood_labels is not None:
            losses["mood_loss"] = mood_loss(output.mood_logits, mood_labels, config.mood_frequencies)
        if va_labels is not None:
            losses["va_loss"] = va_loss(output.va, va_labels)
        if quadrant_labels is not None and output.quadrant_logits is not None:
            losses["quadrant_loss"] = quadrant_loss(output.quadrant_logits, quadrant_labels)
        total = sum(getattr(config, f"{name}_weight") * loss for name, loss in losses.items()) if losses else None
        output = M2EOutput(loss=total, **output, **losses)
        return output.to_tuple() if return_dict is False else output

    def _answer(self, inputs: dict, output_hidden_states: bool) -> M2EOutput:
        """What this network says by itself, without losses."""
        trunk = self.m2e(**inputs)
        hidden_states = tuple(state for state in (trunk.harmony, trunk.fused) if state is not None)
        return M2EOutput(
            mood_logits=self.mood_branch(trunk.fused),
            va=self.va_branch(trunk.fused),
            quadrant_logits=None if self.quadrant_branch is None else self.quadrant_branch(trunk.fused),
            window_va=None if trunk.window_fused is None else self.va_branch(trunk.window_fused),
            hidden_states=hidden_states if output_hidden_states else None,
        )


def _together(answers: list[M2EOutput]) -> M2EOutput:
    """The mean of what several networks say, with the hidden states of all."""
    if len(answers) == 1:
        return answers[0]
    together = M2EOutput()
    for name, value in answers[0].items():
        every = [answer[name] for answer in answers]
        if isinstance(value, tuple):
            together[name] = tuple(torch.cat(each, dim=-1) for each in zip(*every, strict=True))
        else:
            together[name] = torch.stack(every).mean(0)
    return together
