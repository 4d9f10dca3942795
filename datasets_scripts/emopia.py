"""EMOPIA: 1,078 clips of pop piano as MIDI, each with a quadrant; rendered here to audio.

Licence: CC BY-NC-SA 4.0 (Hung et al., ISMIR 2021).  Size: 2 MB of MIDI; 0.9 GB of rendered FLAC (12 hours).  From:
https://zenodo.org/record/5151045 (2.1; others read alike). Layout, unpacked:

    midis/Q1_YOUTUBE_0.mid      quadrant, video and number of the clip
    label.csv                   optional: ID, 4Q, annotator
    split_{train,val,test}.csv  optional: fname, label; also split/{train,val,test}.csv

Clips of one video are one performance: they are in one split, and their column artist is "youtube:VIDEO".
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datasets import Dataset

from m2e.datasets.archive import find, need, read_table, verify
from m2e.datasets.schema import Track, listed, to_dataset
from m2e.datasets.splits import grouped_split
from m2e.errors import DataError, reason

NAME = "EMOPIA"
CLIPS = 1078
SOUND_FONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"  # Debian's package fluid-soundfont-gm
GAIN = 5.0  # the same for all clips: a solo piano is rendered with peaks of 0.03 to 0.15
LISTS = {"train": "train", "validation": "val", "test": "test"}


def read(
    folder: str | Path,
    sound: str | Path = SOUND_FONT,
    rendered: str | Path | None = None,
    workers: int | None = None,
    check: str = "strict",
    per_quadrant: int | None = None,
    places: Mapping[str, Sequence[float]] | None = None,
) -> Dataset:
    """All clips in the common schema; missing audio is rendered first.

    sound: a sound font, see midi_audio.render.  rendered: the folder of FLAC files, by default ``rendered-FONT`` in
    ``folder``.  workers: clips rendered at once, by default one per core.  check: see archive.verify; "off" renders
    nothing.  per_quadrant: number of clips of each quadrant in each split, the first by name.  places: valence and
    arousal that stand for a quadrant, {"Q1": [6.7, 5.5], ...}; None: clips have a quadrant alone.  Raises DataError.
    """
    folder = Path(folder)
    midis = sorted(need(folder, "midis").glob("Q[1-4]_*.mid"))
    rendered = Path(rendered or folder / f"rendered-{Path(sound).stem}")
    quadrants = annotated(folder)
    if wrong := [path.stem for path in midis if quadrants.get(path.stem, path.stem[:2]) != path.stem[:2]]:
        raise DataError(
            f"The names of files in {folder} and its label.csv differ about {listed(wrong)}: unpack the archive again."
        )
    splits = dict(zip(midis, split_of([path.stem for path in midis], folder), strict=True))
    expected = CLIPS
    if per_quadrant is not None:
        kinds = defaultdict(list)
        for path, split in splits.items():
            kinds[split, path.stem[:2]].append(path)
        midis = sorted(path for paths in kinds.values() for path in paths[:per_quadrant])
        expected = len(midis)
    if check != "off":
        render_all(midis, rendered, sound, workers or os.cpu_count() or 1)
    tracks = [
        Track(
            id=path.stem,
            audio=rendered / f"{path.stem}.flac",
            split=splits[path],
            quadrant=path.stem[:2],
            valence=valence,
            arousal=arousal,
            artist=f"youtube:{video(path.stem)}",
        )
        for path in midis
        for valence, arousal in [place_of(path.stem[:2], places)]
    ]
    return to_dataset(NAME, verify(NAME, folder, tracks, expected, check))


def place_of(quadrant: str, places: Mapping[str, Sequence[float]] | None) -> tuple[float, float] | tuple[None, None]:
    """The valence and arousal of a clip; None without places. Raises DataError."""
    if places is None:
        return None, None
    if quadrant not in places or len(places[quadrant]) != 2:
        raise DataError(f"{NAME}'s places lack {quadrant}: give valence and arousal of Q1 to Q4.")
    valence, arousal = places[quadrant]
    return float(valence), float(arousal)


def video(clip: str) -> str:
    """The YouTube id in a clip's name, which may itself hold underscores."""
    return clip[3:].rpartition("_")[0]


def annotated(folder: Path) -> dict[str, str]:
    """{clip: quadrant} of label.csv, empty without it."""
    path = find(folder, "label.csv")
    return {row["ID"]: f"Q{row['4Q'][-1]}" for row in read_table(path, columns=("ID", "4Q"))} if path else {}


def split_of(clips: list[str], folder: Path) -> list[str]:
    """The split of every clip: that of its video in the lists, else by video, 70/15/15."""
    listed_videos = {}
    for split, short in LISTS.items():
        path = find(folder, f"split_{short}.csv", f"split/{short}.csv", f"split/{short}_clips.csv")
        for row in read_table(path) if path else []:
            listed_videos[video(next(iter(row.values())).removesuffix(".mid"))] = split
    rest = sorted({video(clip) for clip in clips} - listed_videos.keys())
    by_video = dict(zip(rest, grouped_split(rest), strict=True)) | listed_videos
    return [by_video[video(clip)] for clip in clips]


def render_all(midis: list[Path], target: Path, sound: str | Path, workers: int) -> None:
    """Writes a FLAC for every MIDI file without one. Raises DataError that lists all files that cannot be rendered."""
    missing = [path for path in midis if not (target / f"{path.stem}.flac").exists()]
    if missing and not Path(sound).is_file():
        raise DataError(f"There is no sound font {sound}: install fluid-soundfont-gm, or name another by sound=.")
    target.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:  # each runs a program
        faults = list(pool.map(lambda path: _render(path, target / f"{path.stem}.flac", sound), missing))
    if bad := [f"{path.name} ({fault})" for path, fault in zip(missing, faults, strict=True) if fault]:
        raise DataError(f"{NAME} has {len(bad)} files that cannot be rendered: {listed(bad)}; get them again.")


def _render(midi: Path, target: Path, sound: str | Path) -> str | None:
    """The reason of a failure, or None."""
    import soundfile

    from m2e.datasets.midi_audio import RATE, read_midi, render

    partial = target.with_suffix(".partial")
    try:
        waveform = GAIN * render(read_midi(midi), sound)
    except DataError as error:
        return reason(error)
    soundfile.write(partial, waveform / max(1.0, abs(waveform).max()), RATE, format="FLAC", subtype="PCM_16")
    os.replace(partial, target)
    return None
