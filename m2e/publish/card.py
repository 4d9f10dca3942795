"""The README.md of a model folder: text and metadata from its configuration, its evaluation.json and its facts."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import ModelCardData, hf_hub_url

from m2e.checkpoints.load import EMBEDDED
from m2e.datasets.registry import DATASETS, HUB_IDS
from m2e.errors import PublishError
from m2e.publish.facts import Facts, encoder_terms, facts_of, is_noncommercial
from m2e.publish.fidelity import FIDELITY, fidelity_section
from m2e.publish.notebook import colab
from m2e.publish.scores import EVALUATION, model_index, scores_section
from m2e.storage import read_json

CHORD_MODEL = "m2e-btc"  # model type of a chord recogniser
ENCODER_MODEL = "m2e-encoder"  # and of the music encoder
KIND_TAGS = {CHORD_MODEL: ["chord-recognition"], ENCODER_MODEL: ["music-encoder", "embeddings"]}
PACKAGES = "torch transformers soundfile soxr"  # imported by the code that a model repository carries

Json = dict[str, Any]

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

USE_ENCODER = """```python
import torch
from transformers import AutoModel

encoder = AutoModel.from_pretrained("{source}", trust_remote_code=True)  # not needed after `import m2e`
output = encoder(torch.randn(1, 10 * 22050))  # waveforms at 22,050 Hz
```"""

USE_ALONE = """With transformers alone (`pip install {packages}`), use the code in this repository:

```python
from transformers import pipeline

record = pipeline("music-emotion", model="{source}", trust_remote_code=True)("song.mp3")
```

or its parts:

```python
from transformers import AutoModel, AutoProcessor

processor = AutoProcessor.from_pretrained("{source}", trust_remote_code=True)
model = AutoModel.from_pretrained("{source}", trust_remote_code=True)
output = model(**processor("song.mp3"))  # mood_logits, va
```

With the package `m2e` installed, none of that code runs and `trust_remote_code` is not needed."""

USE_GRAPHS = """The folder `onnx/` holds the model as ONNX graphs that take waveforms: {graphs}. Those named
`*_fp16` have weights in half precision. `model.json` has all that a program needs beside them.

transformers.js has no class for this model: run the graphs with ONNX Runtime, as `docs/onnx.md` of m2e tells."""

USE_CHORDS = """```python
import m2e

record = m2e.load_chords("{source}")("song.mp3")
record.chords, record.key  # start, end and label of every chord; the key of the piece
```

or, on the command line, `m2e chords{model} song.mp3`."""

USE_CHORDS_ALONE = """With transformers alone (`pip install {packages}`), use the code in this repository:

```python
from transformers import AutoModel
from transformers.dynamic_module_utils import get_class_from_dynamic_module

recognizer = get_class_from_dynamic_module("chords_m2e.ChordRecognizer", "{source}")
chords = recognizer.from_pretrained("{source}")(waveform)  # mono, 22,050 Hz
network = AutoModel.from_pretrained("{source}", trust_remote_code=True)  # the network alone: CQT in, logits out
```"""


# --- metadata ---


def card_data(
    facts: Facts,
    config: Json,
    evaluation: Json,
    encoder: str | None = None,
    clips: Mapping[str, str] | None = None,
    hub_ids: bool = False,
    tags: Iterable[str] = (),
) -> ModelCardData:
    """The card's metadata; the `results` of the evaluation make its model-index.

    encoder: hub id, if its weights are downloaded.  clips: title -> address.  tags: further ones.
    hub_ids: name data sets by their ids on the hub, and only those that have one, as it links them.
    """
    model_type = config["model_type"]
    bases = [*facts.base_models, *([encoder] if encoder else [])]
    on_hub = [name for name in (HUB_IDS.get(name, name) for name in facts.datasets) if "/" in name]
    kind = KIND_TAGS.get(model_type, ["music-emotion-recognition", "valence-arousal", "mood", "chords"])
    task = "Chord recognition" if model_type == CHORD_MODEL else "Music emotion recognition"
    scores = model_index(evaluation, task, hub_ids)
    return ModelCardData(
        model_name=facts.name if scores else None,  # belongs to the model-index
        license=facts.license,
        language="en",  # of mood and chord labels
        library_name="transformers",
        pipeline_tag="feature-extraction" if model_type == ENCODER_MODEL else "audio-classification",
        tags=["music", *kind, *tags, "m2e"],
        datasets=(on_hub if hub_ids else facts.datasets) or None,
        base_model=bases[0] if len(bases) == 1 else bases or None,
        widget=[{"example_title": title, "src": address} for title, address in (clips or {}).items()] or None,
        eval_results=scores or None,
    )


# --- parts ---


def _encoder(folder: Path, reference: Json) -> tuple[str, str]:
    """(which encoder, its terms), a sentence each."""
    if reference.get("type") == "taggers":
        nets = read_json(folder / "encoder" / "config.json", PublishError).get("nets", [])
        known = {encoder_terms(net) for net in nets}
        described = "; ".join(sorted(f"{what}, {licence}" if licence else what for what, licence, _ in known))
        files = ", ".join(sorted(f"`{file}`" for _, _, file in known if file))
        return (
            f"Encoder: {', '.join(nets)} (frozen; {described}), in `encoder/`.",
            f"The encoder's weights keep their own licences: {files}." if files else "",
        )
    if reference.get("type") == ENCODER_MODEL:
        return "Encoder: `m2e-encoder`, this project's distilled network (frozen), in `encoder/`.", ""
    name, layers = reference.get("id", "unknown"), ", ".join(map(str, reference.get("layers", [])))
    what, licence, _ = encoder_terms(name)
    sentence = f"Encoder: {what}, hidden states {layers} of [{name}](https://huggingface.co/{name}) at commit "
    terms = f"The encoder {name} is not part of this repository: it is downloaded from its authors' repository"
    terms += f", under {licence}." if licence else ", under the terms that they state there."
    if is_noncommercial(licence):
        terms += " Predictions with this model are therefore not for commercial use."
    return f"{sentence}`{reference.get('revision')}` (frozen; downloaded from there on first use).", terms


def _harmony(folder: Path) -> list[str]:
    """Bullets on the chord recogniser inside a model."""
    chords = folder / "chords"
    if not chords.is_dir():
        return []
    config = read_json(chords / "config.json", PublishError)
    bullet = f"Harmony: BTC chord recogniser (`chords/`), {_btc(config)}; the key follows from the chords."
    try:
        facts = facts_of(chords, config)
    except PublishError:  # its origin is not documented
        return [bullet]
    return [" ".join(filter(None, [bullet, facts.summary, *facts.training]))]


def _btc(config: Json) -> str:
    return (
        f"{config.get('num_hidden_layers', 8)} layers, {len(_labels(config))} classes, "
        f"{config.get('decoding', 'paper')} decoding"
    )


def _head(config: Json) -> str:
    harmony = "chords, key and harmony statistics" if config.get("num_harmony_statistics") else "chords and key"
    inputs = [name for name, on in (("embeddings", "use_encoder"), (harmony, "use_harmony")) if config.get(on)]
    quadrant = ", quadrant" if config.get("num_quadrants") else ""
    members = config.get("num_members", 1)
    return (
        f"Network: {'chord transformer, ' if config.get('use_harmony') else ''}trunk and heads (moods, "
        f"valence-arousal{quadrant}); inputs: {' and '.join(inputs)}; the layout of arXiv 2502.03979."
        + (f" An ensemble of {members} such networks; the output is their mean." if members > 1 else "")
    )


def _reading(config: Json) -> list[str]:
    """Bullets on the scales and labels of the output."""
    from modeling_m2e.scale_m2e import POLES, QUADRANT_WORDS, SCALE

    low, high = config.get("va_min", SCALE[0]), config.get("va_max", SCALE[1])
    valence, arousal = (f"{name} ({' to '.join(poles)})" for name, poles in POLES.items())
    calibrated = config.get("mood_offset") is not None
    answers = config.get("answers") or {}
    neutral = f"near {config.get('neutral_valence', 5.0):g} and {config.get('neutral_arousal', 5.0):g}"
    if maps := answers.get("calibration"):
        points = (_mapped(maps[name], config.get(f"neutral_{name}", 5.0)) for name in POLES)
        neutral = "at {:g} and {:g}".format(*points)
    return [
        f"{valence.capitalize()} and {arousal} run from {low:g} to {high:g}, neutral {neutral}.",
        f"Quadrants are Russell's: {'; '.join(f'{name} {words}' for name, words in QUADRANT_WORDS.items())}. "
        + (
            "A separate head predicts them; where it and the place disagree, `between` names both quadrants."
            if config.get("num_quadrants")
            else "They follow from valence and arousal."
        ),
        "`score` of a mood is "
        + ("a calibrated probability" if calibrated else "the sigmoid of its logit, not calibrated")
        + "; `selected_moods` are "
        + _selection(config),
        *_uncertainty(answers),
        f"The {len(_labels(config))} moods: {', '.join(_labels(config))}.",
    ]


def _selection(config: Json) -> str:
    if (config.get("answers") or {}).get("mood_base_rates"):
        return "the one to six that tell most about a track, by their lift over the base rate."
    return f"those above {'the threshold of each mood' if config.get('mood_thresholds') else '0.5'}."


def _mapped(line: Json, value: float) -> float:
    return round(float(np.interp(value, line["source"], line["target"])), 2)


def _uncertainty(answers: Json) -> list[str]:
    """Bullets on the intervals and the percentiles, as far as there are any."""
    said = []
    if intervals := answers.get("intervals"):
        said.append(
            f"`valence_interval` and `arousal_interval` hold the labels of {intervals['level']:.0%} of similar tracks "
            "(split conformal, from predictions for tracks that were not learnt)."
        )
    if percentiles := answers.get("percentiles"):
        said.append(f"`valence_percentile` and `arousal_percentile` refer to {percentiles['reference']}.")
    return said


# --- the card ---


@dataclass(frozen=True)
class _Kind:
    """The parts that differ between the cards of chord recognisers and of emotion models, in Markdown."""

    what: str
    use: str
    use_alone: str
    made_of: list[str]
    reading: list[str]
    papers: list[str]
    encoder: str | None = None  # hub id, if its weights are downloaded
    encoder_terms: str = ""


def _chord_kind(config: Json) -> _Kind:
    return _Kind(
        what="Chord recognition: the chords of a track with their times, from audio.",
        use=USE_CHORDS,
        use_alone=USE_CHORDS_ALONE,
        made_of=[f"BTC, a bi-directional transformer on a constant-Q transform (CQT), {_btc(config)}."],
        reading=[f"Times are in seconds. The {len(_labels(config))} classes: {', '.join(_labels(config))}."],
        papers=[BTC_PAPER],
    )


def _encoder_kind(config: Json) -> _Kind:
    return _Kind(
        what="A small music encoder: audio in, one embedding per second out.",
        use=USE_ENCODER,
        use_alone="",
        made_of=[
            f"Log-mel spectrogram ({config['num_mel_bins']} bands, {config['sampling_rate']} Hz) of normalised "
            "loudness; convolutions over time and frequency, then over time alone."
        ],
        reading=[
            f"`last_hidden_state`: (batch, seconds, {config['hidden_size']}), an embedding per second.",
            f"`pooler_output`: (batch, {config['hidden_size']}), their mean.",
            "The level of the audio does not matter.",
        ],
        papers=[PAPER],
    )


def _emotion_kind(folder: Path, config: Json) -> _Kind:
    reference = read_json(folder / "processor_config.json", PublishError).get("encoder_reference") or {}
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


def card(
    folder: Path,
    repo: str | None = None,
    license: str | None = None,
    clips: Iterable[str] = (),
    graphs: Collection[str] = (),
) -> str:
    """README.md of a complete model folder, or of the folder of a chord recogniser.

    repo: hub id of the repository it is for; None for a folder that is loaded by the model's name.
    license: of the weights, for a folder without facts.  clips: names of sample tracks in `repo`.
    graphs: names of files with ONNX graphs in `repo`.
    Raises PublishError.
    """
    config = read_json(folder / "config.json", PublishError)
    facts = facts_of(folder, config, license)
    evaluation = read_json(folder / EVALUATION, PublishError)
    model_type = config["model_type"]
    if model_type == CHORD_MODEL:
        kind = _chord_kind(config)
    else:
        kind = _encoder_kind(config) if model_type == ENCODER_MODEL else _emotion_kind(folder, config)
    fidelity = read_json(folder / FIDELITY, PublishError)
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6
    source = repo or facts.name
    names = {"source": source, "model": "" if source == EMBEDDED else f" --model {source}", "packages": PACKAGES}
    licences = [f"Weights: {facts.license}.", *facts.license_notes, kind.encoder_terms]
    datasets = [f"- {DATASETS[name]}" for name in facts.datasets if name in DATASETS]
    examples = {Path(name).stem.replace("_", " ").title(): hf_hub_url(repo, name) for name in clips} if repo else {}
    samples = ", ".join(f"[{title}]({address})" for title, address in examples.items())
    parts = [
        f"# {facts.name}",
        f"{kind.what} {facts.summary}".strip(),
        f"{size:.1f} MB of weights under {facts.license}."
        + (" **Not for commercial use.**" if is_noncommercial(facts.license) else "")
        + (" The package `m2e` contains them: no download is needed." * (facts.name == EMBEDDED)),
        "## Use",
        kind.use.format(**names),
        kind.use_alone.format(**names) if repo else "",
        f"Sample tracks (CC0): {samples}." if samples else "",
        f"[Try it in Colab]({colab(repo)})." if repo and has_notebook(config, examples) else "",
        USE_GRAPHS.format(graphs=", ".join(f"`{Path(name).name}`" for name in graphs)) if graphs else "",
        "## Architecture",
        _bullets(kind.made_of),
        "## Training",
        _bullets(facts.training) or "The training of these weights is not documented.",
        "Data sets:\n\n" + "\n".join(datasets) if datasets else "",
        "## Results",
        fidelity_section(fidelity) if model_type == ENCODER_MODEL else scores_section(evaluation),
        f"Evaluation command: `{facts.evaluation}`" if facts.evaluation else "",
        "## Reading the output",
        _bullets(kind.reading),
        "## Limits and biases",
        facts.limits or "Not documented. Expect lower accuracy on music unlike the training data.",
        "## Licence",
        _bullets([*licences, "Code (`*.py`): Apache License 2.0, `LICENSE`." if repo else ""]),
        "## Citation",
        "```bibtex\n" + "\n\n".join(kind.papers) + "\n```",
    ]
    tags = ["onnx"] if graphs else []
    metadata = card_data(facts, config, evaluation, kind.encoder, examples, repo is not None, tags).to_yaml()
    return f"---\n{metadata}\n---\n\n" + "\n\n".join(filter(None, parts)) + "\n"


def has_notebook(config: Json, clips: Collection[str]) -> bool:
    """Whether the repository has notebook.ipynb: those of emotion models with sample tracks."""
    return bool(clips) and config["model_type"] not in KIND_TAGS


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines if line)


def _labels(config: Json) -> list[str]:
    return [label for _, label in sorted(config["id2label"].items(), key=lambda item: int(item[0]))]
