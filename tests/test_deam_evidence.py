"""The evidence for DEAM's swapped columns."""

import os
import subprocess
import sys
from pathlib import Path

import miniatures
import numpy as np

from benchmarks.deam_evidence import by_audio, by_release, markdown


def numbers(row):
    return [float(cell) for cell in row[1:]]


def test_a_planted_swap_is_found(tmp_path):
    rng = np.random.default_rng(0)
    songs = np.arange(700, 1300)
    loudness = rng.normal(size=600)
    arousal, valence = 5 + loudness, 5 + rng.normal(size=600)
    old = songs <= 1000
    published = np.where(old, arousal, valence), np.where(old, valence, arousal)
    rows = zip(songs, *published, loudness + rng.normal(0, 0.2, 600), rng.normal(size=600), strict=True)
    path = miniatures.table(tmp_path / "f.csv", "song_id,valence_mean,arousal_mean,loudness,noise", list(rows))
    _, correlation, explained, folds = by_audio(path, trees=20)
    assert numbers(correlation)[0] < 0.2 and numbers(correlation)[1] > 0.9
    assert numbers(explained)[0] < 0 and numbers(explained)[1] > 0.8
    assert numbers(folds)[1] > numbers(folds)[0] + 0.2


def test_the_releases_are_compared(tmp_path):
    deam, emomusic = miniatures.deam(tmp_path / "d", audio=False), miniatures.emomusic(tmp_path / "e")
    header, valence, _, arousal, _ = by_release(deam, emomusic)
    assert header[0] == "DEAM's, 3 songs"
    assert numbers(valence)[2] > 0.999 and numbers(arousal)[0] > 0.999  # DEAM's valence is EmoMusic's arousal
    assert markdown([("a", "b"), ("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_the_real_features(shared):
    folder = shared / "data" / "annotations"
    _, correlation, explained, folds = by_audio(folder / "deam" / "features_librosa41.csv", trees=20)
    assert numbers(correlation)[0] < 0.45 and numbers(correlation)[1] > 0.7
    assert numbers(explained)[0] < 0 and numbers(explained)[1] > 0.45
    assert numbers(folds)[1] > numbers(folds)[0] + 0.15
    _, valence, deviation, *_ = by_release(folder / "deam", folder / "emomusic")
    assert numbers(valence)[2] > 0.999 and numbers(valence)[0] < 0.61 and numbers(deviation)[3] > 0.99


def test_the_command_in_the_documents(tmp_path):
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "benchmarks/deam_evidence.py", str(tmp_path / "none.csv")]
    done = subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith(f"{tmp_path / 'none.csv'} cannot be read")
    assert "python benchmarks/deam_evidence.py " in (root / "docs" / "datasets.md").read_text(encoding="utf-8")
