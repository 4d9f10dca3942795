"""The tables of arXiv 2502.03979 as rows to train, and ours beside theirs: scores, differences, claims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from m2e.evaluation.paired import Sampled, difference, over_seeds
from m2e.evaluation.paper_results import PUBLISHED

INITIALS = {"J": "mtg-jamendo", "D": "deam", "E": "emomusic", "P": "pmemo"}
PAPER_TRACKS = {  # train, validation and test in Table I
    "mtg-jamendo": (9949, 3802, 4231),
    "deam": (1261, 271, 270),
    "emomusic": (495, 124, 125),
    "pmemo": (536, 116, 115),
}
NAMES = {"mtg-jamendo": "MTG-Jamendo", "deam": "DEAM", "emomusic": "EmoMusic", "pmemo": "PMEmo"}
ALL, UNDISTILLED = "J+D+E+P", "J+D+E+P undistilled"
SHORT = {"mood_pr_auc": "PR-AUC", "mood_roc_auc": "ROC-AUC", "r2_valence": "R2 V", "r2_arousal": "R2 A"}


@dataclass(frozen=True)
class Row:
    """A model. data: initials of its data sets.  features: "both", "mert" or "harmony".
    taught: it has the models of the single data sets as teachers."""

    data: str
    features: str = "both"
    taught: bool = False

    @property
    def name(self) -> str:
        """In tables and folders."""
        if self.features != "both":
            return f"{self.data} {self.features}"
        return f"{self.data} undistilled" if "+" in self.data and not self.taught else self.data

    @property
    def datasets(self) -> list[str]:
        """Their names in the registry."""
        return [INITIALS[initial] for initial in self.data.split("+")]

    @property
    def settings(self) -> dict[str, Any]:
        """What differs from the recipe, but for the teachers."""
        made: dict[str, Any] = {"datasets": self.datasets}
        if self.features != "both":
            made["model.use_harmony" if self.features == "mert" else "model.use_encoder"] = False
        return made if self.taught else made | {"objective.distillation": None}


@dataclass(frozen=True)
class Claim:
    """The paper's, that `better` scores above `worse` on a data set."""

    table: str
    worse: str
    better: str
    dataset: str


SINGLE = tuple(Row(initial) for initial in INITIALS)
INPUTS = tuple(Row(initial, features) for features in ("mert", "harmony") for initial in INITIALS)
PAIRS = tuple(Row(f"J+{initial}", taught=True) for initial in "DEP")
STUDENT = Row(ALL, taught=True)
PLAIN = Row(ALL)  # not in the paper: what joint training gives without teachers
TABLES = ("I", "II", "III", "IV", "students")
_ROWS = {
    "I": (),
    "II": (*SINGLE, *INPUTS),
    "III": (*SINGLE, *PAIRS, STUDENT),
    "IV": (*SINGLE, STUDENT),
    "students": (*SINGLE, STUDENT, PLAIN),
}


def rows_of(tables: Sequence[str]) -> list[Row]:
    """The models that these tables need, teachers first, each once."""
    return list(dict.fromkeys(row for table in TABLES if table in tables for row in _ROWS[table]))


def claims_of(table: str) -> list[Claim]:
    """What a table of the paper says."""
    if table == "II":
        pairs = [(f"{i} mert", i, i) for i in INITIALS] + [(f"{i} harmony", f"{i} mert", i) for i in INITIALS]
    elif table == "III":
        pairs = [(i, f"J+{i}", i) for i in "DEP"] + [("J", f"J+{i}", "J") for i in "DEP"]
        pairs += [(f"J+{i}", ALL, i) for i in "DEP"] + [(f"J+{i}", ALL, "J") for i in "DEP"]
    elif table == "students":
        pairs = [(i, ALL, i) for i in INITIALS] + [(UNDISTILLED, ALL, i) for i in INITIALS]
    else:
        pairs = []
    return [Claim(table, worse, better, INITIALS[initial]) for worse, better, initial in pairs]


def published(row: str, dataset: str) -> dict[str, float]:
    """The paper's scores of a row; empty where it has none."""
    data, _, features = row.partition(" ")
    words = {"": "", "mert": ", MERT only", "harmony": ", chords and key only"}
    system = f"Kang & Herremans, {data.replace('+', ' + ')}{words.get(features, features)}"
    return next((each.scores for each in PUBLISHED[dataset].results if each.system == system), {})


Scores = Mapping[str, Mapping[str, Mapping[str, Sequence[Sampled]]]]  # row -> data set -> score -> of every seed


def cells(row: str, dataset: str, scores: Scores) -> list[dict[str, Any]]:
    """Paper, ours, difference and interval of a row on a data set, one for each score."""
    made: list[dict[str, Any]] = []
    for name, seeds in scores.get(row, {}).get(dataset, {}).items():
        ours, theirs = over_seeds(seeds), published(row, dataset).get(name)
        low, high = ours.interval()
        made.append(
            {
                "row": row,
                "dataset": dataset,
                "score": name,
                "paper": theirs,
                "ours": ours.value,
                "difference": None if theirs is None else ours.value - theirs,
                "interval": [low, high],
                "seeds": [each.value for each in seeds],
            }
        )
    return made


def judged(claim: Claim, scores: Scores) -> list[dict[str, Any]]:
    """The claim on every score: the paper's difference, ours with its interval, and whether it holds."""
    made: list[dict[str, Any]] = []
    worse, better = (scores.get(each, {}).get(claim.dataset, {}) for each in (claim.worse, claim.better))
    for name in worse.keys() & better.keys():
        found = difference(over_seeds(worse[name]), over_seeds(better[name]))
        low, high = (published(each, claim.dataset).get(name) for each in (claim.worse, claim.better))
        made.append(
            {
                "claim": f"{claim.better} > {claim.worse}",
                "dataset": claim.dataset,
                "score": name,
                "paper": None if low is None or high is None else high - low,
                "ours": found.value,
                "interval": [found.low, found.high],
                "probability": found.probability,
                "verdict": found.verdict,
            }
        )
    return sorted(made, key=lambda row: list(SHORT).index(row["score"]))


def table(name: str, scores: Scores) -> dict[str, Any]:
    """{"rows", "claims"} of Table II, III or of the comparison of students and teachers."""
    rows = [cell for row in _ROWS[name] for dataset in row.datasets for cell in cells(row.name, dataset, scores)]
    return {"rows": rows, "claims": [each for claim in claims_of(name) for each in judged(claim, scores)]}


# --- Markdown ---


def number(value: float | None, signed: bool = False) -> str:
    """Four decimals; "-" where there is no number."""
    if value is None or value != value:
        return "-"
    return f"{value:+.4f}" if signed else f"{value:.4f}"


def bounds(interval: Sequence[float]) -> str:
    """An interval."""
    return "-" if interval[0] != interval[0] else f"{interval[0]:.4f} – {interval[1]:.4f}"


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(each)} |" for each in (header, ["---"] * len(header), *rows))


def markdown(title: str, content: Mapping[str, Any]) -> str:
    """A table as Markdown, and its claims."""
    lines = [
        [row["row"], NAMES[row["dataset"]], SHORT[row["score"]], number(row["paper"]), number(row["ours"])]
        + [number(row["difference"], signed=True), bounds(row["interval"])]
        for row in content["rows"]
    ]
    parts = [f"## {title}", grid(["model", "test set", "score", "paper", "ours", "difference", "95 %"], lines)]
    claims = [
        [each["claim"], NAMES[each["dataset"]], SHORT[each["score"]], number(each["paper"], signed=True)]
        + [number(each["ours"], signed=True), bounds(each["interval"]), each["verdict"]]
        for each in content["claims"]
    ]
    if claims:
        parts.append(grid(["claim", "test set", "score", "paper", "ours", "95 % (paired)", "the claim"], claims))
    return "\n\n".join(parts)
