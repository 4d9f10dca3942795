"""Figures of records for print: the valence-arousal plane and the emotion curve. Needs matplotlib.

Figures are drawn without pyplot: no window opens, and several threads may draw.
"""

import os
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

from .errors_m2e import M2EError
from .scale_m2e import POLES, QUADRANT_WORDS, SCALE, quadrant_words

if TYPE_CHECKING:
    try:  # else transformers asks everyone who loads a model repository to install matplotlib
        from matplotlib.axes import Axes
        from matplotlib.figure import Figure
    except ImportError:
        pass

    from .record_m2e import FailedTrack, MusicEmotion

# Okabe & Ito (2008): colour-blind people can distinguish them. Without yellow, which is too light for lines on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_ON_COLORS = ("white", "white", "white", "black", "black", "black", "white")  # of text on them
DIMENSIONS = {"valence": (COLORS[0], "-", "o"), "arousal": (COLORS[1], (0, (4, 1.5)), "s")}  # colour, line, marker
MARKED = 40  # windows of a curve, up to which each has a mark; above, segments stand for them
NUMBERED = 20  # up to so many tracks on one plane have a number, and a line in the list next to the plane
DPI = 300  # of PNG
_NO_MATPLOTLIB = 'Plots need matplotlib: install it with pip install "m2e[demo]".'
_INK, _MUTED, _FAINT = "#1f2328", "#59636e", "#d5dae0"
_MIDDLE = sum(SCALE) / 2
_CORNERS = {"Q1": (0.97, 0.97), "Q2": (0.03, 0.97), "Q3": (0.03, 0.03), "Q4": (0.97, 0.03)}
_LEFT, _RIGHT = (0.07, 0.15, 0.288, 0.65), (0.435, 0.15, 0.54, 0.65)  # of a figure that is 7 by 3.1 inches
_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 8,  # points, at the size of print
    "axes.labelcolor": _MUTED,
    "pdf.fonttype": 42,  # TrueType: publishers refuse matplotlib's default, Type 3
    "svg.fonttype": "path",
}


def figure(records: "Sequence[MusicEmotion | FailedTrack]") -> "Figure":
    """A matplotlib figure: one record's plane and curve, or several records on one plane.

    Raises: M2EError where there is no record, or one of a track that failed; ImportError without matplotlib.
    """
    if not records:
        raise M2EError("There is no record to plot: give at least one.")
    for record in records:
        if record.error is not None:
            raise M2EError(record.error)
    return _figure_of(cast("Sequence[MusicEmotion]", records))


def _figure_of(records: "Sequence[MusicEmotion]") -> "Figure":
    with _style():
        if len(records) > NUMBERED:
            drawn = _figure(3.5, 3.5)
            plane(drawn.add_axes((0.13, 0.13, 0.83, 0.83)), records)
            return drawn
        drawn = _figure(7.0, 3.1)
        plane(drawn.add_axes(_LEFT), records)
        if len(records) == 1:
            _title(drawn, records[0])
            curve(drawn.add_axes(_RIGHT), records[0])
        else:
            _list(drawn, records)
    return drawn


def plane(axes: "Axes", records: Sequence["MusicEmotion"]) -> None:
    """Draw the valence-arousal plane with a point for every record, and the path of a single one.

    Up to `NUMBERED` records have their number in the point.
    """
    axes.set(xlim=SCALE, ylim=SCALE, aspect="equal")
    labels = [f"{name} ({low} to {high})" for name, (low, high) in POLES.items()]
    axes.set(xlabel=labels[0], ylabel=labels[1])
    for ticks in (axes.set_xticks, axes.set_yticks):
        ticks(range(SCALE[0], SCALE[1] + 1, 2))
    axes.tick_params(length=0, pad=5, labelcolor=_MUTED)
    axes.spines[:].set_color(_FAINT)
    axes.axhline(_MIDDLE, color=_FAINT, linewidth=0.8, zorder=0)
    axes.axvline(_MIDDLE, color=_FAINT, linewidth=0.8, zorder=0)
    for name, (x, y) in _CORNERS.items():
        sides: dict[str, Any] = {"ha": "right" if x > 0.5 else "left", "va": "top" if y > 0.5 else "bottom"}
        axes.text(x, y, f"{name} {QUADRANT_WORDS[name]}", transform=axes.transAxes, color=_MUTED, fontsize=6, **sides)

    points = [(record.valence, record.arousal) for record in records]
    dot: dict[str, Any] = {"marker": "o", "mec": "white", "clip_on": False}
    if len(records) > NUMBERED:
        axes.plot(*zip(*points, strict=True), linestyle="", ms=4, mfc=COLORS[0], mew=0.3, alpha=0.6, **dot)
        return
    windows = records[0].curve or []
    path = [(part.valence, part.arousal) for part in (windows if len(windows) <= MARKED else records[0].segments or [])]
    if len(records) == 1 and len(path) > 1:
        axes.plot(*zip(*path, strict=True), color=COLORS[0], lw=1, ms=4, mew=0.6, alpha=0.55, **dot)
        axes.annotate("start", path[0], (4, 3), textcoords="offset points", fontsize=6, color=_MUTED)
    for index, point in enumerate(points):
        color = index % len(COLORS)
        axes.plot(*point, ms=9 if len(points) > 1 else 7, mfc=COLORS[color], mew=0.8, zorder=3 + index, **dot)
        if len(points) > 1:
            centered: dict[str, Any] = {"ha": "center", "va": "center_baseline", "zorder": 3 + index}
            axes.annotate(str(index + 1), point, color=_ON_COLORS[color], fontsize=6, weight="bold", **centered)


def curve(axes: "Axes", record: "MusicEmotion") -> None:
    """Draw valence and arousal over time: a mark in the middle of each window, if there are few, and the borders of
    segments."""
    points = record.curve or []
    end = max([record.duration or 0.0, *(point.end for point in points)]) or 1.0
    axes.set(xlim=(0, end), ylim=SCALE, xlabel="time")
    axes.set_yticks(range(SCALE[0], SCALE[1] + 1, 2))
    axes.xaxis.set_major_formatter(lambda seconds, _: f"{int(seconds) // 60}:{int(seconds) % 60:02d}")
    locator: Any = axes.xaxis.get_major_locator()  # a MaxNLocator, which the stub does not tell
    locator.set_params(integer=True, nbins=7, steps=[1, 1.5, 2, 3, 6, 10])
    axes.tick_params(length=0, pad=5, labelcolor=_MUTED)
    axes.spines[:].set_visible(False)
    axes.grid(axis="y", color=_FAINT, linewidth=0.5)
    axes.axhline(_MIDDLE, color=_MUTED, linewidth=0.6)
    for part in (record.segments or [])[1:]:
        axes.axvline(part.start, color=_FAINT, linewidth=0.8, zorder=0)
    middles = [(point.start + point.end) / 2 for point in points]
    size = 3.2 if len(points) <= MARKED else 0.0
    for name, (color, line, marker) in DIMENSIONS.items():
        values = [getattr(point, name) for point in points] or [getattr(record, name)]
        times = [0, *(middles or [end / 2]), end]
        axes.plot(times, [values[0], *values, values[-1]], color=color, linestyle=line, linewidth=1.4)
        axes.plot(times[1:-1], values, marker, color=color, markersize=size, mec="white", mew=size and 0.5, label=name)
    handles = axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, borderaxespad=0.2, handletextpad=0.1
    )
    for text, (color, *_) in zip(handles.get_texts(), DIMENSIONS.values(), strict=True):
        text.set_color(color)


def save(drawn: "Figure", file: str | os.PathLike[str]) -> None:
    """Write a figure as .png, .pdf or .svg, as the name of the file ends, completely or not at all.

    Raises: M2EError for another name, OSError where it cannot be written.
    """
    file = os.fspath(file)
    form = os.path.splitext(file)[1][1:].lower()
    if form not in ("png", "pdf", "svg"):
        raise M2EError(f"{file} cannot be drawn: give a name that ends in .png, .pdf or .svg.")
    partial = f"{file}.partial"
    try:
        with _style(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box stands for it
            drawn.savefig(partial, format=form, dpi=DPI)
        os.replace(partial, file)
    except BaseException:
        if os.path.exists(partial):
            os.remove(partial)
        raise


def _title(drawn: "Figure", record: "MusicEmotion") -> None:
    facts = [f"valence {record.valence:.1f}", f"arousal {record.arousal:.1f}"]
    if record.summary is not None:
        facts.append(record.summary)
    else:
        facts.append(quadrant_words(record.quadrant, record.between))
        if record.key is not None:
            facts.append(f"{record.key.tonic} {record.key.mode}")
    _write(drawn, _LEFT[0], 0.96, _short(record.path, 70), fontsize=9, weight="bold")
    _write(drawn, _LEFT[0], 0.895, "   ".join(facts), color=_MUTED)


def _list(drawn: "Figure", records: Sequence["MusicEmotion"]) -> None:
    number, name, valence, arousal, quadrant = 0.44, 0.455, 0.83, 0.905, 0.975  # right or left edges of the columns
    for x, heading in ((valence, "valence"), (arousal, "arousal"), (quadrant, "quadrant")):
        _write(drawn, x, 0.87, heading, color=_MUTED, fontsize=6.5, ha="right")
    for index, record in enumerate(records):
        y = 0.80 - index * min(0.075, 0.65 / (len(records) - 1))
        _write(drawn, number, y, str(index + 1), weight="bold", ha="right")
        _write(drawn, name, y, _short(record.path, 30))
        _write(drawn, valence, y, f"{record.valence:.1f}", ha="right")
        _write(drawn, arousal, y, f"{record.arousal:.1f}", ha="right")
        _write(drawn, quadrant, y, "-".join(record.between or [record.quadrant]), ha="right")


def _write(drawn: "Figure", x: float, y: float, text: str, **look: Any) -> None:
    defaults: dict[str, Any] = {"color": _INK, "va": "top", "parse_math": False}  # a name with two $ is no formula
    drawn.text(x, y, text, **(defaults | look))


def _short(path: str | None, length: int) -> str:
    """The file name, without unprintable characters, cut in its middle."""
    name = os.path.basename((path or "").rstrip("/")) or path or "track"
    name = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    return name if len(name) <= length else f"{name[: length // 2]}…{name[1 - length // 2 :]}"


def _figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(_NO_MATPLOTLIB) from None
    return Figure(figsize=(width, height), facecolor="white")  # inches


def _style() -> AbstractContextManager[None]:
    try:
        from matplotlib import rc_context
    except ImportError:
        raise ImportError(_NO_MATPLOTLIB) from None
    return rc_context(_STYLE)  # type: ignore[arg-type]  # its stub names all possible keys
