"""The model card of a model folder: made of its configuration, its evaluation and its facts, never by hand."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import ModelCardData, hf_hub_url

from m2e.checkpoints.load import EMBEDDED, read_json
from m2e.datasets.registry import DATASETS
from m2e.errors import PublishError
from m2e.publish.facts import Facts, encoder_terms, facts_of, is_noncommercial, panda4q
from m2e.publish.scores import EVALUATION, model_index, scores_section

CHORD_MODEL = "m2e-btc"  # model type of a chord recogniser
PACKAGES = "torch transformers soundfile soxr librosa"  # what the code that travels with a model imports

PAPER = """@article{kang2025unified,
  title = {Towards Unified Music Emotion Recognition across Dimensional and Categorical Models},
  author = {Kang, Jaeyong and Herremans, Dorien},
  journal = {arXiv preprint arXiv:2502.03979},
  year = {2025}
}"""
BTC_PAPER = """@inproceedings{park2019bidirectional,
  title = {A Bi-Directional Transformer for Musical Chord Recognition},
  author = {Park, Jonggwon and Choi, Kyoyun and Jeon, Sungwook and Kim, Dokyun and Park, Jonghun},
  booktitle = {International Society for Music Information Retrieval Conference},
  year = {2019}
}"""

USE = """```python
import m2e

record = m2e.load("{source}")("song.mp3")
record.valence, record.arousal, record.quadrant, record.selected_moods, record.key, record.chords
```

or, on the command line, `m2e predict{model} song.mp3`."""

USE_ALONE = """With transformers alone (`pip install {packages}`), this repository brings its own code:

```python
from transformers import pipeline

record = pipeline("music-emotion", model="{source}", trust_remote_code=True)("song.mp3")
```

or in parts:

```python
from transformers import AutoModel, AutoProcessor

processor = AutoProcessor.from_pretrained("{source}", trust_remote_code=True)
model = AutoModel.from_pretrained("{source}", trust_remote_code=True)
output = model(**processor("song.mp3"))  # mood_logits, va
```

Where the package `m2e` is installed, none of that code is run; `trust_remote_code` is then not needed."""

USE_CHORDS = """```python
import m2e

record = m2e.load_chords("{source}")("song.mp3")
record.chords, record.key  # start, end and label of every chord; the key of the piece
```

or, on the command line, `m2e chords{model} song.mp3`."""

USE_CHORDS_ALONE = """With transformers alone (`pip install {packages}`), this repository brings its own code:

```python
from transformers import AutoModel
from transformers.dynamic_module_utils import get_class_from_dynamic_module

recognizer = get_class_from_dynamic_module("chords_m2e.ChordRecognizer", "{source}")
chords = recognizer.from_pretrained("{source}")(waveform)  # mono, 22,050 Hz
network = AutoModel.from_pretrained("{source}", trust_remote_code=True)  # the network alone: CQT in, logits out
```"""


# --- metadata ---


def card_data(
    facts: Facts, config: dict, evaluation: dict, base_model: str | None = None, clips: Mapping[str, str] | None = None
) -> ModelCardData:
    """The card's metadata; its model-index are the `results` of the evaluation. clips: title -> address."""
    chords = config["model_type"] == CHORD_MODEL
    kind = ["chord-recognition"] if chords else ["music-emotion-recognition", "valence-arousal", "mood", "chords"]
    found = model_index(evaluation, "Chord recognition" if chords else "Music emotion recognition")
    return ModelCardData(
        model_name=facts.name if found else None,  # it is the model-index's
        license=facts.license,
        language="en",  # of the labels
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=["music", *kind, "m2e"],
        datasets=facts.datasets or None,
        base_model=base_model,
        widget=[{"example_title": title, "src": address} for title, address in (clips or {}).items()] or None,
        eval_results=found or None,
    )


# --- parts ---


def _encoder(folder: Path, reference: dict) -> tuple[str, str]:
    """(what the encoder is, under which terms), a sentence each."""
    if reference.get("type") == "taggers":
        nets = read_json(folder / "encoder" / "config.json").get("nets", [])
        terms = {encoder_terms(net) for net in nets}
        described = "; ".join(sorted(f"{what}, {licence}" if licence else what for what, licence, _ in terms))
        files = ", ".join(sorted(f"`{file}`" for _, _, file in terms if file))
        return (
            f"Encoder: {', '.join(nets)} (frozen; {described}), in `encoder/`.",
            f"The encoder's weights keep their own licences: {files}." if files else "",
        )
    name, layers = reference.get("id", "unknown"), ", ".join(map(str, reference.get("layers", [])))
    what, licence, _ = encoder_terms(name)
    sentence = f"Encoder: {what}, hidden states {layers} of [{name}](https://huggingface.co/{name}) at commit "
    terms = f"The encoder {name} is not part of this repository: it is fetched from where its authors publish it"
    if licence:
        terms += f", under {licence}"
    if is_noncommercial(licence):
        terms += ", so that predicting with this model is not for commercial use"
    return f"{sentence}`{reference.get('revision')}` (frozen; fetched from there when first needed).", f"{terms}."


def _harmony(folder: Path) -> list[str]:
    """Bullets on the chord recogniser inside a model."""
    chords = folder / "chords"
    if not chords.is_dir():
        return []
    config = read_json(chords / "config.json")
    bullet = f"Harmony: BTC chord recogniser (`chords/`), {_btc(config)}; the key follows from the chords."
    try:
        facts = facts_of(chords, config)
    except PublishError:  # nobody wrote down where it comes from
        return [bullet]
    return [" ".join(filter(None, [bullet, facts.summary, *facts.training]))]


def _btc(config: dict) -> str:
    return (
        f"{config.get('num_hidden_layers', 8)} layers, {len(_labels(config))} classes, "
        f"{config.get('decoding', 'paper')} decoding"
    )


def _head(config: dict) -> str:
    harmony = "chords, key and harmony statistics" if config.get("num_harmony_statistics") else "chords and key"
    inputs = [name for name, on in (("embeddings", "use_encoder"), (harmony, "use_harmony")) if config.get(on)]
    quadrant = ", quadrant" if config.get("num_quadrants") else ""
    several = config.get("num_members", 1)
    return (
        f"Head: {'chord transformer, ' if config.get('use_harmony') else ''}trunk and branches (moods, "
        f"valence-arousal{quadrant}), fed with {' and '.join(inputs)}; the layout of arXiv 2502.03979."
        + (f" {several} such networks, trained each for itself, answer by their mean." if several > 1 else "")
    )


def _reading(config: dict) -> list[str]:
    """Bullets on scales and labels."""
    from modeling_m2e.scale_m2e import POLES, QUADRANT_WORDS, SCALE

    low, high = config.get("va_min", SCALE[0]), config.get("va_max", SCALE[1])
    valence, arousal = (f"{name} ({' to '.join(poles)})" for name, poles in POLES.items())
    calibrated = config.get("mood_offset") is not None
    return [
        f"{valence.capitalize()} and {arousal} run from {low:g} to {high:g}, neutral near "
        f"{config.get('neutral_valence', 5.0):g} and {config.get('neutral_arousal', 5.0):g}.",
        f"Quadrants are Russell's: {'; '.join(f'{name} {words}' for name, words in QUADRANT_WORDS.items())}. "
        + (
            "They have a branch of their own, which can disagree with valence and arousal near the middle."
            if config.get("num_quadrants")
            else "They are read off valence and arousal."
        ),
        "`score` of a mood is "
        + ("a calibrated probability" if calibrated else "the sigmoid of its logit, not calibrated")
        + "; `selected_moods` are those above "
        + ("a threshold of their own." if config.get("mood_thresholds") else "0.5."),
        f"The {len(_labels(config))} moods: {', '.join(_labels(config))}.",
    ]


# --- the card ---


@dataclass(frozen=True)
class _Kind:
    """What the cards of chord recognisers and of emotion models say differently, in Markdown."""

    what: str
    use: str
    use_alone: str
    made_of: list[str]
    reading: list[str]
    papers: list[str]
    encoder: str | None = None  # hub id, where its weights are fetched from
    encoder_terms: str = ""


def _chord_kind(config: dict) -> _Kind:
    return _Kind(
        what="Chord recognition: the chords of a track and when they sound, from audio.",
        use=USE_CHORDS,
        use_alone=USE_CHORDS_ALONE,
        made_of=[f"BTC, a bi-directional transformer on a constant-Q transform (CQT), {_btc(config)}."],
        reading=[f"Times are in seconds. The {len(_labels(config))} classes: {', '.join(_labels(config))}."],
        papers=[BTC_PAPER],
    )


def _emotion_kind(folder: Path, config: dict) -> _Kind:
    reference = read_json(folder / "processor_config.json").get("encoder_reference") or {}
    encoder, terms = _encoder(folder, reference)
    harmony = _harmony(folder)
    return _Kind(
        what=f"Music emotion recognition: valence and arousal, Russell's quadrant, {len(_labels(config))} mood tags"
        f"{', key and chords' if harmony else ''} of a music file.",
        use=USE,
        use_alone=USE_ALONE,
        made_of=[encoder, *harmony, _head(config)],
        reading=_reading(config),
        papers=[PAPER, BTC_PAPER] if harmony else [PAPER],
        encoder=reference.get("id"),
        encoder_terms=terms,
    )


def card(folder: Path, repo: str | None = None, license: str | None = None, clips: Iterable[str] = ()) -> str:
    """README.md of a complete model folder, or of the folder of a chord recogniser.

    repo: hub id that it is for; None: a folder that is loaded by the model's name.
    license: of the weights, for a folder whose facts are not written down.  clips: audio files of `repo` to listen to.
    Raises PublishError; ModelError for bad JSON.
    """
    config = read_json(folder / "config.json")
    facts = facts_of(folder, config, license)
    evaluation = read_json(folder / EVALUATION)
    kind = _chord_kind(config) if config["model_type"] == CHORD_MODEL else _emotion_kind(folder, config)
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6
    source = repo or facts.name
    names = {"source": source, "model": "" if source == EMBEDDED else f" --model {source}", "packages": PACKAGES}
    licences = [f"Weights: {facts.license}.", *facts.license_notes, kind.encoder_terms]
    datasets = [f"- {DATASETS[name]}" for name in facts.datasets if name in DATASETS]
    examples = {Path(name).stem.replace("_", " ").title(): hf_hub_url(repo, name) for name in clips}
    heard = ", ".join(f"[{title}]({address})" for title, address in examples.items())
    parts = [
        f"# {facts.name}",
        f"{kind.what} {facts.summary}".strip(),
        f"{size:.1f} MB of weights under {facts.license}."
        + (" **Not for commercial use.**" if is_noncommercial(facts.license) else "")
        + (" They also lie inside the package `m2e`, which needs no network for them." * (facts.name == EMBEDDED)),
        "## Use",
        kind.use.format(**names),
        kind.use_alone.format(**names) if repo else "",
        f"Music to try it on, CC0: {heard}." if heard else "",
        "## What it is made of",
        _bullets(kind.made_of),
        "## Training",
        _bullets(facts.training) or "Nothing is written down about the training of these weights.",
        "Data sets:\n\n" + "\n".join(datasets) if datasets else "",
        "## Results",
        scores_section(evaluation),
        f"Evaluation command: `{facts.evaluation}`" if facts.evaluation else "",
        "## Reading the output",
        _bullets(kind.reading),
        "## Limits and biases",
        facts.limits or "Nothing is written down. Expect less of music unlike the training data.",
        "## Licence",
        _bullets([*licences, "Code (`*.py`): Apache License 2.0, `LICENSE`." if repo else ""]),
        "## Citation",
        "```bibtex\n" + "\n\n".join(kind.papers) + "\n```",
    ]
    metadata = card_data(facts, config, evaluation, kind.encoder, examples).to_yaml()
    return f"---\n{metadata}\n---\n\n" + "\n\n".join(filter(None, parts)) + "\n"


def _bullets(lines) -> str:
    return "\n".join(f"- {line}" for line in lines if line)


def _labels(config: dict) -> list[str]:
    return [label for _, label in sorted(config["id2label"].items(), key=lambda item: int(item[0]))]


def write_card(folder: Path, recipe: dict, evaluation: dict, clips: int, artists: int) -> None:
    """Writes card.json and README.md into a model folder that train.py made of Panda 4Q, complete otherwise."""
    panda4q(recipe, evaluation, clips, artists).save(folder)
    partial = folder / "README.md.partial"
    partial.write_text(card(folder), encoding="utf-8")
    os.replace(partial, folder / "README.md")
