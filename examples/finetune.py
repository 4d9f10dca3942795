# %% [markdown]
# # A model of your own moods
#
# m2e-small, continued on a folder of audio with a table. Run as it is (`python examples/finetune.py`), it takes pieces
# of the clips in this folder with two moods that m2e-small does not have; give your own folder instead
# (`python examples/finetune.py FOLDER`) and nothing else has to change. Needs a checkout and `pip install ".[train]"`.

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
# `labels.csv`, one row per file. Columns: `file`, and any of `moods` (several, parted by `;`), `valence` and `arousal`
# (1-9, or another range that you name), `quadrant` (Q1-Q4); `artist` keeps an artist's files in one split, `split` says
# which one. Outputs without labels stay as those of m2e-small.


# %%
def pieces(folder: Path, seconds: float = 5.0) -> Path:
    """Pieces of the example clips, with moods of our own and a rough arousal."""
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


given = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
folder = Path(given[0]) if given else pieces(Path(tempfile.mkdtemp()))
print((folder / "labels.csv").read_text()[:300], "...")

# %% [markdown]
# ## 2. One command
#
# Features are computed once and cached in `runs/features`; the training itself takes seconds. `--set` changes any
# setting of the recipe. The same command resumes an interrupted run.

# %%
recipe = ROOT / "configuration" / "fine-tune.yaml"
command = [sys.executable, ROOT / "train.py", recipe, "--data", folder, "--out", OUT, "--set", "name=finetuned"]
subprocess.run([str(part) for part in command], check=True, cwd=Path.cwd())

# %% [markdown]
# ## 3. Predictions
#
# A model like any other: `m2e predict --model runs/finetuned song.mp3` does the same.

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
# ## 4. How good it is
#
# On the test split, with 95 % intervals, which are wide for few files. The pieces above are from three recordings, so
# that their scores mean nothing; your table should name artists.

# %%
for result in json.loads((OUT / "evaluation.json").read_text())["results"]:
    for name, score in result["scores"].items():
        low, high = result["intervals"].get(name, (None, None))
        if score is not None and low is not None:
            print(f"{name:20} {score:.3f}  ({low:.3f} - {high:.3f})")

# %% [markdown]
# ## 5. Give it away
#
# `python push_to_hub.py runs/finetuned --repo NAME/REPO` publishes weights, code and the card that training wrote.
