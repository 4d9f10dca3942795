"""Scores that papers report for the same test sets, for comparison; `m2e.evaluation.report` prints them.

Source: Kang & Herremans, "Towards Unified Music Emotion Recognition across Dimensional and Categorical Models", 2025,
arXiv 2502.03979: Table II (which features), III (which data sets are trained on jointly; J, D, E, P are their initials)
and IV (others on MTG-Jamendo, most of them from MediaEval). Rows without a table: others on the same EmoMusic clips.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedResult:
    """One system's scores, by the keys of `m2e.evaluation.score.SCORE_NAMES`.  table: of the paper, or "" for none."""

    system: str
    table: str
    scores: dict[str, float]


@dataclass(frozen=True)
class PublishedTest:
    """The published results of one test set.

    tracks: its size.  scores: the keys that are compared.  options: of the reader, for the labels that the papers used.
    remark: why these matter.
    """

    tracks: int
    scores: tuple[str, ...]
    results: tuple[PublishedResult, ...]
    options: dict[str, str]
    remark: str = ""


def _test(
    tracks: int,
    scores: tuple[str, str],
    rows: list[tuple[str, str, float, float]],
    options: dict[str, str] | None = None,
    remark: str = "",
) -> PublishedTest:
    results = tuple(
        PublishedResult(system, table, dict(zip(scores, values, strict=True))) for system, table, *values in rows
    )
    return PublishedTest(tracks, scores, results, options or {}, remark)


_MOODS = ("mood_pr_auc", "mood_roc_auc")
_PLANE = ("r2_valence", "r2_arousal")

PUBLISHED = {  # by the names of m2e.datasets.registry
    "mtg-jamendo": _test(
        4231,
        _MOODS,
        [
            ("Kang & Herremans, J + D + E + P", "III", 0.1543, 0.7810),
            ("Kang & Herremans, J + E", "III", 0.1540, 0.7809),
            ("Kang & Herremans, J + D", "III", 0.1526, 0.7806),
            ("Kang & Herremans, J + P", "III", 0.1522, 0.7806),
            ("Kang & Herremans, J", "II", 0.1521, 0.7806),
            ("Kang & Herremans, J, MERT only", "II", 0.1297, 0.7590),
            ("Kang & Herremans, J, chords and key only", "II", 0.0531, 0.6158),
            ("lileonardo", "IV", 0.1508, 0.7747),
            ("SELAB-HCMUS", "IV", 0.1435, 0.7599),
            ("MERT-330M", "IV", 0.1400, 0.7650),
            ("Mirable", "IV", 0.1356, 0.7687),
            ("MERT-95M", "IV", 0.1340, 0.7640),
            ("UIBK-DBIS", "IV", 0.1087, 0.7046),
            ("Greer", "IV", 0.1082, 0.7354),
            ("VGGish baseline", "IV", 0.1077, 0.7258),
            ("Hasumi", "IV", 0.0730, 0.7750),
            ("popularity", "IV", 0.0319, 0.5000),
        ],
    ),
    "deam": _test(
        270,
        _PLANE,
        [
            ("Kang & Herremans, J + D + E + P", "III", 0.5184, 0.6228),
            ("Kang & Herremans, J + D", "III", 0.5144, 0.6046),
            ("Kang & Herremans, D", "II", 0.5131, 0.6025),
            ("Kang & Herremans, D, MERT only", "II", 0.4972, 0.5951),
            ("Kang & Herremans, D, chords and key only", "II", 0.0706, 0.0770),
        ],
        {"labels": "published"},
        "the paper used DEAM's labels as published, with valence and arousal swapped for 744 songs",
    ),
    "emomusic": _test(
        125,
        _PLANE,
        [
            ("Kang & Herremans, J + D + E + P", "III", 0.6512, 0.7616),
            ("Kang & Herremans, J + E", "III", 0.6091, 0.7525),
            ("Kang & Herremans, E", "II", 0.5957, 0.7489),
            ("Kang & Herremans, E, MERT only", "II", 0.5657, 0.7404),
            ("Kang & Herremans, E, chords and key only", "II", 0.0781, 0.0585),
            ("MuQ-iter", "", 0.628, 0.761),
            ("MERT-330M", "", 0.612, 0.747),
            ("MusicFM", "", 0.603, 0.763),
        ],
        remark="J + D + E + P was also trained on the paper's DEAM training list, which holds 82 of these test songs",
    ),
    "pmemo": _test(
        115,
        _PLANE,
        [
            ("Kang & Herremans, J + D + E + P", "III", 0.5473, 0.7940),
            ("Kang & Herremans, J + P", "III", 0.5401, 0.7780),
            ("Kang & Herremans, P", "II", 0.5360, 0.7772),
            ("Kang & Herremans, P, MERT only", "II", 0.5231, 0.7670),
            ("Kang & Herremans, P, chords and key only", "II", 0.0149, 0.0337),
        ],
    ),
}
