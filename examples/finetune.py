# %% [markdown]
# # A model of your own moods
#
# Trains m2e-small further on a folder of audio with a table. `python examples/finetune.py` cuts the clips of this
# folder into pieces and gives them moods that m2e-small does not know. `python examples/finetune.py FOLDER` uses your
# own folder. Needs a checkout and `pip install ".[train]"`.

# %%
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import soundfile

ROOT = Path(__file__).resolve().parent.parent
OUT = Path("runs/finetuned")

# %% [markdown]
# ## 1. A folder and a table
#
# `labels.csv` has one row per file. Columns: `file`, and any of `moods` (several, separated by `;`), `valence` and
# `arousal` (1-9, or another range, which you name), `quadrant` (Q1-Q4). `artist` keeps the files of an artist in one
# split; `split` sets the split. Tasks without labels are distilled from m2e-small.


# %%
def pieces(folder: Path, seconds: float = 5.0) -> Path:
    """A folder with pieces of the example clips, our own moods, and arousal as we perceive it."""
    labels = {
        "moonlight_sonata": ("nocturnal", 3.0),
        "entertainer": ("silent film", 6.0),
        "mountain_king": ("silent film;chase", 7.5),
    }
    rows = []
    for name, (moods, arousal) in labels.items():
        audio, rate = soundfile.read(ROOT / "examples" / f"{name}.ogg")
        length = int(seconds * rate)
        for number in range(len(audio) // length):
            file = f"{name}_{number}.wav"
            soundfile.write(folder / file, audio[number * length : (number + 1) * length], rate)
            rows.append({"file": file, "moods": moods, "valence": 5.0, "arousal": arousal})
    with open(folder / "labels.csv", "w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return folder


given = [argument for argument in sys.argv[1:] if not argument.startswith("-") and "=" not in argument]
settings = [argument for argument in sys.argv[1:] if "=" in argument]  # of the recipe: training.epochs=10
folder = Path(given[0]) if given else pieces(Path(tempfile.mkdtemp()))
print((folder / "labels.csv").read_text()[:300], "...")

# %% [markdown]
# ## 2. One command
#
# Features are cached in `runs/features`; the training itself takes seconds. `--set` changes any number of the recipe.
# The same command resumes an interrupted run.

# %%
recipe = ROOT / "configuration" / "fine-tune.yaml"
command = [sys.executable, ROOT / "train.py", recipe, "--data", folder, "--out", OUT, "--set", "name=finetuned"]
command += settings
subprocess.run([str(part) for part in command], check=True, cwd=Path.cwd())

# %% [markdown]
# ## 3. Predict
#
# `m2e predict --model runs/finetuned song.mp3` does the same.

# %%
import m2e  # noqa: E402

predict = m2e.load(OUT)
with open(folder / "labels.csv", newline="") as file:
    rows = list(csv.DictReader(file))
for row in rows[:: max(1, len(rows) // 6)]:
    record = predict(str(folder / row["file"]))
    moods = ", ".join(f"{mood.label} {mood.score:.2f}" for mood in record.moods[:3])
    print(f"{row['file']:28} {moods:50} valence {record.valence:.1f} arousal {record.arousal:.1f}")

# %% [markdown]
# ## 4. Scores
#
# On the test split, with 95 % intervals, which are wide for few files. The pieces above come from three recordings, so
# their scores mean nothing. Name the artists in your table.

# %%
for result in json.loads((OUT / "evaluation.json").read_text())["results"]:
    for name, score in result["scores"].items():
        low, high = result["intervals"].get(name, (None, None))
        if score is not None and low is not None:
            print(f"{name:20} {score:.3f}  ({low:.3f} - {high:.3f})")

# %% [markdown]
# ## 5. Publish
#
# `python push_to_hub.py runs/finetuned --repo NAME/REPO` uploads weights, code and the card.
