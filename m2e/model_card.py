"""The model card of a trained model: written from its recipe and its evaluation, never by hand."""

import os
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

SCORES = {
    "quadrant_f1": "Quadrant, macro F1",
    "quadrant_accuracy": "Quadrant, accuracy",
    "r2_valence": "Valence, R2",
    "r2_arousal": "Arousal, R2",
    "mood_roc_auc": "Moods, macro ROC-AUC",
    "mood_pr_auc": "Moods, macro PR-AUC",
}

TEXT = """
# {name}

Music emotion recognition: valence and arousal (1-9), Russell's quadrant, 56 mood/theme tags (MTG-Jamendo), key and
chords of a music file. {size:.1f} MB, no network needed: this is the model inside the package `m2e`.

```python
import m2e
record = m2e.load("{name}")("song.mp3")
```

or, on the command line, `m2e predict song.mp3`.

## What it is made of

- Encoder: {nets} (frozen; FCN and CRNN: Won et al., SMC 2020, MIT; MusiCNN: Pons & Serra 2019, ISC), windows of 30 s.
- Harmony: BTC chord recogniser (`chords/`), {chord_layers} layers, trained on 398 songs of POP909 (MIT), one random
  production of each, rendered with the sound fonts TimGM6mb, Csound GM bank and OPL-3 (`train_chords.py`,
  `chords/training.jsonl`); the key follows from the chords.
- Head: chord transformer, fusion and three branches (moods, valence-arousal, quadrant), trained here.

## Training

- Data: Panda 4Q (Panda et al., IEEE TAFFC 2018), train and validation splits, {clips} clips of 30 s by {artists}
  artists.
- Targets: moods are {mood_share:.0%} a teacher trained on MTG-Jamendo mood/theme and {words:.0%} the clips' AllMusic
  words where these mean one of the 56 tags, the teacher alone elsewhere. Valence is {valence_share:.0%} and arousal
  {arousal_share:.0%} a teacher trained on EmoMusic; the rest are the clips' labels. Those labels are averages of word
  norms over the AllMusic words, not ratings by listeners.
- Protocol: choices on five artist-grouped folds of train + validation, then one evaluation on the test split
  (120 clips, artists apart). Seeds {seeds}; the shipped weights are those of seed {first_seed}, whatever it scored.
- Command: `python train.py configuration/{name}.yaml --data 4Q --taggers WEIGHTS --chords CHORDS --out {name}`

## Results

| | folds (mean ± deviation over seeds) | test (mean ± deviation) | test, these weights |
|---|---|---|---|
{table}

ROC-AUC and PR-AUC of moods are means over the {mood_tags:.0f} tags (test) that AllMusic words map onto with at least
five positives. Written by `train.py` from `evaluation.json`.

## Reading the numbers

- `score` of a mood is a calibrated probability (Platt scaling on the folds); `selected_moods` are those above their own
  threshold, which selects as many of the training clips as carry the mood.
- Valence and arousal are on the 1-9 scale of the word norms, neutral near {neutral_valence:.1f} and
  {neutral_arousal:.1f} there; the quadrant has a branch of its own and can disagree with them near the middle.

## Limits

Trained on 628 clips of mostly Western popular music with labels from one editorial source. Expect it to be unsure on
other repertoires, on speech and on very short sounds. Most of the 56 tags were learned from a teacher's opinion only.
Not for decisions about people.

## Licence

CC BY-NC-SA 4.0, because the teachers' data are non-commercial. Encoder weights keep their own licences:
`LICENSE-taggers.txt` (MIT) and, where MusiCNN is part of it, `LICENSE-musicnn.md` (ISC).
"""


def card_data(name: str, evaluation: dict) -> ModelCardData:
    """The card's metadata; its results are the shipped weights' test scores."""
    results = [
        EvalResult(
            task_type="audio-classification",
            task_name="Music emotion recognition",
            dataset_type="panda-4q",
            dataset_name="Panda 4Q",
            dataset_split="test",
            metric_type=metric,
            metric_name=label,
            metric_value=round(evaluation["shipped_test"][metric], 4),
        )
        for metric, label in SCORES.items()
    ]
    return ModelCardData(
        model_name=name,
        license="cc-by-nc-sa-4.0",
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=["music", "music-emotion-recognition", "valence-arousal", "mood", "chords", "m2e"],
        eval_results=results,
    )


def score_table(evaluation: dict) -> str:
    """Rows of Markdown: every score over the folds, on the test split, and of the shipped weights."""
    rows = []
    for metric, label in SCORES.items():
        folds, test = evaluation["folds"][metric], evaluation["test"][metric]
        shipped = evaluation["shipped_test"][metric]
        cells = [f"{part['mean']:.3f} ± {part['std']:.3f}" for part in (folds, test)]
        rows.append(f"| {label} | {cells[0]} | {cells[1]} | {shipped:.3f} |")
    return "\n".join(rows)


def write_card(folder: Path, recipe: dict, evaluation: dict, clips: int, artists: int, chord_layers: int) -> None:
    """Writes README.md into a model folder that is otherwise complete."""
    shares = recipe["targets"]["va_teacher_share"]
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6
    text = TEXT.format(
        name=recipe["name"],
        size=size,
        nets=", ".join(recipe["encoder"]["nets"]),
        chord_layers=chord_layers,
        clips=clips,
        artists=artists,
        mood_share=recipe["targets"]["mood_teacher_share"],
        words=1 - recipe["targets"]["mood_teacher_share"],
        valence_share=shares["valence"],
        arousal_share=shares["arousal"],
        seeds=", ".join(map(str, recipe["seeds"])),
        first_seed=recipe["seeds"][0],
        table=score_table(evaluation),
        mood_tags=evaluation["test"]["mood_tags"]["mean"],
        neutral_valence=recipe["model"].get("neutral_valence", 5.0),
        neutral_arousal=recipe["model"].get("neutral_arousal", 5.0),
    )
    partial = folder / "README.md.partial"
    partial.write_text(f"---\n{card_data(recipe['name'], evaluation).to_yaml()}\n---\n{text}", encoding="utf-8")
    os.replace(partial, folder / "README.md")
