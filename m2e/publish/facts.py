"""What a model card says that neither weights nor configuration know: data, training, limits, licences.

Training writes it as card.json beside the weights; of converted third-party checkpoints it stands here.
"""

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from m2e.datasets.registry import DATASETS
from m2e.errors import PublishError

FILE = "card.json"

ENCODERS = {  # what the id or the name of a net begins with -> what it is, its licence, the notice that goes with it
    "m-a-p/MERT": ("MERT (Li et al., ICLR 2024)", "CC BY-NC 4.0", None),
    "musicnn": ("MusiCNN (Pons & Serra, 2019)", "ISC", "LICENSE-musicnn.md"),
    "fcn": ("FCN (Won et al., SMC 2020)", "MIT", "LICENSE-taggers.txt"),
    "crnn": ("CRNN (Won et al., SMC 2020)", "MIT", "LICENSE-taggers.txt"),
}


@dataclass(frozen=True)
class Facts:
    """
    name: of the model.  license: of the weights, as the hub names it ("cc-by-nc-sa-4.0").
    summary: what it is, where that is more than its configuration says.
    training: data, targets, protocol, command; a bullet each.  limits: what it is not good for, and its biases.
    license_notes: whose terms hold, and why; a bullet each.
    datasets: keys of DATASETS, or ids on the hub.  evaluation: the command that gives the scores.
    """

    name: str
    license: str
    summary: str = ""
    training: list[str] = field(default_factory=list)
    limits: str = ""
    license_notes: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    evaluation: str = ""

    def save(self, folder: str | os.PathLike) -> None:
        """Writes card.json into a model folder."""
        partial = Path(folder) / f"{FILE}.partial"
        partial.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(partial, Path(folder) / FILE)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "Facts":
        """What `save` wrote. Raises PublishError."""
        path = Path(folder) / FILE
        lists = {"training", "license_notes", "datasets"}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            facts = cls(**content)
            for each in fields(cls):
                value = getattr(facts, each.name)
                texts = value if each.name in lists else [value]
                if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                    raise TypeError(f"{each.name} is {value!r}")
        except (ValueError, TypeError) as error:
            raise PublishError(f"{path} does not hold the facts for a card ({error}): write it again.") from error
        return facts


PUBLISHED = {  # what `converted_from` in a config.json says -> the facts
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
        "from balanced; rare qualities are seldom heard.",
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
        limits="In DEAM as published, valence and arousal are exchanged for the first 744 songs, which are those of "
        "EmoMusic: the valence learned from it is partly arousal. 98 of EmoMusic's 125 test songs were in the lists "
        "that DEAM was trained and chosen on, so the published scores of joint training are optimistic. Tags are "
        "those of one library of mostly Western, independently produced music. Not for decisions about people.",
        license_notes=[
            "The network's weights are under the Apache License 2.0, as published by AMAAI Lab.",
            "The chord recogniser in `chords/` is BTC-ISMIR19, MIT licence, (c) 2019 Jonggwon Park: `LICENSE-btc.txt`.",
        ],
        datasets=["mtg-jamendo", "deam", "emomusic", "pmemo"],
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


def facts_of(folder: Path, config: dict, license: str | None = None) -> Facts:
    """The facts of a model folder: its card.json, else what is known of the checkpoint it was converted from, else no
    more than its name and the `license` that its owner gives. Raises PublishError."""
    converted = config.get("converted_from")
    if (folder / FILE).is_file():
        facts = Facts.load(folder)
    elif converted in PUBLISHED:
        facts = PUBLISHED[converted]
    elif license:
        return Facts(name=folder.resolve().name, license=license)
    else:
        raise PublishError(f"{folder} has no {FILE} that says under which licence its weights are: give --license.")
    if license not in (None, facts.license):
        raise PublishError(f"{folder} is under {facts.license}: leave out --license {license}.")
    return facts


def is_noncommercial(license: str) -> bool:
    """Whether a licence, in the hub's spelling or Creative Commons' own, forbids commercial use."""
    return "nc" in license.lower().replace(" ", "-").split("-")


def encoder_terms(name: str) -> tuple[str, str, str | None]:
    """(what it is, licence, file with the notice) of an encoder id or net; of an unknown one its name, "" and None."""
    return next((terms for start, terms in ENCODERS.items() if name.startswith(start)), (name, "", None))


def panda4q(recipe: dict, evaluation: dict, clips: int, artists: int) -> Facts:
    """The facts of a model that train.py made of Panda 4Q: `clips` known ones by so many `artists`."""
    name, seeds = recipe["name"], recipe["seeds"]
    mood_share, shares = recipe["targets"]["mood_teacher_share"], recipe["targets"]["va_teacher_share"]
    beside = recipe["beside"]
    folders = " ".join(["4q=4Q", *(f"{each}={each.upper()}" for each in beside)])
    command = (
        f"python train.py configuration/{name}.yaml --data {folders} --taggers WEIGHTS --chords CHORDS --out {name}"
    )
    return Facts(
        name=name,
        license="cc-by-nc-sa-4.0",
        training=[
            f"Data: Panda 4Q, train and validation splits, {clips} clips of 30 s by {artists} artists.",
            f"Targets: moods are {mood_share:.0%} a teacher trained on MTG-Jamendo mood/theme and {1 - mood_share:.0%} "
            "the clips' AllMusic words where these mean one of the 56 tags, the teacher alone elsewhere. Valence is "
            f"{shares['valence']:.0%} and arousal {shares['arousal']:.0%} a teacher trained on EmoMusic; the rest are "
            "the clips' labels. Those labels are averages of word norms over the AllMusic words, not ratings by "
            "listeners; valence and arousal are on the scale of these norms.",
            *(
                f"Learnt beside them, in every fold: {count} clips of the training split of "
                f"{DATASETS[each].split()[0]}, their quadrants alone."
                for each, count in beside.items()
            ),
            "Protocol: choices on five artist-grouped folds of train + validation, then one evaluation on the test "
            f"split (120 clips, artists apart). Seeds {', '.join(map(str, seeds))}; these weights are the networks of "
            "all seeds, which answer together, by their mean (deep ensemble, Lakshminarayanan et al. 2017).",
            "Calibration: Platt scaling on the folds; a mood's threshold selects as many training clips as carry it.",
            f"Command: `{command}`",
            f"ROC-AUC and PR-AUC of moods are means over the {evaluation['test']['mood_tags']['mean']:.0f} tags (test) "
            "that AllMusic words map onto with at least five positives.",
        ],
        limits=f"Trained on {clips} clips of mostly Western popular music with labels from one editorial source. "
        "Expect it to be unsure on other repertoires, on speech and on very short sounds. Most of the 56 tags were "
        "learned from a teacher's opinion only. Not for decisions about people.",
        license_notes=["CC BY-NC-SA 4.0, because the teachers' data are non-commercial."],
        datasets=["panda-4q", "mtg-jamendo", "emomusic", *beside],
        evaluation=command,
    )
