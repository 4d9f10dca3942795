"""What is said of one track: a sentence, and as HTML tiles for its values, bars for its moods and attributes."""

from m2e.space.markup import notes, text
from m2e.space.scale import TYPICAL
from modeling_m2e import MusicEmotion
from modeling_m2e.scale_m2e import POLES, QUADRANT_WORDS, SCALE, quadrant

TOP_MOODS = 8
_LOW, _HIGH = SCALE
_CELLS = ("Q2", "Q1", "Q3", "Q4")  # as the quadrants lie on the plane


def headline(record: MusicEmotion) -> str:
    """What the page says of a track first: Dark and sad, C# minor. Sound that is no music has no summary."""
    return record.summary or "Perhaps no music"


def tiles(record: MusicEmotion) -> str:
    """Valence, arousal, quadrant and key, and the tempo where it is known."""
    shown = [_value(record, name) for name in POLES] + [_quadrant(record), _key(record)]
    if tempo := record.get("tempo"):
        shown.append(_tile("Tempo", f"{tempo:.0f}", " beats per minute", ""))
    return f'<div class="m2e-tiles">{"".join(shown)}</div>'


def moods(record: MusicEmotion) -> str:
    """Bars of the most probable moods; the others are hidden until opened."""
    bars = [_bar(mood.label, mood.score, mood.label in record.selected_moods) for mood in record.moods]
    rest = bars[TOP_MOODS:]
    listed = f'<ul tabindex="0" aria-label="More moods">{"".join(rest)}</ul>'
    more = f"<details><summary>{len(rest)} more</summary>{listed}</details>" if rest else ""
    return (
        f'<div class="m2e-moods"><h3>Moods <small>probability; ✓ describes the track</small></h3>'
        f"<ul>{''.join(bars[:TOP_MOODS])}</ul>{more}</div>"
    )


def attributes(record: MusicEmotion) -> str:
    """Bars of energy, danceability and what else the record measures from 0 to 1; empty where it has none."""
    measured = record.get("attributes") or {}
    bars = "".join(_bar(str(name).replace("_", " "), value) for name, value in measured.items() if value is not None)
    return f'<div class="m2e-moods m2e-attributes"><h3>Attributes</h3><ul>{bars}</ul></div>' if bars else ""


def warnings(record: MusicEmotion) -> str:
    """Sentences about what is wrong with the audio, or that it may be no music."""
    return "".join(f'<p class="m2e-warning">{text(sentence)}</p>' for sentence in record.warnings)


# --- parts ---


def _tile(name: str, value: str, unit: str, below: str, kind: str = "") -> str:
    note = f"<small>{below}</small>" if below else ""
    return f'<div class="m2e-tile {kind}"><h3>{name}</h3><p><b>{value}</b>{unit}</p>{note}</div>'


def _share(value: float) -> float:
    return round(100 * (value - _LOW) / (_HIGH - _LOW), 2)


def _range(ends: tuple[float, float], kind: str) -> str:
    left, right = map(_share, ends)
    return f'<i class="{kind}" style="left:{left}%;width:{right - left:.2f}%"></i>'


def _value(record: MusicEmotion, name: str) -> str:
    """A value on the whole scale, over the usual range of songs, with its interval where it is known."""
    value, interval, (low, high) = getattr(record, name), record.get(f"{name}_interval"), POLES[name]
    unit = f" of {_LOW}–{_HIGH}"
    if interval:
        unit += f" · likely {interval[0]:.1f}–{interval[1]:.1f}"
    marks = _range(TYPICAL[name], "m2e-usual") + (_range(interval, "m2e-likely") if interval else "")
    marks += f'<i class="m2e-mark" style="left:{_share(value)}%"></i>'
    scale = f'<span class="m2e-scale" aria-hidden="true">{marks}</span>'
    return _tile(name.title(), f"{value:.1f}", unit, f"{scale}<span>{low}</span><span>{high}</span>", f"m2e-{name}")


def _quadrant(record: MusicEmotion) -> str:
    scores, between = record.get("quadrant_scores") or {}, record.get("between")
    if between:
        words = "between " + " and ".join(QUADRANT_WORDS[name] for name in between)
    else:
        words = QUADRANT_WORDS[record.quadrant]
        if record.quadrant != quadrant(record.valence, record.arousal):  # possible near the centre
            words += "; predicted by a separate head"
    cells = "".join(_cell(scores.get(name), name == record.quadrant) for name in _CELLS)
    grid = f'<span class="m2e-cells{" m2e-scored" if scores else ""}" aria-hidden="true">{cells}</span>'
    return _tile("Quadrant", record.quadrant, grid, text(words))


def _cell(score: float | None, on: bool) -> str:
    kind = ' class="m2e-on"' if on else ""
    return f"<i{kind}></i>" if score is None else f'<i{kind} style="--score:{score:.0%}">{score:.0%}</i>'


def _key(record: MusicEmotion) -> str:
    if record.key is not None:
        return _tile(
            "Key", notes(f"{record.key.tonic} {record.key.mode}"), "", f"confidence {record.key.confidence:.0%}"
        )
    return _tile("Key", "–", "", "undecided" if record.chords is not None else "not requested")


def _bar(label: str, score: float, selected: bool = False) -> str:
    mark = '<span role="img" aria-label="selected">✓</span>' if selected else "<span></span>"
    return (
        f'<li class="{"m2e-on" if selected else ""}">{mark}<span>{text(label)}</span>'
        f'<span class="m2e-bar"><i style="width:{score:.1%}"></i></span><b>{score:.0%}</b></li>'
    )
