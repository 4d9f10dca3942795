"""The music emotion network: encoder embeddings, chords and key to mood logits and valence-arousal.

Published as "Towards Unified Music Emotion Recognition across Dimensional and Categorical Models" (arXiv 2502.03979).
`M2EConfig.paper()` is that network exactly, `M2EConfig.default()` this project's variant of it.

Shapes: B tracks, W windows of a track, H embedding width, L chords, M moods.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.utils import ModelOutput

from .chord_transformer_m2e import ChordTransformer
from .configuration_m2e import M2EConfig
from .errors_m2e import DataError, ModelError
from .losses_m2e import mood_loss, quadrant_loss, va_loss
from .weights_m2e import CheckedModel

# Outputs --------------------------------------------------------------------------------------------------------------


# ModelOutput needs a default for every field; the fields whose type has no None are always set.


@dataclass
class M2EModelOutput(ModelOutput):
    """
    fused: (B, fusion_size) trunk output of the whole track.
    window_fused: (B, W, fusion_size) of each window, or None when not asked for.
    harmony: (B, chord_size) harmony vector, or None without harmony.
    """

    fused: torch.Tensor = None  # type: ignore[assignment]
    window_fused: torch.Tensor | None = None
    harmony: torch.Tensor | None = None


@dataclass
class M2EOutput(ModelOutput):
    """
    loss: weighted sum of the losses whose labels were given, or None.
    mood_logits: (B, M) before calibration.
    va: (B, 2) valence, arousal on the 1-9 scale, not clipped.
    quadrant_logits: (B, 4) for Q1..Q4, or None without that branch.
    window_va: (B, W, 2) of each window, or None when not asked for.
    descriptor_logits: (B, D) log-odds of config.descriptors, or None without them.
    hidden_states: harmony vector (B, chord_size), if the network has one, and trunk output (B, fusion_size); those of
    the members of an ensemble are concatenated. None when not asked for.
    mood_loss, va_loss, quadrant_loss: the parts of the loss before their factors.
    window_mood_logits: (B, W, M) of each window, or None when not asked for.
    va_spread: (B, 2) standard deviation of `va` over the members of an ensemble; None for a single network.
    """

    loss: torch.Tensor | None = None
    mood_logits: torch.Tensor = None  # type: ignore[assignment]
    va: torch.Tensor = None  # type: ignore[assignment]
    quadrant_logits: torch.Tensor | None = None
    window_va: torch.Tensor | None = None
    descriptor_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    mood_loss: torch.Tensor | None = None
    va_loss: torch.Tensor | None = None
    quadrant_loss: torch.Tensor | None = None
    window_mood_logits: torch.Tensor | None = None
    va_spread: torch.Tensor | None = None


# Network --------------------------------------------------------------------------------------------------------------


class M2EPreTrainedModel(CheckedModel):
    config: M2EConfig
    base_model_prefix = "m2e"
    main_input_name = "embeddings"
    input_modalities = "audio"
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
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

    embedding_mean: torch.Tensor
    embedding_std: torch.Tensor
    statistics_mean: torch.Tensor
    statistics_std: torch.Tensor

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
        """Store mean and deviation (embedding_size,) of the training embeddings; a deviation of 0 becomes 1.

        Raises: DataError for another shape or numbers that are not finite.
        """
        if not self.config.use_encoder or self.config.embedding_norm != "standard":
            raise ValueError(
                "Embedding statistics need a configuration with use_encoder and embedding_norm='standard'."
            )
        mean, std = _statistics("embeddings", mean, std, self.config.embedding_size)
        self.embedding_mean.copy_(mean)
        self.embedding_std.copy_(std)

    @torch.no_grad()
    def set_harmony_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Store mean and deviation (num_harmony_statistics,) of the training tracks; a deviation of 0 becomes 1.

        Raises: DataError for another shape or numbers that are not finite, as of tracks without chords.
        """
        if not self.config.use_harmony or not self.config.num_harmony_statistics:
            raise ValueError("Harmony statistics need a configuration with use_harmony and num_harmony_statistics.")
        mean, std = _statistics("harmony", mean, std, self.config.num_harmony_statistics)
        self.statistics_mean.copy_(mean)
        self.statistics_std.copy_(std)

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
        if harmony is not None and context is not None and self.config.num_harmony_statistics:
            context = torch.cat([context, self._standardised(harmony, harmony_statistics)], dim=-1)
        if not self.config.use_encoder and context is not None:
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
            raise ModelError(
                f"`embeddings` has shape {tuple(embeddings.shape)}; this model takes (tracks, windows, "
                f"{self.config.embedding_size}): use the encoder it was trained with."
            )
        return embeddings.to(self.dtype)

    def _harmony(
        self,
        embeddings: torch.Tensor | None,
        roots: torch.Tensor | None,
        qualities: torch.Tensor | None,
        durations: torch.Tensor | None,
        mask: torch.Tensor | None,
        mode: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor] | tuple[None, None]:
        """Harmony vector (B, chord_size), and the same with the mode appended; both None without harmony."""
        if not self.config.use_harmony:
            return None, None
        if (roots is None) != (qualities is None):
            raise ValueError("`chord_roots` and `chord_qualities` must be given together.")
        if roots is None or qualities is None:  # tracks without chords
            given = mode if embeddings is None else embeddings
            if given is None:
                raise ValueError("The model was given neither `embeddings` nor chords.")
            roots = qualities = torch.zeros(len(given), 0, dtype=torch.long, device=given.device)
            durations = mask = None
        harmony = self.chord_transformer(roots, qualities, durations, mask)
        mode = harmony.new_zeros(len(harmony), 1) if mode is None else mode.to(harmony).reshape(-1, 1)
        return harmony, torch.cat([harmony, mode], dim=-1)

    def _standardised(self, harmony: torch.Tensor, statistics: torch.Tensor | None) -> torch.Tensor:
        """(B, num_harmony_statistics) in deviations from the mean of the training tracks, 0 where unknown."""
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


def _statistics(name: str, mean: torch.Tensor, std: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation, checked; a deviation of 0 becomes 1."""
    mean, std = torch.as_tensor(mean), torch.as_tensor(std)
    shaped = mean.shape == std.shape == (size,)
    if not (shaped and mean.isfinite().all() and std.isfinite().all() and (std >= 0).all()):
        raise DataError(
            f"Mean and deviation of the {name} must be finite numbers of shape ({size},), deviations at least 0: check "
            "the training features."
        )
    return mean, torch.where(std > 1e-6, std, 1.0)


def _weighted_mean(windows: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    if weights is None:
        return windows.mean(dim=1)
    weights = weights.to(windows)
    total = weights.sum(dim=1, keepdim=True)
    shares = weights / total.clamp(min=torch.finfo(windows.dtype).tiny)
    return torch.bmm(shares[:, None], windows)[:, 0]  # a product would be as large as the windows


class M2EForMusicEmotion(M2EPreTrainedModel):
    """The trunk with a mood branch, a valence-arousal branch and, if configured, a quadrant branch.

    With several `config.num_members` it is an ensemble: `others` are such networks, and the outputs are their means.
    """

    def __init__(self, config: M2EConfig):
        super().__init__(config)
        self.m2e = M2EModel(config)
        self.mood_branch = self._branch(config.num_labels)
        self.va_branch = self._branch(2)
        self.va_branch[-1].bias_start = config.va_initial  # type: ignore[assignment]  # read by _init_weights
        self.quadrant_branch = self._branch(config.num_quadrants) if config.num_quadrants else None
        alone = copy.deepcopy(config)
        alone.num_members, alone.descriptors = 1, None
        self.descriptor_head = nn.Linear(config.embedding_size, len(config.descriptors)) if config.descriptors else None
        self.others = nn.ModuleList([M2EForMusicEmotion(alone) for _ in range(config.num_members - 1)])
        self.post_init()

    @property
    def members(self) -> list["M2EForMusicEmotion"]:
        """The networks of the ensemble, this one first."""
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
    ) -> M2EOutput | tuple[torch.Tensor, ...]:
        """Logits, valence-arousal and, with labels, the loss; a tuple of what is not None for return_dict=False.

        embeddings: (B, W, H) or (B, H) of the encoder.  window_weights: (B, W), 0 for padding windows; None = equal.
        chord_roots, chord_qualities: (B, L) token ids of the key-normalised chords; None = tracks without chords.
        chord_durations: (B, L) seconds.  chord_mask: (B, L), true = a chord; None = where the root is no padding.
        mode: (B,) 0 major, 1 minor.  harmony_statistics: (B, num_harmony_statistics), NaN = unknown; ignored where the
        configuration has none.
        mood_labels: (B, M) in 0..1, NaN = missing.  va_labels: (B, 2), NaN = missing.  quadrant_labels: (B,), -100 =
        missing. A branch without labels gets a zero gradient, and none at all where its labels are None.
        output_windows: give `window_va` and `window_mood_logits` too; None = when not training. The harmony vector is
        that of the whole track.
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
        output = _mean([member._predict(inputs, bool(output_hidden_states)) for member in self.members])
        if self.descriptor_head is not None and embeddings is not None:
            output.descriptor_logits = self.descriptor_head(
                _weighted_mean(self.m2e._windows(embeddings), window_weights)
            )

        config = self.config
        losses: dict[str, torch.Tensor] = {}
        if mood_labels is not None:
            losses["mood_loss"] = mood_loss(output.mood_logits, mood_labels, config.mood_frequencies)
        if va_labels is not None:
            losses["va_loss"] = va_loss(output.va, va_labels)
        if quadrant_labels is not None and output.quadrant_logits is not None:
            losses["quadrant_loss"] = quadrant_loss(output.quadrant_logits, quadrant_labels)
        total = sum(getattr(config, f"{name}_weight") * loss for name, loss in losses.items()) if losses else None
        fields: dict[str, Any] = {"loss": total, **output, **losses}
        output = M2EOutput(**fields)
        return output.to_tuple() if return_dict is False else output

    def _predict(self, inputs: dict[str, Any], output_hidden_states: bool) -> M2EOutput:
        """The outputs of this network alone, without losses."""
        trunk = self.m2e(**inputs)
        hidden_states = tuple(state for state in (trunk.harmony, trunk.fused) if state is not None)
        return M2EOutput(
            mood_logits=self.mood_branch(trunk.fused),
            va=self.va_branch(trunk.fused),
            quadrant_logits=None if self.quadrant_branch is None else self.quadrant_branch(trunk.fused),
            window_va=None if trunk.window_fused is None else self.va_branch(trunk.window_fused),
            hidden_states=hidden_states if output_hidden_states else None,
            window_mood_logits=None if trunk.window_fused is None else self.mood_branch(trunk.window_fused),
        )


def _mean(outputs: list[M2EOutput]) -> M2EOutput:
    """The means of the outputs of several networks, with the hidden states of all and the spread of `va`."""
    if len(outputs) == 1:
        return outputs[0]
    mean = M2EOutput()
    for name, value in outputs[0].items():
        every = [output[name] for output in outputs]
        if isinstance(value, tuple):
            mean[name] = tuple(torch.cat(each, dim=-1) for each in zip(*every, strict=True))
        else:
            mean[name] = torch.stack(every).mean(0)
    mean.va_spread = torch.stack([output.va for output in outputs]).std(0, correction=0)
    return mean
