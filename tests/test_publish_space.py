"""The files of a Space: its app and a wheel, and nothing that it does not need."""

import hashlib
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import tiny

from m2e.errors import PublishError
from m2e.publish import space as module
from m2e.publish.space import brings_wheel, build_wheel, space

OWN = {"README.md", "app.py", "examples/song.ogg", "requirements.txt"}
FRONT = "---\ntitle: Emotions\nsdk: gradio\napp_file: app.py\n---\n\n# Emotions\n"


@pytest.fixture
def app(tmp_path) -> Path:
    folder = tmp_path / "space"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "examples").mkdir()
    for name in ("app.py", "examples/song.ogg", "__pycache__/app.pyc", ".secret"):
        (folder / name).write_bytes(b"#")
    (folder / "README.md").write_text(FRONT)
    (folder / "requirements.txt").write_text("# what m2e needs\ngradio\ntorch  # m2e\nm2e[demo]  # ours\n")
    return folder


@pytest.fixture
def wheel(monkeypatch, tmp_path) -> Path:
    """Stands for the wheel, which takes seconds to build."""
    path = tmp_path / "m2e-1.2-py3-none-any.whl"
    path.write_bytes(b"wheel")
    monkeypatch.setattr(module, "build_wheel", lambda root, scratch: path)
    return path


def test_a_space_brings_a_wheel_and_names_it_by_its_address(app, wheel, tmp_path):
    files = space(app, "me/m2e", tmp_path / "scratch", "me/m2e-small")
    assert set(files) == OWN | {wheel.name} and files[wheel.name] == wheel and brings_wheel(files)
    digest = hashlib.sha256(b"wheel").hexdigest()
    address = f"https://huggingface.co/spaces/me/m2e/resolve/main/{wheel.name}#sha256={digest}"
    assert files["requirements.txt"].decode().splitlines() == [
        "# what m2e needs",
        "gradio",
        "torch  # m2e",
        f"m2e[demo] @ {address}# ours",
    ]
    front = files["README.md"].decode()
    assert "models:\n- me/m2e-small\n" in front and "tags:\n- m2e\n" in front and front.endswith("# Emotions\n")


@pytest.mark.parametrize(
    "line", ["m2e==0.1.0", "m2e[demo]>=0.1", "m2e @ git+https://example.org/x", "git+https://a.org/b/m2e"]
)
def test_a_space_that_pins_a_version_brings_nothing(app, line, tmp_path):
    (app / "requirements.txt").write_text(f"# what m2e needs\ngradio\n{line}\n")
    files = space(app, "me/m2e", tmp_path / "scratch")
    assert set(files) == OWN and files["requirements.txt"] == app / "requirements.txt" and not brings_wheel(files)


def test_the_space_of_this_project_is_small(wheel, tmp_path):
    files = space(tiny.ROOT / "space", "me/m2e", tmp_path / "scratch")
    assert set(files) == {"README.md", "app.py", "packages.txt", "requirements.txt", wheel.name}
    assert b"sdk: gradio" in files["README.md"]


def test_the_wheel_holds_what_the_page_needs(tmp_path):
    pytest.importorskip("setuptools", "77", reason="wheels are built by setuptools 77")
    built = build_wheel(tiny.ROOT, tmp_path)
    with zipfile.ZipFile(built) as archive:
        names = set(archive.namelist())
        dates = {info.date_time for info in archive.infolist()}
    assert re.fullmatch(r"m2e-[\d.]+-py3-none-any\.whl", built.name) and len(dates) == 1
    assert {f"m2e/space/{name}" for name in ("app.py", "style.css", "results.js", "status.js")} <= names
    assert {f"m2e/space/examples/{name}" for name in ("README.md", "moonlight_sonata.ogg", "entertainer.ogg")} <= names
    assert {"m2e/models/m2e-small/model.safetensors", "modeling_m2e/pipeline_m2e.py"} <= names
    assert not [name for name in names if name.endswith(("make_examples.py", "finetune.py"))]


def test_a_build_that_fails_says_why(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nModuleNotFoundError: No module named 'setuptools'\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: failed)
    with pytest.raises(PublishError, match="No module named 'setuptools'.*pip install"):
        build_wheel(tiny.ROOT, tmp_path / "scratch")
    with pytest.raises(PublishError, match="has no setup.cfg: publish from a checkout"):
        build_wheel(tmp_path, tmp_path / "other")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("app.py", None, "is not a Space: it lacks app.py;"),
        ("README.md", "# no front matter", "has no sdk: gradio"),
        ("README.md", "---\nsdk: [\n---\n", "has no readable front matter"),
    ],
)
def test_folder_that_is_no_space(app, name, content, sentence, tmp_path):
    (app / name).unlink()
    if content is not None:
        (app / name).write_text(content)
    with pytest.raises(PublishError, match=sentence):
        space(app, "me/m2e", tmp_path / "scratch")
