"""Trains a music emotion model from a recipe: features once, cross-validation, calibration, the final model.

    python train.py configuration/m2e-small.yaml --data 4Q --taggers WEIGHTS --chords runs/chords --out runs/m2e-small

Read top to bottom: targets, one training, cross-validation, calibration, the run. Choices are made on the folds;
the test split is looked at once, by the final models.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import yaml
from accelerate import Accelerator
from accelerate.utils import set_seed
from sklearn.model_selection import GroupKFold

from datasets_scripts.panda4q import Clips, read_clips
from m2e.convert_taggers import convert_taggers, halve_weights
from m2e.features import cached_features
from m2e.metrics import emotion_scores, summary
from m2e.model_card import write_card
from modeling_m2e import M2EConfig, M2EForMusicEmotion, M2EProcessor, MusicEmotionPipeline, TaggerEncoder
from modeling_m2e.chords_m2e import ChordRecognizer
from modeling_m2e.output_m2e import sigmoid

# --- Targets ----------------------------------------------------------------------------------------------------------


def shift_to_prevalence(logits: np.ndarray, prevalence: float) -> np.ndarray:
    """Probabilities whose mean is ``prevalence``: the logits plus the one constant that does it."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(logits + middle).mean() < prevalence else (low, middle)
    return sigmoid(logits + low)


def mood_targets(clips: Clips, teacher_share: float) -> np.ndarray:
    """(n, 56) soft labels: the teacher's probabilities, mixed with the mapped AllMusic words where there are any.

    There the teacher is first moved to the words' prevalence: its own is that of another music library.
    """
    targets = sigmoid(clips.teacher_mood_logits.astype(np.float64))
    for tag in np.flatnonzero(~np.isnan(clips.moods[0])):
        words = clips.moods[:, tag]
        if words.sum() > 0:
            teacher = shift_to_prevalence(clips.teacher_mood_logits[:, tag].astype(np.float64), words.mean())
            targets[:, tag] = teacher_share * teacher + (1 - teacher_share) * words
    return targets


def va_targets(clips: Clips, teacher_share: dict[str, float], fit: np.ndarray) -> np.ndarray:
    """(n, 2) the labels mixed with the EmoMusic teacher, which is brought to the labels' mean and deviation.

    fit: rows from which mean and deviation are taken.
    """
    teacher, labels = clips.teacher_va.astype(np.float64), clips.va
    scale = labels[fit].std(0) / teacher[fit].std(0)
    aligned = (teacher - teacher[fit].mean(0)) * scale + labels[fit].mean(0)
    share = np.array([teacher_share["valence"], teacher_share["arousal"]])
    return share * aligned + (1 - share) * labels


# --- One training -----------------------------------------------------------------------------------------------------


def fit(recipe: dict, inputs: dict, labels: dict, rows: np.ndarray, seed: int) -> M2EForMusicEmotion:
    """The network trained on these rows of the inputs (what the processor's collate gives) and labels."""
    training = recipe["training"]
    set_seed(seed)
    width = inputs["embeddings"].shape[-1]
    config = M2EConfig.default(embedding_size=width, **recipe["model"])
    model = M2EForMusicEmotion(config)
    embeddings = inputs["embeddings"][rows, 0]
    deviation = embeddings.std(0)
    if config.use_encoder:
        model.set_embedding_statistics(embeddings.mean(0), deviation)
    optimizer = torch.optim.AdamW(model.parameters(), training["learning_rate"], weight_decay=training["weight_decay"])
    accelerator = Accelerator()
    model, optimizer = accelerator.prepare(model, optimizer)
    rng = np.random.default_rng(seed)
    steps = training["epochs"] * -(-len(rows) // training["batch_size"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, training["learning_rate"], steps, pct_start=0.1)
    model.train()
    for _ in range(training["epochs"]):
        order = rng.permutation(rows)
        for start in range(0, len(order), training["batch_size"]):
            batch = order[start : start + training["batch_size"]]
            picked = {name: tensor[batch] for name, tensor in (inputs | labels).items()}
            if rng.random() < training["harmony_dropout"]:  # so that the model also answers without harmony
                picked |= {name: torch.zeros_like(picked[name]) for name in ("chord_mask", "mode") if name in picked}
            noise = torch.randn_like(picked["embeddings"]) * deviation * training["noise"]
            picked["embeddings"] = picked["embeddings"] + noise
            loss = model(**{name: tensor.to(accelerator.device) for name, tensor in picked.items()}).loss
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), training["clip_norm"])
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    return accelerator.unwrap_model(model).cpu().eval()


@torch.inference_mode()
def predict(model: M2EForMusicEmotion, inputs: dict, rows: np.ndarray) -> dict[str, np.ndarray]:
    """mood_logits (n, 56), va (n, 2), quadrant_logits (n, 4) of these rows."""
    output = model(**{name: tensor[rows] for name, tensor in inputs.items()})
    names = ("mood_logits", "va", "quadrant_logits")
    return {name: output[name].float().numpy() for name in names if output.get(name) is not None}


def scores(recipe: dict, predictions: dict[str, np.ndarray], clips: Clips, rows: np.ndarray) -> dict[str, float]:
    neutral = recipe["model"]["neutral_valence"], recipe["model"]["neutral_arousal"]
    return emotion_scores(predictions, clips.quadrants[rows], clips.va[rows], clips.moods[rows], neutral)


# --- Cross-validation and calibration ---------------------------------------------------------------------------------


def cross_validate(recipe: dict, inputs: dict, clips: Clips, rows: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Out-of-fold predictions for ``rows`` in artist-grouped folds."""
    collected: dict[str, np.ndarray] = {}
    moods = mood_targets(clips, recipe["targets"]["mood_teacher_share"])
    for train, held in GroupKFold(recipe["folds"]).split(rows, groups=clips.artists[rows]):
        labels = label_tensors(clips, moods, recipe, rows[train])
        model = fit(recipe, inputs, labels, rows[train], seed)
        for name, values in predict(model, inputs, rows[held]).items():
            collected.setdefault(name, np.zeros((len(rows), values.shape[1])))[held] = values
    return collected


def label_tensors(clips: Clips, moods: np.ndarray, recipe: dict, fit_rows: np.ndarray) -> dict[str, torch.Tensor]:
    """What the model's loss takes."""
    va = va_targets(clips, recipe["targets"]["va_teacher_share"], fit_rows)
    return {
        "mood_labels": torch.tensor(moods, dtype=torch.float32),
        "va_labels": torch.tensor(va, dtype=torch.float32),
        "quadrant_labels": torch.tensor(clips.quadrants),
    }


def calibrate(logits: np.ndarray, targets: np.ndarray) -> tuple[list[float], list[float], list[float]]:
    """(scales, offsets, thresholds) per mood from out-of-fold logits (n, M) and soft labels.

    Platt scaling with a shared scale and an offset of its own for every mood. A mood is selected above the probability
    that selects as many tracks as carry it on average.
    """
    x, y = torch.tensor(logits), torch.tensor(targets)
    scale, offset = torch.ones(1, requires_grad=True), torch.zeros(x.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([scale, offset], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scale * x + offset, y)
        loss.backward()
        return loss

    optimizer.step(closure)
    scale, offset = scale.item(), offset.detach().double().numpy()
    probabilities = sigmoid(scale * logits + offset)
    prevalence = targets.mean(0)
    thresholds = [np.quantile(p, 1 - share) for p, share in zip(probabilities.T, prevalence, strict=True)]
    return [scale] * x.shape[1], offset.tolist(), [float(t) for t in thresholds]


# --- The run ----------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="4Q folder")
    parser.add_argument("--taggers", type=Path, required=True, help="folder with the published tagger weights")
    parser.add_argument("--chords", type=Path, required=True, help="folder that holds the chord recogniser")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("runs/features"))
    args = parser.parse_args()
    recipe = yaml.safe_load(args.recipe.read_text())

    clips = read_clips(args.data)
    # features are those of the weights that are shipped: stored in half precision, computed in single
    taggers = halve_weights(convert_taggers(args.taggers, recipe["encoder"]["nets"])).float()
    recognizer = ChordRecognizer.from_pretrained(args.chords, decoding=recipe["chord_decoding"])
    processor = M2EProcessor.build(TaggerEncoder(taggers), recognizer)
    tracks = cached_features(clips.ids.tolist(), clips.paths, processor, args.cache)
    inputs = dict(processor.collate(tracks))

    known, test = np.flatnonzero(clips.splits != "test"), np.flatnonzero(clips.splits == "test")
    moods = mood_targets(clips, recipe["targets"]["mood_teacher_share"])
    fold_scores, test_scores, models, held_out = [], [], [], []
    for seed in recipe["seeds"]:
        held = cross_validate(recipe, inputs, clips, known, seed)
        fold_scores.append(scores(recipe, held, clips, known))
        held_out.append(held["mood_logits"])
        models.append(fit(recipe, inputs, label_tensors(clips, moods, recipe, known), known, seed))
        test_scores.append(scores(recipe, predict(models[-1], inputs, test), clips, test))
        print(json.dumps({"seed": seed, "folds": fold_scores[-1], "test": test_scores[-1]}), flush=True)

    # the first seed is shipped: no seed is picked by its score
    model = models[0]
    scale, offset, thresholds = calibrate(held_out[0], moods[known])
    model.config.mood_scale, model.config.mood_offset, model.config.mood_thresholds = scale, offset, thresholds
    pipe = MusicEmotionPipeline(model=model, processor=processor, device="cpu")
    halve_weights(taggers)
    pipe.save_pretrained(args.out)
    evaluation = {
        "model": recipe["name"],
        "seeds": recipe["seeds"],
        "folds": summary(fold_scores),
        "test": summary(test_scores),
        "shipped_test": test_scores[0],
    }
    (args.out / "evaluation.json").write_text(json.dumps(evaluation, indent=1) + "\n")
    artists = len(set(clips.artists[known]))
    write_card(args.out, recipe, evaluation, len(known), artists, recognizer.model.config.num_hidden_layers)
    print(json.dumps(evaluation, indent=1))


if __name__ == "__main__":
    main()
