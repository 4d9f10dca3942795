"""notebook.ipynb of a model repository: the hub's button for Colab opens it. It needs nothing but the repository."""

import json
from collections.abc import Sequence

INTRODUCTION = """# {name}

Predicts the emotion of a track: moods, valence and arousal over time, key and chords. Run the cells from top to bottom.
The model card is at [{repo}](https://huggingface.co/{repo})."""
INSTALL = "%pip install -q {packages} pandas matplotlib"
LOAD = """from transformers import pipeline

pipe = pipeline("music-emotion", model="{repo}", trust_remote_code=True)"""
PREDICT = """from huggingface_hub import hf_hub_download

track = hf_hub_download("{repo}", "{clip}")
record = pipe(track)
record"""
LISTEN = """from IPython.display import Audio

Audio(track)"""
TABLE = """record.to_pandas("curve")"""
PLOT = """figure = record.plot("emotion.pdf")
figure"""
OWN = """## Your own music

Upload files on the left (the folder), and list their names. A file that cannot be read becomes a row with its error."""
SEVERAL = """import pandas

tracks = [track]  # ["song.mp3", "another.flac"]
records = pipe(tracks, errors="record")
pandas.concat([each.to_pandas() for each in records])"""


def notebook(name: str, repo: str, packages: str, clip: str) -> bytes:
    """The notebook of an emotion model.

    name: of the model.  repo: its hub id.  packages: that its code imports.  clip: a sample track in the repository.
    """
    words = {"name": name, "repo": repo, "packages": packages, "clip": clip}
    code = [text.format(**words) for text in (INSTALL, LOAD, PREDICT, LISTEN, TABLE, PLOT)]
    cells = [_cell("markdown", INTRODUCTION.format(**words)), *(_cell("code", text) for text in code)]
    cells += [_cell("markdown", OWN), _cell("code", SEVERAL)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {"cells": cells, "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}}}
    return (json.dumps(content | {"nbformat": 4, "nbformat_minor": 5}, indent=1, ensure_ascii=False) + "\n").encode()


def colab(repo: str) -> str:
    """The address that opens the notebook of a repository in Colab."""
    return f"https://colab.research.google.com/#fileId=https://huggingface.co/{repo}/blob/main/notebook.ipynb"


def _cell(kind: str, text: str) -> dict[str, object]:
    lines: Sequence[str] = text.splitlines(keepends=True)
    cell: dict[str, object] = {"cell_type": kind, "metadata": {}, "source": lines}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})
