"""The files of a Space: the folder of its app and, where no version of m2e is pinned, a wheel of this checkout."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from m2e.errors import PublishError
from m2e.publish.repository import INSTALLED, Repository

UNPINNED = re.compile(r"^m2e(\[[\w,]+\])?[ \t]*(?=#|$)", re.MULTILINE)  # a line of requirements.txt
NEEDED = ("README.md", "app.py", "requirements.txt")
# What a wheel is built from; setup.cfg says what of it goes in.
SOURCES = ("m2e", "modeling_m2e", "datasets_scripts", "beetsplug", "examples", "setup.cfg", "pyproject.toml")
TEXTS = ("README.md", "LICENSE", "NOTICE")
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
BUILD_SECONDS = 600
SAME_TIME = "315532800"  # 1980, of all files in a wheel: the same sources make the same wheel


def space(folder: str | Path, repo: str, scratch: Path, model: str | None = None) -> Repository:
    """The files of the Space `repo`: those of `folder`, and a wheel of m2e if its requirements pin no version.

    The wheel is named by its address in the Space: when requirements are installed its files are not there yet.
    scratch: an empty folder.  model: hub id of a model to link to.
    Raises PublishError for a folder without a Gradio app.
    """
    folder = Path(folder)
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise PublishError(f"{folder} is not a Space: it lacks {', '.join(missing)}; give the folder of a Gradio app.")
    files = _tree(folder) | {"README.md": _front_matter(folder / "README.md", model).encode()}
    requirements = (folder / "requirements.txt").read_text(encoding="utf-8")
    if UNPINNED.search(requirements):
        wheel = build_wheel(INSTALLED, scratch)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()  # new contents: new requirements, no cached image
        address = f"https://huggingface.co/spaces/{repo}/resolve/main/{wheel.name}#sha256={digest}"
        named = UNPINNED.sub(lambda line: f"m2e{line[1] or ''} @ {address}", requirements)
        files |= {wheel.name: wheel, "requirements.txt": named.encode()}
    return dict(sorted(files.items()))


def brings_wheel(files: Repository) -> bool:
    return any(name.endswith(".whl") for name in files)


def build_wheel(root: Path, scratch: Path) -> Path:
    """The wheel of the checkout `root`, built in `scratch`: old builds in the checkout do not get into it."""
    if not (root / "setup.cfg").is_file():
        raise PublishError(f"{root} has no setup.cfg: publish from a checkout of the project.")
    sources, built = scratch / "sources", scratch / "wheel"
    sources.mkdir(parents=True)
    built.mkdir()
    for name in (*SOURCES, *TEXTS):
        path = root / name
        if path.is_dir():
            shutil.copytree(path, sources / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(path, sources / name)
    command = [sys.executable, "-c", BUILD, str(built)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": SAME_TIME}
    done = subprocess.run(
        command, cwd=sources, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    wheels = list(built.glob("*.whl"))
    if done.returncode or not wheels:
        why = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise PublishError(f'No wheel could be built ({why}): pip install "setuptools>=77".')
    return wheels[0]


def _front_matter(readme: Path, model: str | None) -> str:
    """The README with the tag of the project, and with the model among those that it names."""
    from huggingface_hub import SpaceCard
    from yaml import YAMLError

    try:
        front = SpaceCard(readme.read_text(encoding="utf-8"))
    except (ValueError, YAMLError) as error:
        raise PublishError(f"{readme} has no readable front matter: check its YAML.") from error
    if front.data.get("sdk") != "gradio":
        raise PublishError(f"{readme} has no sdk: gradio in its front matter: add it.")
    for key, value in (("tags", "m2e"), ("models", model)):
        listed = front.data.get(key) or []
        if value and value not in listed:
            front.data[key] = [*listed, value]
    return str(front)


def _tree(folder: Path) -> Repository:
    named = ((path, path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {
        name.as_posix(): path
        for path, name in named
        if name.suffix not in (".pyc", ".pyo") and not any(part.startswith((".", "__pycache__")) for part in name.parts)
    }
