"""The network before training: new, or continued from another; and the ensemble after it."""

import copy
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch

from m2e.errors import TrainingError
from m2e.training.packed import LabelledTracks, harmony_statistics, statistics
from m2e.training.teachers import mood_places, weighting_offsets
from m2e.training.validation import predict
from modeling_m2e import M2EConfig, M2EForMusicEmotion

PRESETS = {"default": M2EConfig.default, "paper": M2EConfig.paper}
_MOOD_OUTPUT = re.compile(r"(^|\.)mood_branch\.3\.")


def preset(name: str) -> Callable[..., M2EConfig]:
    """What makes the configurations of a preset. Raises TrainingError."""
    if name not in PRESETS:
        raise TrainingError(f"model.preset is {name!r}: choose {' or '.join(PRESETS)}.")
    return PRESETS[name]


def new_network(
    settings: dict[str, Any],
    moods: Sequence[str],
    frequencies: Sequence[float] | None,
    sources: Sequence[LabelledTracks],
) -> M2EForMusicEmotion:
    """A network with random weights and the mean and deviation of the sources' embeddings.

    settings: {"preset": ..., fields of M2EConfig}.  frequencies: for the class weighting; None: all moods alike.
    Raises TrainingError.
    """
    own = {"id2label": dict(enumerate(moods)), "mood_frequencies": frequencies, **settings}
    own["embedding_size"] = sources[0].features.width
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")  # a branch of no moods
        model = M2EForMusicEmotion(_config(preset(own.pop("preset", "default")), own))
    if model.config.use_encoder and model.config.embedding_norm == "standard":
        model.set_embedding_statistics(*statistics(sources))
    if model.config.use_harmony and model.config.num_harmony_statistics:
        model.set_harmony_statistics(*harmony_statistics(sources))
    return model


def continued(
    start: M2EForMusicEmotion, settings: dict[str, Any], moods: Sequence[str], frequencies: Sequence[float] | None
) -> M2EForMusicEmotion:
    """A network with the weights of `start`, which predicts the same for moods that both have; other moods are new.

    The calibration of `start` is folded into the weights, so that training begins at its probabilities. Thresholds of
    moods that both have are kept. Raises TrainingError where settings ask for a network of another shape.
    """
    kept = set(M2EConfig.__annotations__) - {"mood_scale", "mood_offset", "mood_thresholds", "answers"}
    own = {name: getattr(start.config, name) for name in kept} | settings
    own |= {"id2label": dict(enumerate(moods)), "mood_frequencies": frequencies}
    model = M2EForMusicEmotion(_config(M2EConfig.default, own))
    state, before = model.state_dict(), start.state_dict()
    before = {name: tensor for name, tensor in before.items() if not _MOOD_OUTPUT.search(name)}
    if wrong := [name for name in before if name not in state or state[name].shape != before[name].shape]:
        raise TrainingError(f"The model that training starts from has another {wrong[0]}: leave its sizes as they are.")
    model.load_state_dict(before, strict=False)
    _keep_moods(model, start)
    return model


def _config(make: Callable[..., M2EConfig], fields: dict[str, Any]) -> M2EConfig:
    known = set(M2EConfig.__annotations__) | {"id2label"}
    if unknown := fields.keys() - known:
        raise TrainingError(f"model has unknown settings {', '.join(sorted(unknown))}: they are those of M2EConfig.")
    try:
        return make(**fields)
    except ValueError as error:
        raise TrainingError(str(error)) from error


@torch.no_grad()
def _keep_moods(model: M2EForMusicEmotion, start: M2EForMusicEmotion) -> None:
    config, before = model.config, start.config
    outputs, olds = ([last_layer(member.mood_branch) for member in each.members] for each in (model, start))
    known_places = mood_places(before)
    weighting = weighting_offsets(config)
    thresholds = list(config.mood_thresholds or [0.5] * len(config.moods))
    for place, mood in enumerate(config.moods):
        if mood in known_places:
            old = known_places[mood]
            scale = 1.0 if before.mood_scale is None else before.mood_scale[old]
            offset = 0.0 if before.mood_offset is None else before.mood_offset[old]
            for output, known in zip(outputs, olds, strict=True):
                output.weight[place] = scale * known.weight[old]
                output.bias[place] = scale * known.bias[old] + offset - weighting[place]
            thresholds[place] = 0.5 if before.mood_thresholds is None else before.mood_thresholds[old]
    config.mood_thresholds = thresholds if config.num_labels else None


def last_layer(branch: torch.nn.Sequential) -> torch.nn.Linear:
    """The layer that gives a head's outputs."""
    return cast(torch.nn.Linear, branch[-1])


def ensemble(models: Sequence[M2EForMusicEmotion]) -> M2EForMusicEmotion:
    """One model whose members are all members of these, with the configuration of the first."""
    members = [member for model in models for member in model.members]
    config = copy.deepcopy(models[0].config)
    config.num_members = len(members)
    together = M2EForMusicEmotion(config)
    for own, member in zip(together.members, members, strict=True):
        own.load_state_dict(member.state_dict(), strict=False)  # the first member's state includes the others
    return together.eval()


@torch.no_grad()
def fit_scale(model: M2EForMusicEmotion, sources: Sequence[LabelledTracks]) -> None:
    """Fits the scale of valence and arousal to the labels by least squares, in place, before training.

    A dimension that correlates negatively starts at the labels' mean."""
    learnt = [source for source in sources if "va" in source.tasks]
    if not learnt:
        return
    predicted = np.concatenate([predict(model, source)["va"] for source in learnt]).astype(np.float64)
    labels = np.concatenate([source.labels.va[source.rows] for source in learnt])
    outputs = [last_layer(member.va_branch) for member in model.members]
    for dimension in range(2):
        labelled = ~np.isnan(labels[:, dimension])
        x, y = predicted[labelled, dimension], labels[labelled, dimension]
        if len(x):
            slope = max(0.0, np.cov(x, y, bias=True)[0, 1] / max(x.var(), 1e-9))
            for output in outputs:
                output.weight[dimension] *= slope
                output.bias[dimension] = slope * output.bias[dimension] + y.mean() - slope * x.mean()


@torch.no_grad()
def neutralise_untrained_va(model: M2EForMusicEmotion, tasks: Sequence[str]) -> None:
    """Makes untrained valence and arousal neutral instead of random, and stores the trained tasks in the config."""
    if "va" not in tasks:
        for output in (last_layer(member.va_branch) for member in model.members):
            output.weight.zero_()
            output.bias.copy_(torch.tensor([model.config.neutral_valence, model.config.neutral_arousal]))
    model.config.trained_tasks = list(tasks)
