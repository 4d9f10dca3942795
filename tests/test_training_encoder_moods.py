"""m2e.training.encoder.moods: a table of soft moods for a source of the pool."""

import numpy as np
import pandas
import pytest
import soundfile

from m2e.datasets.encoder import pool as pools
from m2e.errors import DataError
from m2e.training.encoder import moods
from m2e.training.soft_labels import read_soft_labels
from modeling_m2e.configuration_m2e import JAMENDO_MOODS

SAD = JAMENDO_MOODS.index("sad")


def panda4q(folder, count: int = 8):
    """Clips of which every other is sad, and a teacher who calls all of them rather sad."""
    (folder / "audio").mkdir(parents=True)
    rows = []
    for number in range(count):
        silence = np.zeros(4800)
        soundfile.write(folder / "audio" / f"{number}.opus", silence, 48000, format="OGG", subtype="OPUS")
        tags = "Sad" if number % 2 else "Happy"
        rows.append([f"{number}", f"artist{number}", "", "Q1", 5, 5, tags, "", "train"])
    header = ["song_id", "artist", "title", "quadrant", "valence", "arousal", "tags", "genres", "split"]
    pandas.DataFrame(rows, columns=header).to_csv(folder / "metadata.csv", index=False)
    logits = np.zeros((count, 56))
    logits[:, SAD] = 2.0
    np.savez(folder / "soft_labels.npz", moods=np.array(JAMENDO_MOODS), moods_logits=logits)
    return folder


def test_moods_get_the_prevalence_of_words_and_files_their_mean(tmp_path, monkeypatch):
    shift = moods.shifts(panda4q(tmp_path / "4q"))
    assert shift[SAD] == pytest.approx(-2.0, abs=1e-3)  # half of the clips are sad
    assert shift[JAMENDO_MOODS.index("space")] == 0  # no word means it

    waveform = 0.1 * np.random.default_rng(0).standard_normal(41 * 8000)
    soundfile.write(tmp_path / "song.wav", waveform, 8000)
    recording = pools.Recording(tmp_path / "song.wav", "a", "train", "free")
    pools.build(tmp_path / "pool", {"a": lambda: [recording]})  # two clips
    labels = tmp_path / "pool" / "labels" / moods.TEACHER
    labels.mkdir(parents=True)
    odds = np.full((2, 1, 56), 1.0)
    odds[1] = 3.0
    np.savez(labels / "a-000.npz", embeddings=np.zeros((2, 1, 3), np.float16), tags=1 / (1 + np.exp(-odds)))
    out = tmp_path / "moods.csv"
    arguments = ["moods", str(tmp_path / "pool"), str(out), "--source", "a", "--like", str(tmp_path / "4q")]
    monkeypatch.setattr("sys.argv", arguments)
    moods.main()
    soft = read_soft_labels(out, ["x"], ["elsewhere/song.wav"], JAMENDO_MOODS)
    assert soft.moods[0, SAD] == pytest.approx(0.5, abs=0.01)  # the mean of its clips, 2, moved by -2
    assert soft.moods[0, JAMENDO_MOODS.index("space")] == pytest.approx(0.881, abs=0.01)


def test_a_source_without_labels_is_named(tmp_path):
    soundfile.write(tmp_path / "song.wav", 0.1 * np.random.default_rng(0).standard_normal(12 * 8000), 8000)
    recording = pools.Recording(tmp_path / "song.wav", "a", "train", "free")
    pools.build(tmp_path / "pool", {"a": lambda: [recording]})
    with pytest.raises(DataError, match="has no labels of mood_cnn"):
        moods.by_file(tmp_path / "pool", "a")
