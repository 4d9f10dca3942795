"""The notebook of a model repository: runs from top to bottom, with the model in the package in place of the hub."""

import json
import sys
from types import ModuleType

import pytest
import tiny

from m2e.checkpoints.load import embedded_model
from m2e.publish.card import PACKAGES
from m2e.publish.notebook import colab, notebook

CLIP = "examples/entertainer.ogg"


@pytest.fixture(scope="module")
def cells() -> list[dict]:
    content = json.loads(notebook("m2e-small", "me/m2e-small", PACKAGES, CLIP))
    assert (content["nbformat"], content["metadata"]["kernelspec"]["name"]) == (4, "python3")
    return content["cells"]


def test_it_is_a_notebook(cells):
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.reads(notebook("m2e-small", "me/m2e-small", PACKAGES, CLIP).decode(), as_version=4))


def test_it_installs_what_the_code_of_the_repository_needs(cells):
    install = "".join(cells[1]["source"])
    assert install.startswith("%pip install -q ") and set(PACKAGES.split()) < set(install.split())


def test_it_runs(cells, monkeypatch, tmp_path):
    import huggingface_hub
    import transformers

    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    pytest.importorskip("modeling_m2e")
    make, asked = transformers.pipeline, []

    def pipeline(task, model, trust_remote_code):
        asked.append((task, model, trust_remote_code))
        return make(task, model=str(embedded_model()))

    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.version_info, display.Audio = (9, 0), asked.append  # matplotlib asks for the version
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(transformers, "pipeline", pipeline)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repo, name: str(tiny.ROOT / name))
    monkeypatch.chdir(tmp_path)
    shared = {}
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and not source.startswith("%"):
            exec(compile(source, "cell", "exec"), shared)
    assert asked == [("music-emotion", "me/m2e-small", True), str(tiny.ROOT / CLIP)]
    assert shared["record"].quadrant == "Q1" and "<svg" in shared["record"]._repr_html_()
    assert (tmp_path / "emotion.pdf").stat().st_size > 1000 and len(shared["records"]) == 1


def test_colab_opens_it():
    assert colab("me/x") == (
        "https://colab.research.google.com/#fileId=https://huggingface.co/me/x/blob/main/notebook.ipynb"
    )
