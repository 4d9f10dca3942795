"""What does not change the music must not change its emotion: level, silence around it, and good codecs.

    python benchmarks/reliability/invariance.py CLIPS [--count 50] [--model MODEL] [--no-save]

CLIPS is a folder of audio files, of which `--count` are drawn. Each is changed and predicted again. A change of level
by 12 dB may move valence and arousal by 0.05, one by 24 dB and 5 s of silence by 0.1, each without another quadrant; a
codec of good quality by 0.05 in the median.
"""

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from outcomes import Campaign

from m2e import load
from m2e.checkpoints.load import EMBEDDED
from m2e.inputs import AUDIO_SUFFIXES
from modeling_m2e.audio_m2e import load as read_audio

RATE = 44_100
Audio = tuple[np.ndarray, int]


def gain(decibels: float) -> Callable[[np.ndarray], Audio]:
    """Quieter; louder would clip."""
    return lambda samples: (samples * 10 ** (decibels / 20), RATE)


def silence(seconds: float, before: bool) -> Callable[[np.ndarray], Audio]:
    def change(samples: np.ndarray) -> Audio:
        quiet = np.zeros(round(seconds * RATE), np.float32)
        return np.concatenate([quiet, samples] if before else [samples, quiet]), RATE

    return change


def codec(container: str, subtype: str | None, level: float) -> Callable[[np.ndarray], Audio]:
    """Through a lossy codec. level: compression of libsndfile, 0 is the best quality."""

    def change(samples: np.ndarray) -> Audio:
        file = io.BytesIO()
        soundfile.write(file, samples, RATE, subtype, format=container, compression_level=level)
        file.seek(0)
        return soundfile.read(file, dtype="float32")

    return change


# name -> change, largest difference of a clip, of the median clip; None: not bounded
CHANGES: dict[str, tuple[Callable[[np.ndarray], Audio], float | None, float | None]] = {
    "-12 dB": (gain(-12), 0.05, None),
    "-24 dB": (gain(-24), 0.1, None),
    "5 s of silence before": (silence(5, True), 0.1, None),
    "5 s of silence after": (silence(5, False), 0.1, None),
    "Ogg Vorbis, quality 8": (codec("OGG", "VORBIS", 0.2), None, 0.05),
    "MP3, good quality": (codec("MP3", None, 0.2), None, 0.05),
}


def run(clips: list[Path], model: str, save: bool = True) -> int:
    campaign = Campaign("invariance", "changes that leave the music as it is, in valence or arousal")
    pipe = load(model)
    moved: dict[str, list[float]] = {name: [] for name in CHANGES}
    for clip in clips:
        samples = read_audio(clip, RATE)[0]
        before = pipe((samples, RATE), harmony=True)
        for name, (change, most, _) in CHANGES.items():
            after = pipe(change(samples))
            difference = max(abs(after.valence - before.valence), abs(after.arousal - before.arousal))
            moved[name].append(difference)
            failure = None
            if most is not None and difference >= most:
                failure = f"{difference:.3f} on the scale from 1 to 9"
            elif most is not None and after.quadrant != before.quadrant:
                failure = f"{before.quadrant} became {after.quadrant}"
            campaign.count(name, clip.name, failure)
    summary = {}
    for name, (_, _, median) in CHANGES.items():
        summary[name] = {"median": round(float(np.median(moved[name])), 4), "largest": round(max(moved[name]), 4)}
        print(f"{name}: {summary[name]}", flush=True)
        if median is not None and np.median(moved[name]) >= median:
            campaign.count(name, "the median clip", f"{np.median(moved[name]):.3f} on the scale from 1 to 9")
    return campaign.end(save, moved=summary)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--no-save", action="store_true", help="keep the result of the last run")
    args = parser.parse_args()
    files = sorted(path for path in args.clips.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    drawn = np.random.default_rng(0).permutation(len(files))[: args.count]
    sys.exit(run([files[index] for index in sorted(drawn)], args.model, save=not args.no_save))
