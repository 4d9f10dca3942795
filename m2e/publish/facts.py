"""The facts on a model card that weights and configuration do not hold: data, training, limits, licences.

Training writes them into card.json next to the weights; those of converted third-party checkpoints are here.
"""

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from m2e.errors import PublishError, reason
from m2e.storage import write_text

FILE = "card.json"

ENCODERS: dict[str, tuple[str, str, str | None]] = {  # prefix of hub id or net -> (title, licence, file of its notice)
    "m-a-p/MERT": ("MERT (Li et al., ICLR 2024)", "CC BY-NC 4.0", None),
    "laion/clap": ("CLAP (Wu et al., ICASSP 2023)", "Apache 2.0", None),
    "laion/larger_clap": ("CLAP (Wu et al., ICASSP 2023)", "Apache 2.0", None),
    "facebook/hubert": ("HuBERT (Hsu et al., TASLP 2021)", "Apache 2.0", None),
    "facebook/wav2vec2": ("wav2vec 2.0 (Baevski et al., NeurIPS 2020)", "Apache 2.0", None),
    "facebook/data2vec-audio": ("data2vec (Baevski et al., ICML 2022)", "Apache 2.0", None),
    "microsoft/wavlm": ("WavLM (Chen et al., JSTSP 2022)", "", None),  # its code says MIT, its card CC BY-SA 3.0
    "MIT/ast": ("AST (Gong et al., Interspeech 2021)", "BSD 3-Clause", None),
    "openai/whisper": ("Whisper (Radford et al., ICML 2023)", "Apache 2.0", None),
    "musicnn": ("MusiCNN (Pons & Serra, 2019)", "ISC", "LICENSE-musicnn.md"),
    "fcn": ("FCN (Won et al., SMC 2020)", "MIT", "LICENSE-taggers.txt"),
    "crnn": ("CRNN (Won et al., SMC 2020)", "MIT", "LICENSE-taggers.txt"),
}


@dataclass(frozen=True)
class Facts:
    """The content of card.json.

    name: of the model.  license: of the weights, as the hub names it ("cc-by-nc-sa-4.0").
    summary: what the model is, beyond what its configuration says.
    training: data, targets, protocol, command; a bullet each.  limits: uses it is unfit for, and its biases.
    license_notes: which terms apply, and why; a bullet each.
    datasets: keys of DATASETS, or ids on the hub.  evaluation: the command that computes the scores.
    base_models: hub ids of the models that this one was made from, besides its encoder.
    """

    name: str
    license: str
    summary: str = ""
    training: list[str] = field(default_factory=list)
    limits: str = ""
    license_notes: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    evaluation: str = ""
    base_models: list[str] = field(default_factory=list)

    def save(self, folder: str | os.PathLike) -> None:
        """Writes card.json into a model folder."""
        write_text(Path(folder) / FILE, json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "Facts":
        """The facts in the card.json of a folder. Raises PublishError."""
        path = Path(folder) / FILE
        lists = {"training", "license_notes", "datasets", "base_models"}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            facts = cls(**content)
            for each in fields(cls):
                value = getattr(facts, each.name)
                texts = value if each.name in lists else [value]
                if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                    raise TypeError(f"{each.name} is {value!r}")
        except (ValueError, TypeError) as error:
            raise PublishError(
                f"{path} does not hold the facts for a card ({reason(error)}): write it again."
            ) from error
        return facts


CONVERTED = {  # `converted_from` in a config.json -> facts of the third-party checkpoint
    "BTC-ISMIR19": Facts(
        name="BTC-ISMIR19",
        license="mit",
        summary="The published chord recogniser of Park, Choi, Jeon, Kim and Park (ISMIR 2019), converted tensor by "
        "tensor from <https://github.com/jayg996/BTC-ISMIR19>; nothing was trained here.",
        training=[
            "Data, of its authors: chord annotations of Isophonics, Robbie Williams and UsPop2002, with audio from "
            "online music services."
        ],
        limits="Trained on Western pop and rock music: expect less of other repertoires. The large vocabulary is far "
        "from balanced; rare qualities are seldom predicted.",
        license_notes=["The weights are under the MIT licence, (c) 2019 Jonggwon Park: `LICENSE-btc.txt`."],
    ),
    "Music2Emo": Facts(
        name="Music2Emo",
        license="apache-2.0",
        summary="A published checkpoint of *Towards Unified Music Emotion Recognition across Dimensional and "
        "Categorical Models* (Kang & Herremans, 2025), converted tensor by tensor from "
        "<https://huggingface.co/amaai-lab/music2emo>; nothing was trained here. Unlike the published code, this one "
        "tells the network whether the key is minor.",
        training=[
            "Data, of its authors: MTG-Jamendo mood/theme (official split-0), DEAM, EmoMusic and PMEmo.",
            "Targets: 56 tags, valence and arousal, and the outputs of one teacher per data set.",
            "Protocol: the authors' lists. Not measured here; on their test splits the paper reports for the network "
            "trained on all four: MTG-Jamendo PR-AUC .1543, ROC-AUC .7810; R2 of valence and arousal .5184 and .6228 "
            "on DEAM, .6512 and .7616 on EmoMusic, .5473 and .7940 on PMEmo.",
        ],
        limits="In DEAM as published, valence and arousal are swapped for the first 744 songs, which are those of "
        "EmoMusic: the valence learned from it is partly arousal. 98 of EmoMusic's 125 test songs were in the lists "
        "that DEAM was trained and chosen on, so the published scores of joint training are optimistic. Tags are "
        "those of one library of mostly Western, independently produced music. Not for decisions about people.",
        license_notes=[
            "The network's weights are under the Apache License 2.0, as published by AMAAI Lab.",
            "The chord recogniser in `chords/` is BTC-ISMIR19, MIT licence, (c) 2019 Jonggwon Park: `LICENSE-btc.txt`.",
        ],
        datasets=["mtg-jamendo", "deam", "emomusic", "pmemo"],
        base_models=["amaai-lab/music2emo"],
    ),
}

BTC_LICENSE = """MIT License

Copyright (c) 2019 Jonggwon Park

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def facts_of(folder: Path, config: dict[str, Any], license: str | None = None) -> Facts:
    """The facts of a model folder: from its card.json, else those of the checkpoint it was converted from, else only
    its name and the `license` that its owner gives. Raises PublishError."""
    converted = config.get("converted_from")
    if (folder / FILE).is_file():
        facts = Facts.load(folder)
    elif converted in CONVERTED:
        facts = CONVERTED[converted]
    elif license:
        return Facts(name=folder.resolve().name, license=license)
    else:
        raise PublishError(f"{folder} has no {FILE} with the licence of its weights: give --license.")
    if license not in (None, facts.license):
        raise PublishError(f"{folder} is under {facts.license}: omit --license {license}.")
    return facts


def is_noncommercial(license: str) -> bool:
    """Whether a licence, in the hub's spelling or Creative Commons' own, forbids commercial use."""
    return "nc" in license.lower().replace(" ", "-").split("-")


def encoder_terms(name: str) -> tuple[str, str, str | None]:
    """(title, licence, file of its notice) of an encoder id or net; (name, "", None) for an unknown one."""
    return next((terms for start, terms in ENCODERS.items() if name.startswith(start)), (name, "", None))
