"""A small training in a process of its own, to be killed or to be one of several: python training_child.py FOLDER."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from safetensors.torch import save_file

from benchmarks.training import Size, plant
from m2e.training.loop import Fitted, fit, make_accelerator
from m2e.training.network import new_network
from m2e.training.packed import mood_frequencies
from m2e.training.recipe import Objective, Training
from m2e.training.teachers import TableTeacher
from m2e.training.validation import evaluate

WIDTH = 24
MOODS = ["a", "b", "c"]
SIZES = {"tags": Size((143, 40, 60), 3, 6, True), "ratings": Size((61, 30, 40), 2, 6, False)}
NETWORK = {"chord_size": 8, "chord_heads": 2, "chord_ffn_size": 8, "fusion_size": 16, "branch_size": 8}
NETWORK |= {"dropout": 0.0, "chord_dropout": 0.0}  # what processes do not share
TRAINING = Training(epochs=6, batch_size=9, learning_rate=0.01, clip_norm=1.0, harmony_dropout=0.2, ema=0.9, warmup=0.1)
TRAINING = replace(TRAINING, mixing_temperature=2.0)
OBJECTIVE = Objective(class_balanced=True, distillation="ours", teacher_weight=0.3)


def planted() -> dict:
    return {name: plant(name, size, WIDTH, len(MOODS)) for name, size in SIZES.items()}


def train(
    folder: Path | None,
    data: dict | None = None,
    training: Training = TRAINING,
    objective: Objective = OBJECTIVE,
    seed: int = 3,
    doubt: float = 0.1,
    **network,
) -> tuple[Fitted, dict[str, dict[str, float]]]:
    """The model and its scores on the test tracks. The teachers are soft labels: the true ones with some doubt."""
    data = data or planted()
    sources = [each.sources["train"] for each in data.values()]
    held_out = [each.sources["validation"] for each in data.values()]
    set_seed(seed)
    accelerator = make_accelerator(training.mixed_precision)
    model = new_network(NETWORK | network, MOODS, mood_frequencies(sources[:1]), sources)
    learnt = []
    for source in sources:
        teacher = TableTeacher(source.labels.moods * (1 - 2 * doubt) + doubt, source.labels.va, model.config)
        learnt.append(replace(source, teacher=teacher))
    fitted = fit(model, learnt, training, objective, seed, accelerator, held_out, folder)
    return fitted, {name: evaluate(fitted.model, each.sources["test"]).scores for name, each in data.items()}


def main(folder: str) -> None:
    torch.set_num_threads(1)
    fitted, scores = train(Path(folder))
    if make_accelerator().is_main_process:
        save_file(fitted.model.state_dict(), Path(folder) / "final.safetensors")
        content = {"scores": scores, "processes": make_accelerator().num_processes}
        (Path(folder) / "final.json").write_text(json.dumps(content))


def ready(folder: str) -> bool:
    """Whether `main` has come to its end."""
    return (Path(folder) / "final.json").is_file()


def differences(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference between two sets of weights."""
    assert one.keys() == other.keys()
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one if one[name].numel())


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main(sys.argv[1])
