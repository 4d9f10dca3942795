"""Loads models of strangers: each loads and gives finite numbers, or is refused by one sentence, and no code is run.

    python benchmarks/reliability/hostile.py [--count 250] [--seed 0] [--no-save]

The first cases are those of tests/test_checkpoints_hostile.py: files that name code, and absurd numbers. The others
change a random setting of a random configuration to a random absurd value, or damage a file of weights. A tiny model
with all parts is made for it.
"""

import argparse
import json
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from outcomes import Campaign

import m2e  # isort: skip
import test_checkpoints_hostile as known
import tiny

from m2e.errors import M2EError

NAN, INF = float("nan"), float("inf")
VALUES: list[Any] = [None, -1, 0, 1, 2**31, 10**12, 0.5, -0.5, 1e300, NAN, INF, True, "", "x", "hub", [], [NAN], {}]
VALUES += [["x"] * 1000, {"a": {"b": 1}}, "../../etc/passwd", "someone/kernel"]
MAX_MEMORY = 1 << 30  # bytes that a refusal may need
SETTINGS = ("config.json", "processor_config.json", "chords/config.json", "encoder/config.json")
WEIGHTS = ("model.safetensors", "chords/model.safetensors", "encoder/model.safetensors")
TRACK = (tiny.waveform(3.5), tiny.SAMPLING_RATE)


def changed_setting(folder: Path, rng: np.random.Generator) -> str:
    path = folder / SETTINGS[int(rng.integers(len(SETTINGS)))]
    content = json.loads(path.read_text())
    place, name = content, str(rng.choice(sorted(content)))
    while isinstance(place[name], dict) and place[name] and rng.random() < 0.7:
        place, name = place[name], str(rng.choice(sorted(place[name])))
    place[name] = VALUES[int(rng.integers(len(VALUES)))]
    path.write_text(json.dumps(content))
    return f"{path.relative_to(folder)}: {name} = {str(place[name])[:40]}"


def damaged_json(folder: Path, rng: np.random.Generator) -> str:
    path = folder / SETTINGS[int(rng.integers(len(SETTINGS)))]
    data = bytearray(path.read_bytes())
    at = int(rng.integers(len(data)))
    kind = int(rng.integers(3))
    if kind == 0:
        del data[at:]
    elif kind == 1:
        data[at] = int(rng.integers(256))
    else:
        data[at:at] = b"[" * 10_000
    path.write_bytes(data)
    return f"{path.relative_to(folder)}: damage of kind {kind} at {at}"


def damaged_weights(folder: Path, rng: np.random.Generator) -> str:
    path = folder / WEIGHTS[int(rng.integers(len(WEIGHTS)))]
    data = bytearray(path.read_bytes())
    header = int.from_bytes(data[:8], "little")
    kind = int(rng.integers(5))
    at = int(rng.integers(8 + header, len(data) - 4))
    if kind == 0:
        del data[at:]
    elif kind == 1:  # the length of the header
        data[:8] = int(rng.integers(0, 2**62)).to_bytes(8, "little")
    elif kind == 2:  # its text
        data[8 + int(rng.integers(header))] = int(rng.integers(256))
    elif kind == 3:
        data[at : at + 4] = np.float32(rng.choice([NAN, INF, -INF])).tobytes()
    else:
        shutil.copy(folder / WEIGHTS[int(rng.integers(len(WEIGHTS)))], path.with_suffix(".other"))
        data = bytearray(path.with_suffix(".other").read_bytes())
    path.write_bytes(data)
    return f"{path.relative_to(folder)}: damage of kind {kind} at {at}"


RANDOM = {"a setting": changed_setting, "damaged JSON": damaged_json, "damaged weights": damaged_weights}


def failure(folder: Path, marker: Path) -> str | None:
    """Why loading and predicting fails the test."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        record = m2e.load(folder, device="cpu")(TRACK)
        finite = np.isfinite([record.valence, record.arousal, *(mood.score for mood in record.moods)]).all()
        why = None if finite else "numbers that are not finite"
    except M2EError as error:
        sentence = str(error)
        why = None if "\n" not in sentence and sentence.endswith(".") else f"no sentence: {sentence!r}"
        if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024 > MAX_MEMORY:
            why = "took memory before it was refused"
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
    return "code of the repo was run" if marker.exists() else why


def run(count: int, seed: int, first: int = 0, save: bool = True) -> int:
    campaign = Campaign("hostile", "models of strangers: files that name code, absurd settings, damaged weights")
    builtins = __import__("builtins")
    builtins.input = lambda *_: "y"  # whoever is asked agrees
    with tempfile.TemporaryDirectory(prefix="m2e-hostile-") as name:
        model, case, marker = Path(name, "model"), Path(name, "case"), Path(name, "code was run")
        tiny.pipeline().save_pretrained(model)
        fixed = [("code", each.__name__, each) for each in known.NAMED_IN]
        fixed += [
            ("absurd numbers", f"{file}: {settings}", lambda path, f=file, s=settings: known.change(path / f, **s))
            for file, settings in known.ABSURD
        ]
        kinds = sorted(RANDOM)
        for index in range(first, count):
            shutil.rmtree(case, ignore_errors=True)
            shutil.copytree(model, case)
            if index < len(fixed):
                kind, what, change = fixed[index]
                (case / "evil.py").write_text(known.CODE.format(marker=str(marker)))
                change(case)
            else:
                rng = np.random.default_rng([seed, index])
                kind = kinds[int(rng.integers(len(kinds)))]
                what = RANDOM[kind](case, rng)
            campaign.count(kind, f"case {index}, {what}", failure(case, marker))
            marker.unlink(missing_ok=True)
    return campaign.end(save)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=250)
    parser.add_argument("--first", type=int, default=0, help="leave out the cases before this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-save", action="store_true", help="keep the result of the last run")
    args = parser.parse_args()
    sys.exit(run(args.count, args.seed, args.first, save=not args.no_save))
