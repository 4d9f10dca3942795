"""Configuration of the music emotion model: sizes, labels, losses, calibration, and two presets."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedConfig

from .answers_m2e import Answers
from .bounds_m2e import MAX_LABELS, Bounds, check_common, check_finite, check_names, check_numbers, check_parameters
from .errors_m2e import ModelError

# Tracks per mood/theme tag in the official MTG-Jamendo split-0 training set (autotagging_moodtheme-train.tsv,
# github.com/MTG/mtg-jamendo-dataset, CC BY-NC-SA 4.0), in the output order of the published networks.
JAMENDO_TRAIN_TRACKS = 9949
JAMENDO_MOOD_COUNTS = {
    "action": 296, "adventure": 264, "advertising": 363, "background": 404, "ballad": 193, "calm": 267,
    "children": 152, "christmas": 368, "commercial": 191, "cool": 170, "corporate": 349, "dark": 620,
    "deep": 429, "documentary": 339, "drama": 253, "dramatic": 195, "dream": 498, "emotional": 499,
    "energetic": 857, "epic": 601, "fast": 62, "film": 746, "fun": 220, "funny": 109,
    "game": 169, "groovy": 78, "happy": 927, "heavy": 98, "holiday": 98, "hopeful": 137,
    "inspiring": 561, "love": 493, "meditative": 374, "melancholic": 228, "melodic": 598, "motivational": 372,
    "movie": 207, "nature": 137, "party": 127, "positive": 376, "powerful": 106, "relaxing": 763,
    "retro": 139, "romantic": 363, "sad": 375, "sexy": 59, "slow": 295, "soft": 208,
    "soundscape": 415, "space": 362, "sport": 201, "summer": 261, "trailer": 159, "travel": 89,
    "upbeat": 216, "uplifting": 449,
}  # fmt: skip
JAMENDO_MOODS = tuple(JAMENDO_MOOD_COUNTS)
JAMENDO_MOOD_FREQUENCIES = tuple(count / JAMENDO_TRAIN_TRACKS for count in JAMENDO_MOOD_COUNTS.values())


def weighting_calibration(frequencies: Sequence[float]) -> tuple[list[float], list[float]]:
    """(offsets, thresholds): what undoes the class weighting of the mood loss, per tag, from the tag frequencies p.

    The loss (arXiv 2502.03979) weighs positives 2 / (1 + p) and negatives 2 p / (1 + p), a ratio of 1 / p.
    Its minimum is therefore the true log-odds minus log p: adding the offset log p to a logit gives the probability,
    and the published rule "sigmoid(logit) > 0.5" is "probability > p / (1 + p)".
    """
    _check_frequencies(frequencies)
    return [math.log(p) for p in frequencies], [p / (1 + p) for p in frequencies]


def _check_frequencies(frequencies: Sequence[float]) -> None:
    if not all(0 < p <= 1 for p in frequencies):
        raise ModelError("Mood frequencies must lie in (0, 1]: drop moods that no training track has.")


def _numbers(name: str, values: Any) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise ModelError(f"M2EConfig: {name} is not a list of numbers: save or download the model again.") from error
    check_finite("M2EConfig", name, numbers)
    return numbers


# Ranges of the settings that are numbers; see the class.
WHOLE: Bounds = {
    "embedding_size": (1, 1 << 16),
    "num_root_tokens": (1, 1000),
    "num_quality_tokens": (1, 1000),
    "chord_size": (2, 4096),
    "chord_layers": (0, 64),
    "chord_heads": (1, 256),
    "chord_ffn_size": (1, 1 << 14),
    "max_chords": (1, 100_000),
    "num_harmony_statistics": (0, 4096),
    "fusion_size": (1, 1 << 14),
    "branch_size": (1, 1 << 14),
    "num_members": (1, 100),
    "num_labels": (0, MAX_LABELS),
}
REAL: Bounds = {
    "chord_dropout": (0, 1),
    "dropout": (0, 1),
    "mood_loss_weight": (0, 1e6),
    "va_loss_weight": (0, 1e6),
    "quadrant_loss_weight": (0, 1e6),
    "va_initial": (-1e6, 1e6),
    "va_min": (-1e6, 1e6),
    "va_max": (-1e6, 1e6),
    "neutral_valence": (-1e6, 1e6),
    "neutral_arousal": (-1e6, 1e6),
}


class M2EConfig(PreTrainedConfig):
    """Settings of the network and of its outputs; the class defaults are the "default" preset.

    The labels are the moods: `id2label` (the 56 MTG-Jamendo mood/theme tags when nothing is given), `num_labels`.

    Network
        embedding_size: width of one encoder embedding.
        use_encoder, use_harmony: whether the audio embedding, and the chords and the key, are inputs.
        embedding_norm: "standard" (with stored means and deviations of the training set), "layer" or "none".
        chord_vocabulary: "m2e" or "paper", the token ids that the model was trained with.
        chord_size: width of the chord transformer; half for the root, half for the quality.
        max_chords: chords that are read; further ones are cut off. None = no limit.
        pad_chords_to_max: always attend to `max_chords` positions, with token 0 beyond the last chord (paper).
        mask_chords: padding is not attended to.  learned_cls: a trained start token instead of zeros.
        chord_durations: the seconds of a chord are part of its token.
        num_harmony_statistics: how many `HarmonyStatistics` are inputs, with the chord vector and the mode; 0 = none.
        fusion_size, branch_size: hidden units of the trunk and of each branch.
        num_quadrants: 4 for a branch that classifies Russell's quadrants, 0 for none.
        num_members: networks of these sizes whose outputs are averaged (deep ensemble, arXiv 1612.01474).
        va_initial: bias of the valence-arousal outputs before training. None = PyTorch's random start.
    Losses
        mood_frequencies: share of training tracks with the tag, per tag, for the class weighting. None = unweighted.
        mood_loss_weight, va_loss_weight, quadrant_loss_weight: factors in the total.
        descriptors: names of what a linear map reads from the embedding: "music", and attributes such as "energy".
    Outputs
        mood_scale, mood_offset: probability = sigmoid(scale * logit + offset), per tag. None = 1 and 0.
        mood_thresholds: a tag is selected above this probability, per tag. None = 0.5.
        va_min, va_max: ends of the valence-arousal scale.  neutral_valence, neutral_arousal: where quadrants meet.
        answers: numbers that are fitted after training, see `Answers`; None = none.
    """

    model_type = "m2e"

    if TYPE_CHECKING:  # the base class allows None before __post_init__
        id2label: dict[int, str]
        label2id: dict[str, int]
        num_labels: int

    embedding_size: int = 1536
    use_encoder: bool = True
    use_harmony: bool = True
    embedding_norm: str = "standard"

    chord_vocabulary: str = "m2e"
    num_root_tokens: int = 15
    num_quality_tokens: int = 17
    chord_size: int = 64
    chord_layers: int = 2
    chord_heads: int = 4
    chord_ffn_size: int = 128
    chord_dropout: float = 0.1
    max_chords: int | None = 2048
    pad_chords_to_max: bool = False
    mask_chords: bool = True
    learned_cls: bool = True
    chord_durations: bool = True
    num_harmony_statistics: int = 0

    fusion_size: int = 512
    branch_size: int = 256
    dropout: float = 0.2
    num_quadrants: int = 0
    num_members: int = 1
    descriptors: list[str] | None = None
    va_initial: float | None = 5.0

    mood_frequencies: list[float] | None = None
    mood_loss_weight: float = 1.0
    va_loss_weight: float = 1.0
    quadrant_loss_weight: float = 1.0

    mood_scale: list[float] | None = None
    mood_offset: list[float] | None = None
    mood_thresholds: list[float] | None = None
    va_min: float = 1.0
    va_max: float = 9.0
    neutral_valence: float = 5.0
    neutral_arousal: float = 5.0
    answers: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        check_common(self, kwargs)
        if self.id2label is None and kwargs.get("num_labels") is None:
            self.id2label = dict(enumerate(JAMENDO_MOODS))
        super().__post_init__(**kwargs)
        # Given alone, id2label would leave label2id empty in config.json.
        self.label2id = {label: index for index, label in self.id2label.items()}
        for name in ("mood_frequencies", "mood_scale", "mood_offset", "mood_thresholds"):
            if getattr(self, name) is not None:
                setattr(self, name, _numbers(name, getattr(self, name)))
        self._check()

    def _check(self) -> None:
        self._check_sizes()
        if not (self.use_encoder or self.use_harmony):
            raise ModelError(
                "M2EConfig: use_encoder and use_harmony are both off, so the model has no input: turn one on."
            )
        if self.embedding_norm not in ("standard", "layer", "none"):
            raise ModelError(
                f"M2EConfig: embedding_norm is {self.embedding_norm!r}; use 'standard', 'layer' or 'none'."
            )
        if self.chord_vocabulary not in ("m2e", "paper"):
            raise ModelError(f"M2EConfig: chord_vocabulary is {self.chord_vocabulary!r}; use 'm2e' or 'paper'.")
        if self.chord_size % 2 or self.chord_size % self.chord_heads:
            raise ModelError(
                f"M2EConfig: chord_size {self.chord_size} is not divisible by 2 and by {self.chord_heads} heads."
            )
        if self.pad_chords_to_max and self.max_chords is None:
            raise ModelError("M2EConfig: pad_chords_to_max needs max_chords: set it.")
        if self.num_quadrants not in (0, 4):
            raise ModelError(f"M2EConfig: num_quadrants is {self.num_quadrants}; use 4, or 0 for no quadrant branch.")
        if len(self.label2id) != len(self.id2label):
            raise ModelError("M2EConfig: two moods have the same name: give each its own.")
        for name in ("mood_frequencies", "mood_scale", "mood_offset", "mood_thresholds"):
            values = getattr(self, name)
            if values is not None and len(values) != self.num_labels:
                raise ModelError(f"M2EConfig: {name} has {len(values)} numbers for {self.num_labels} moods.")
        _check_frequencies(self.mood_frequencies or [])
        Answers.read(self.answers, self.num_labels)

        if self.descriptors is not None:
            check_names("M2EConfig", "descriptors", self.descriptors)

    def _check_sizes(self) -> None:
        check_numbers(self, WHOLE, REAL, optional=("max_chords", "va_initial"))
        if self.va_min >= self.va_max:
            raise ModelError(f"M2EConfig: va_min {self.va_min} is not below va_max {self.va_max}.")
        if sorted(self.id2label) != list(range(self.num_labels)):
            raise ModelError("M2EConfig: the keys of id2label are not 0, 1, 2, ...: number the moods so.")
        inputs = self.embedding_size + self.chord_size + 1 + self.num_harmony_statistics
        chords = self.chord_layers * self.chord_size * (4 * self.chord_size + 2 * self.chord_ffn_size)
        chords += (self.num_root_tokens + self.num_quality_tokens) * self.chord_size
        heads = self.branch_size * (3 * self.fusion_size + self.num_labels)
        check_parameters("M2EConfig", self.num_members * (inputs * self.fusion_size + chords + heads))

    @property
    def moods(self) -> list[str]:
        """Mood names in output order."""
        return [self.id2label[index] for index in range(self.num_labels)]

    @classmethod
    def default(
        cls,
        moods: Sequence[str] | None = None,
        mood_frequencies: Sequence[float] | None = None,
        **overrides: Any,
    ) -> "M2EConfig":
        """This project's network. `moods` are the labels in output order, `mood_frequencies` their training frequencies
        (the loss is then weighted, and the calibration starts at what undoes the weighting)."""
        if moods is not None:
            overrides["id2label"] = dict(enumerate(moods))
        return cls(**_with_weighting(mood_frequencies, overrides))

    @classmethod
    def paper(cls, **overrides: Any) -> "M2EConfig":
        """The published network (arXiv 2502.03979 and its code), with the 56 MTG-Jamendo tags and their weighting."""
        published = {
            "embedding_norm": "none",
            "chord_vocabulary": "paper",
            "num_root_tokens": 14,
            "num_quality_tokens": 14,
            "chord_size": 8,
            "chord_layers": 2,
            "chord_heads": 8,
            "chord_ffn_size": 64,
            "max_chords": 100,
            "pad_chords_to_max": True,
            "mask_chords": False,
            "learned_cls": False,
            "chord_durations": False,
            "dropout": 0.0,
            "va_initial": None,
        }
        frequencies = overrides.pop("mood_frequencies", JAMENDO_MOOD_FREQUENCIES)
        return cls(**_with_weighting(frequencies, {**published, **overrides}))


def _with_weighting(frequencies: Sequence[float] | None, fields: dict[str, Any]) -> dict[str, Any]:
    if frequencies is None:
        return fields
    frequencies = [float(p) for p in frequencies]
    offsets, thresholds = weighting_calibration(frequencies)
    return {"mood_frequencies": frequencies, "mood_offset": offsets, "mood_thresholds": thresholds, **fields}
