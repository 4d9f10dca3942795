"""What is installed, and what the README promises about it."""

import ast
import configparser
import json
import re
import sys
from functools import cache
from importlib import import_module, metadata
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from scripts import module_at

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("m2e", "modeling_m2e")
NAMESPACES = {"beetsplug"}  # shared with other distributions: without __init__.py
TRAINING_FOLDERS = ("datasets_scripts", "benchmarks")
# Where the name of a module is not the name of its distribution.
MODULES = {"scikit-learn": "sklearn", "pyyaml": "yaml", "backports.zstd": "backports"}
LATER = {"compression"}  # in the standard library of later versions of Python
CLIPS = sorted((ROOT / "examples").glob("*.ogg"))


@cache
def setup() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def modules_of(requirements: str) -> set[str]:
    """Importable names of a multi-line requirement list."""
    names = [re.match(r"[\w.-]+", line)[0] for line in requirements.split("\n") if line]
    return {MODULES.get(name, name).replace("-", "_") for name in names}


def test_modules_of_a_requirement_list():
    assert modules_of("\ntorch>=2.6\nscikit-learn\nm2e[train]\npyyaml") == {"torch", "sklearn", "m2e", "yaml"}


# --- imports ---


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """(top-level name, line, whether it is optional: inside `try:`) of the absolute imports of a file."""
    found = []

    def visit(node: ast.AST, optional: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name.partition(".")[0], node.lineno, optional) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append((node.module.partition(".")[0], node.lineno, optional))
        for child in ast.iter_child_nodes(node):
            visit(child, optional or (isinstance(node, ast.Try) and child in node.body))

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return found


def undeclared(paths, declared: set[str]) -> list[str]:
    known = declared | set(sys.stdlib_module_names) | LATER | set(PACKAGES) | set(TRAINING_FOLDERS)
    return [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in paths
        for name, line, optional in imports(path)
        if name not in known and not optional
    ]


def extra(name: str) -> set[str]:
    return modules_of(setup()["options.extras_require"][name])


def test_what_predicts_needs_only_the_base_requirements():
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    lazy = set().union(
        *map(extra, ("train", "demo", "paper", "ray", "serve", "mcp", "onnx"))
    )  # imported when called for
    assert undeclared(paths, modules_of(setup()["options"]["install_requires"]) | lazy) == []


def module_file(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def imported_with(module: str) -> dict[str, str]:
    """{third-party name: module that imports it} of what importing `module` imports, its own packages followed."""
    found, seen, todo = {}, set(), [module]
    while todo:
        name = todo.pop()
        path = module_file(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        todo.append(package)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = f"{package}.{node.module}" if node.level else node.module
                targets = [base, *(f"{base}.{alias.name}" for alias in node.names)]
            else:
                continue
            for target in targets:
                top = target.partition(".")[0]
                if top in PACKAGES:
                    todo.append(target)
                elif top not in sys.stdlib_module_names:
                    found.setdefault(top, name)
    return found


@pytest.mark.parametrize(
    "module", ["m2e.cli.predict", "m2e.checkpoints.load", "m2e.views.records", "m2e.workers", "modeling_m2e"]
)
def test_nothing_beyond_the_base_requirements_is_imported_to_predict(module):
    imported = imported_with(module)
    base = modules_of(setup()["options"]["install_requires"])
    assert {name: by for name, by in imported.items() if name not in base} == {}


def test_imports_are_followed():
    assert {"torch", "transformers", "soundfile"} <= set(imported_with("modeling_m2e"))
    assert "torch" not in imported_with("m2e.cli.predict"), "the command line answers --help without loading torch"


def test_a_hub_repo_needs_no_more_than_the_base_requirements():
    """transformers refuses to load a repo whose code imports, outside of `try:`, what is not installed."""
    base = modules_of(setup()["options"]["install_requires"]) - {"typer", "rich"}
    assert undeclared(sorted((ROOT / "modeling_m2e").glob("*.py")), base - set(PACKAGES)) == []


def test_training_needs_only_the_train_extra():
    paths = [*ROOT.glob("*.py"), *(path for folder in TRAINING_FOLDERS for path in (ROOT / folder).glob("*.py"))]
    folders = (ROOT, ROOT / "benchmarks", ROOT / "benchmarks" / "reliability", ROOT / "tests")
    scripts = {path.stem for folder in folders for path in folder.glob("*.py")}  # they import each other
    base = modules_of(setup()["options"]["install_requires"])
    drawn = {"matplotlib"}  # for plots only
    assert undeclared(paths, base | extra("train") | scripts | drawn) == []


# --- the flat package ---


def test_the_model_package_is_flat():
    folders = {path.name for path in (ROOT / "modeling_m2e").iterdir() if path.is_dir()}
    assert {name for name in folders if not name.startswith(".")} <= {"__pycache__"}


@pytest.mark.parametrize("path", sorted((ROOT / "modeling_m2e").glob("*.py")), ids=lambda path: path.name)
def test_relative_imports_can_be_copied_to_a_hub_repo(path):
    """transformers copies what the regular expression finds, in docstrings too, as files of the same folder."""
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"^\s*from \.(\S+) import", text, re.MULTILINE))
    named |= set(re.findall(r"^\s*import \.(\S+)\s*$", text, re.MULTILINE))
    assert {name for name in named if not (path.parent / f"{name}.py").is_file()} == set()
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1 and node.module, f"line {node.lineno}: `from . import x` is not copied"
            assert "." not in node.module, f"line {node.lineno}: there are no sub-packages"
    assert {name for name, _, _ in imports(path)}.isdisjoint(PACKAGES), "absolute imports of the own package"


# --- one version, one set of commands ---


def test_the_version_has_one_source():
    assert setup()["metadata"]["version"] == "attr: m2e.__version__"
    source = (ROOT / "m2e" / "__init__.py").read_text(encoding="utf-8")
    # A plain string: setuptools reads it without importing m2e.
    version = re.search(r'^__version__ = "([\d.]+)"$', source, re.MULTILINE)[1]
    assert import_module("m2e").__version__ == version
    for name, pattern in (("CHANGELOG.md", r"^## \[(.+?)\]"), ("CITATION.cff", r"^version: (.+)$")):
        assert re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)[1] == version


def test_the_installed_version_is_this_one():
    try:
        installed = metadata.version("m2e")
    except metadata.PackageNotFoundError:
        pytest.skip("m2e is not installed")
    assert installed == import_module("m2e").__version__


def test_the_console_script_exists():
    name, _, target = setup()["options.entry_points"]["console_scripts"].strip().partition(" = ")
    module, _, function = target.partition(":")
    assert name == "m2e" and callable(getattr(import_module(module), function))


def test_every_package_is_packed_once():
    folders = [path.parent for name in PACKAGES for path in (ROOT / name).rglob("__init__.py")]
    folders += [path.parent for path in (ROOT / "m2e" / "datasets").rglob("__init__.py")]  # behind a link
    names = {".".join(path.relative_to(ROOT).parts) for path in folders}
    listed = setup()["options"]["packages"].split()
    assert sorted(names | NAMESPACES) == sorted(listed)
    assert not any((ROOT / name / "__init__.py").exists() for name in NAMESPACES)
    assert (ROOT / "m2e" / "datasets").resolve() == ROOT / "datasets_scripts"


def test_the_oldest_versions_are_those_of_the_requirements():
    pinned = dict(re.findall(r"^([\w.-]+)==([\d.]+)$", (ROOT / ".github" / "oldest.txt").read_text(), re.MULTILINE))
    extras = setup()["options.extras_require"]
    lines = "\n".join([setup()["options"]["install_requires"], extras["demo"]])
    bounds = dict(re.findall(r"^([\w.-]+)>=([\d.]+)", lines, re.MULTILINE))

    def parts(version: str) -> list[int]:
        numbers = [int(part) for part in version.split(".")]
        return [*numbers, 0, 0][:3]

    assert {name: parts(version) for name, version in pinned.items()} == {n: parts(v) for n, v in bounds.items()}


def test_the_embedded_checkpoint_is_packed():
    patterns = setup()["options.package_data"]["m2e"].split()
    package = ROOT / "m2e"
    packed = {path for pattern in patterns for path in package.glob(f"{pattern}/*") if path.is_file()}
    assert {path for path in (package / "models").rglob("*") if path.is_file()} <= packed
    names = {path.name for path in packed if path.parent.name == "m2e-small"}
    assert names >= {"config.json", "model.safetensors", "card.json"}


def readme_commands() -> list[str]:
    """The shell commands of the two sections that must work as printed, one by one."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [
        re.search(rf"^## {title}$.*?```bash\n(.*?)```", text, re.DOTALL | re.MULTILINE)
        for title in ("Try it", "Develop")
    ]
    return [command for block in blocks for line in block[1].splitlines() for command in line.split(" && ")]


def test_ci_runs_the_commands_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    # The script works from other folders: the same commands with full paths.
    script = re.sub(r'"\$(?:root|work)/([^"]*)"', r"\1", script)
    lines = [line.strip() for line in script.splitlines()]
    commands = readme_commands()
    assert len(commands) == 7
    positions = [
        next((i for i, line in enumerate(lines) if re.match(re.escape(c) + r"(\s|$)", line)), None) for c in commands
    ]
    assert None not in positions, dict(zip(commands, positions, strict=True))
    assert positions == sorted(positions)


def test_the_command_line_is_as_the_readme_says():
    from typer.main import get_command

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text += (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    commands = get_command(import_module("m2e.cli").app).commands
    assert set(re.findall(r"^\| `m2e (\w+)", text, re.MULTILINE)) == set(commands)
    named = set(re.findall(r"(?<=`)--[\w-]+", text)) - {"--index-url"}
    params = [option for command in commands.values() for option in command.params]
    options = {name for option in params for name in (*option.opts, *option.secondary_opts)}
    options |= {
        "--collection",
        "--dry-run",
        "--private",
        "--revision",
        "--license",
        "--space",
        "--repo",
    }  # of push_to_hub.py, see its tests
    assert len(named) > 5 and named <= options


DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def headings(path: Path) -> set[str]:
    """Anchors of the headings of a Markdown file, as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_links_of_a_document_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    broken = []
    for link in links:
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.is_file() or (anchor and anchor not in headings(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_modules_that_a_document_names_exist(document):
    names = set(re.findall(r"[\w./-]+\.(?:py|yaml)\b", document.read_text(encoding="utf-8")))
    names = {name.removeprefix("../") for name in names}
    folders = [*PACKAGES, *NAMESPACES, *TRAINING_FOLDERS, ".ci", "configuration", "docker", "examples", "tests"]
    files = {str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*.*")}
    files |= {path.name for path in ROOT.iterdir()}
    real = {name for name in names if not re.search(r"[A-Z]", name) and "scripts/download" not in name}
    assert {name for name in real if not any(f"/{file}".endswith(f"/{name}") for file in files)} == set()


def test_the_readme_is_short_and_links_the_documents():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 285
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"](docs/{path.name})" not in text] == []
    assert "](LICENSE)" in text


# --- what is published ---


def text_files() -> list[Path]:
    folders = [*PACKAGES, *TRAINING_FOLDERS, ".ci", ".github", "configuration", "docs", "examples", "space", "tests"]
    suffixes = {".py", ".md", ".cfg", ".toml", ".yaml", ".yml", ".json", ".txt", ".in", ".csv", ""}
    paths = [*ROOT.iterdir(), *(path for folder in folders for path in (ROOT / folder).rglob("*"))]
    caches = re.compile(r"__pycache__|\.(?!ci$|github$)")
    hidden = {path for path in paths if any(caches.match(part) for part in path.relative_to(ROOT).parts[:-1])}
    hidden.add(ROOT / ".git")  # a file in a worktree
    return [path for path in paths if path.is_file() and path.suffix in suffixes and path not in hidden]


def test_no_file_names_a_place_on_one_machine():
    place = re.compile(r"(?<![\w./$}~-])/(?:work|tmp|home|root|Users|mnt)/\w")
    assert place.search("open('" + "/tmp" + "/x.wav')") and not place.search("https://example.org/home/x")
    paths = text_files()
    assert ROOT / "setup.cfg" in paths and ROOT / "m2e" / "__init__.py" in paths
    offenders = []
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if place.search(line):
                offenders.append(f"{path.relative_to(ROOT)}:{number} {line.strip()[:80]}")
    assert offenders == []


def test_licences_travel_with_the_weights():
    musicnn = (ROOT / "m2e" / "publish" / "notices" / "LICENSE-musicnn.md").read_text(encoding="utf-8")
    assert "Jordi Pons" in musicnn and "this permission notice appear in all copies" in musicnn
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_no_weights_of_others_are_in_the_package():
    models = ROOT / "m2e" / "models"
    assert {path.name for path in models.iterdir()} == {"m2e-small", "m2e-encoder"}
    kinds = {json.loads(path.read_text())["model_type"] for path in models.rglob("config.json")}
    assert kinds == {"m2e", "m2e-encoder", "m2e-btc"}


# --- the example clips ---


def test_there_are_clips_and_they_are_documented():
    table = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert len(CLIPS) >= 3
    assert [clip.name for clip in CLIPS if f"| {clip.name} |" not in table] == []


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.stem)
def test_a_clip_is_short_whole_and_not_clipped(clip):
    assert clip.stat().st_size < 250_000
    samples, rate = sf.read(clip, always_2d=True)
    assert 10 <= len(samples) / rate <= 35
    assert 0.5 < np.abs(samples).max() < 0.99
    seconds = samples[: len(samples) // rate * rate].reshape(-1, rate, samples.shape[1])
    loudness = np.sqrt((seconds**2).mean((1, 2)))
    assert loudness[:-2].min() > 0.01  # the last two may be the fading room


def clip_notes():
    pytest.importorskip("pretty_midi", reason='pretty_midi is in the extra "train"')
    return module_at(ROOT / "examples" / "make_examples.py")


def test_clips_are_what_their_notes_say():
    notes = clip_notes()
    assert {piece.name for piece in notes.PIECES} == {clip.stem for clip in CLIPS}
    for piece in notes.PIECES:
        midi = notes.to_midi(piece)
        length = sf.info(ROOT / "examples" / f"{piece.name}.ogg").duration
        assert length == pytest.approx(midi.get_end_time() + notes.TAIL_SECONDS, abs=0.05)
        for section in piece.sections:
            lengths = {notes.parse(part.notes)[1] for part in section.parts}
            assert len(lengths) == 1, f"the parts of {piece.name} differ in length: {lengths}"


def test_the_notation_of_the_clips():
    notes = clip_notes()
    parsed, length = notes.parse("(C4+E4/2 r/.5)*2 | A3/1:3 G3")
    assert [(float(start), pitch) for start, _, pitch in parsed[:4]] == [(0, 60), (0, 64), (2.5, 60), (2.5, 64)]
    assert parsed[-2][1] * 3 == 1 and parsed[-1][2] == 55
    assert length * 3 == 17
