"""The paper's tables from miniature archives in their official layouts: features, teachers, students, ablations, cards.

A MERT of toy size, a handful of tracks, two epochs. Interrupted in the middle, and resumed by the same command.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import miniatures
import numpy as np
import pytest
import soundfile
import tiny
import torch

pytest.importorskip("accelerate")
pytest.importorskip("datasets")

from m2e.evaluation import paper_tables as tables  # noqa: E402
from m2e.training import model as training_model  # noqa: E402

sys.path.insert(0, str(tiny.ROOT / "benchmarks"))
import paper  # noqa: E402

SPLITS = {"train": 2, "validation": 1, "test": 3}
KILLED = """
import os, signal, sys
sys.path[:0] = sys.argv[1:3]
import paper
real, count = os.replace, 0

def replace(*paths):
    global count
    count += str(paths[1]).endswith("checkpoint.pt")
    if count == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*paths)

os.replace = replace
paper.main(sys.argv[3:])
"""  # ends without a word where the sixth checkpoint would take its place: in the last of two epochs of the third model
MOODS = ("happy", "sad")


def tone(path: Path, seconds: float = 0.8) -> Path:
    """A tone in noise, another for every name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = sum(map(ord, path.stem))
    rng = np.random.default_rng(number)
    samples = np.sin(np.arange(int(seconds * 22050)) * (0.02 + number % 17 / 100)) + rng.normal(0, 0.1)
    soundfile.write(path, 0.3 * samples.astype(np.float32), 22050, format="MP3")
    return path


def songs(dataset: str) -> dict[str, str]:
    """{id: split} of the first songs of every split of the paper."""
    lists = json.loads((tiny.ROOT / "datasets_scripts" / "paper_splits.json").read_text())[dataset]
    return {str(song): split for split, count in SPLITS.items() for song in lists[split][:count]}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """DATA arguments of four archives."""
    root, patch = tmp_path_factory.mktemp("archives"), pytest.MonkeyPatch()
    rng = np.random.default_rng(0)
    patch.setattr(miniatures, "sound", tone)
    rated = {name: {song: rng.uniform(2, 8, 2).round(2) for song in songs(name)} for name in ("deam", "emomusic")}
    patch.setattr(miniatures, "DEAM", rated["deam"])
    sets = {song: "evaluation" if split == "test" else "development" for song, split in songs("emomusic").items()}
    patch.setattr(miniatures, "EMOMUSIC", {s: (*va, sets[s]) for s, va in rated["emomusic"].items()})
    miniatures.deam(root / "deam", dynamic=None)
    miniatures.emomusic(root / "emomusic")
    folder = root / "pmemo"
    rows = [(song, *rng.uniform(0.1, 0.9, 2).round(2)) for song in songs("pmemo")]
    miniatures.table(folder / "annotations" / "static_annotations.csv", "musicId,Arousal(mean),Valence(mean)", rows)
    names = [(song, f"{song}.mp3", "T", f"A {song}", "B", 0.8) for song, *_ in rows]
    miniatures.table(folder / "metadata.csv", "musicId,fileName,title,artist,album,duration", names)
    for song, *_ in rows:
        tone(folder / "chorus" / f"{song}.mp3")
    jamendo(root / "mtg-jamendo")
    patch.undo()
    return [f"{name}={root / name}" for name in tables.PAPER_TRACKS]


def jamendo(folder: Path) -> None:
    lists, number = folder / "data" / "splits" / "split-0", 0
    lists.mkdir(parents=True)
    for split, count in SPLITS.items():
        lines = ["TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"]
        for _ in range(count):
            number += 1
            tag = f"mood/theme---{MOODS[number % 2]}"
            lines.append(f"track_{number}\tartist_{number}\talbum_1\t0{number % 10}/{number}.mp3\t0.8\t{tag}")
            tone(folder / "audio" / f"0{number % 10}" / f"{number}.mp3")
        (lists / f"autotagging_moodtheme-{split}.tsv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def command(archives, tmp_path_factory):
    """What runs the benchmark, and the folder of its results; `run.arguments` are those that it adds."""
    work, patch = tmp_path_factory.mktemp("paper"), pytest.MonkeyPatch()
    (work / "mert").mkdir()
    for name, content in tiny.published_mert(width=48).items():
        (work / "mert" / name).write_bytes(content)
    tiny.pipeline().processor.chord_recognizer.save_pretrained(work)
    patch.setattr(training_model, "RESAMPLES", 2)
    encoder = json.dumps({"id": str(work / "mert"), "layers": [6, 7]})
    places = ["--data", *archives, "--out", str(work / "out"), "--features", str(work / "features")]
    places += ["--chords", str(work)]
    settings = ["--encoder", encoder, "--resamples", "10", "--set", "training.epochs=2"]

    def run(*more):
        paper.main([*places, *settings, *more])

    run.arguments = [*places, *settings]
    yield run, work / "out" / "paper"
    patch.undo()


def test_the_tables_of_miniature_archives(command, monkeypatch, capsys):
    run, out = command
    with pytest.raises(SystemExit, match=r"labels of 6 tracks, not 744.*skip what is missing \(--partial\)\."):
        run("--plan")
    run("--partial", "--plan")
    planned = capsys.readouterr().out
    assert "| model | J+D+E+P | 8 tracks, 2 epochs, 1 of 1 seeds to do |" in planned and not out.exists()
    assert "| features | MTG-Jamendo | 6 tracks, 6 to do |" in planned

    trained, real = [], paper.train_model

    def interrupted(recipe, data, folder, run):
        trained.append(recipe.name)
        if len(trained) == 6:
            raise KeyboardInterrupt
        real(recipe, data, folder, run)

    monkeypatch.setattr(paper, "train_model", interrupted)
    with pytest.raises(SystemExit, match="the same command resumes"):
        run("--partial")
    assert not (out / "tables.md").exists()
    run("--partial")
    assert trained.count("paper-J") == 1 and trained.count(trained[5]) == 2 and len(trained) == 18
    assert "| model | J | 2 tracks, 2 epochs, 0 of 1 seeds to do | 0.00 |" in capsys.readouterr().out

    text, content = (out / "tables.md").read_text(), json.loads((out / "tables.json").read_text())
    for title in ("Table I: ", "Table II: ", "Table III: ", "Table IV: ", "Students "):
        assert f"## {title}" in text
    assert "| MTG-Jamendo | 9,949 / 3,802 / 4,231 | 2 / 1 / 3 |" in text and "| lileonardo (quoted) |" in text
    assert len(content["tables"]["II"]["rows"]) == 24 and len(content["tables"]["III"]["rows"]) == 28
    assert {"claim", "paper", "ours", "interval", "verdict"} <= content["tables"]["III"]["claims"][0].keys()

    student = out / "models" / "J+D+E+P-seed0"
    for name in ("model.safetensors", "README.md", "card.json", "evaluation.json", "training.jsonl", "tensorboard"):
        assert (student / name).exists()
    taught, plain = (
        paper.loaded(out / "models" / name, "mtg-jamendo")[1].moods
        for name in ("J+D+E+P-seed0", "J+D+E+P-undistilled-seed0")
    )
    assert taught.shape == plain.shape and not np.array_equal(taught, plain)
    card = (student / "README.md").read_text()
    assert "Distillation (paper)" in card and "protocol" in card.lower()
    before = text
    run("--partial")
    assert len(trained) == 18 and (out / "tables.md").read_text() == before


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_is_resumed(command, tmp_path):
    run, out = command
    run("--partial", "--only", "IV")  # undisturbed; after the tables above, all models are there
    again = ["--partial", "--only", "IV", "--out", str(tmp_path)]
    script = [sys.executable, "-c", KILLED, str(tiny.ROOT), str(tiny.ROOT / "benchmarks")]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # the order of sums is part of a result
    ended = subprocess.run([*script, *run.arguments, *again], env=os.environ | threads, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    models = tmp_path / "paper" / "models"
    done = {path.parent.name for path in models.glob("*/predictions.npz")}
    assert done < {path.name for path in models.iterdir()} and list(models.rglob("*.partial"))
    run(*again)
    for name in ("J-seed0", "E-seed0", "J+D+E+P-seed0"):
        file = Path("models", name, "predictions.npz")
        assert (out / file).read_bytes() == (tmp_path / "paper" / file).read_bytes()
    for name in ("tables.md", "tables.json"):
        assert (out / name).read_bytes() == (tmp_path / "paper" / name).read_bytes()


def test_published_predictions_are_scored(command, tmp_path):
    """After the tables above, whose models are used."""
    run, out = command
    labels, _, moods = paper.loaded(out / "models" / "J+D+E+P-seed0", "mtg-jamendo")
    assert moods == sorted(MOODS) and labels.moods.shape == (SPLITS["test"], 2)
    np.save(tmp_path / "groundtruth.npy", labels.moods)
    for name in ("baseline_vggish", "lileonardo"):
        np.save(tmp_path / f"{name}_predictions.npy", np.random.default_rng(0).random(labels.moods.shape))
    run("--partial", "--only", "IV", "--mediaeval", str(tmp_path))
    text = (out / "tables.md").read_text()
    assert "| lileonardo |" in text and "| SELAB-HCMUS (quoted) |" in text and "| J+D+E+P > lileonardo |" in text
    np.save(tmp_path / "groundtruth.npy", 1 - labels.moods)
    with pytest.raises(SystemExit, match="other tracks or tags than the test split here"):
        run("--partial", "--only", "IV", "--mediaeval", str(tmp_path))


def test_one_table_of_another_protocol(command):
    run, out = command
    run("--partial", "--protocol", "clean", "--only", "I")
    assert not (out.parent / "clean" / "models").exists()
    assert "Protocol clean" in (out.parent / "clean" / "tables.md").read_text()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--encoder", "none.yaml"], "none.yaml cannot be read"),
        (["--encoder", "mert"], "neither JSON nor a recipe"),
    ],
)
def test_faults_end_in_one_sentence(command, more, expected):
    run, _ = command
    with pytest.raises(SystemExit, match=expected):
        run(*more)


def test_all_data_sets_are_needed(tmp_path):
    with pytest.raises(SystemExit, match="trained on emomusic, mtg-jamendo, pmemo too"):
        paper.main(["--data", "deam=x", "--out", str(tmp_path)])


def test_an_encoder_of_a_recipe():
    encoder = paper.encoder_of(str(tiny.ROOT / "configuration" / "clap.yaml"))
    assert encoder["id"] == "laion/larger_clap_music"
