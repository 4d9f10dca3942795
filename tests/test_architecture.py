"""The rooms of the house: who imports whom, how large they are, and the words they use.

The imports are read from the source, so that nothing has to be installed. Imports inside functions count, those under
`if TYPE_CHECKING:` do not. `m2e/datasets` is a link to `datasets_scripts`; both names mean `m2e.datasets` here.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("train", "push_to_hub")
# Room -> rooms of m2e that it may import. Every room may import itself and modeling_m2e.
BASE = {"errors", "storage"}
ALLOWED = {
    "errors": set(),
    "storage": {"errors"},
    "inputs": BASE | {"remote"},
    "remote": BASE,
    "views": BASE,
    "terminal": BASE | {"views"},
    "workers": BASE | {"inputs"},
    "checkpoints": BASE,
    "batch": BASE | {"checkpoints", "inputs", "remote", "workers"},
    "datasets": BASE | {"checkpoints", "inputs", "remote"},  # taggers as teachers of the encoder; what is audio, where
    "features": BASE | {"checkpoints", "inputs", "remote", "workers"},
    "evaluation": BASE | {"checkpoints", "datasets", "features"},
    "library": BASE | {"checkpoints", "inputs", "terminal", "views", "workers"},
    "publish": BASE | {"checkpoints", "datasets", "evaluation", "export"},  # which graphs go up with a model
    "training": BASE | {"checkpoints", "datasets", "features", "evaluation", "publish", "terminal"},
    "export": BASE,
    "space": BASE | {"checkpoints", "inputs", "views", "workers"},
}
ALLOWED["report"] = BASE | {"library"}
ALLOWED["serve"] = BASE | {"inputs", "library", "workers"}
ALLOWED["cli"] = set(ALLOWED) - {"training", "publish"}


# --- reading the imports ---


def module_name(path: Path) -> str:
    """Dotted name of a file of the house."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "datasets_scripts":
        parts[:1] = ["m2e", "datasets"]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def house() -> dict[str, Path]:
    """{module: file} of everything that is installed, and of the two scripts."""
    folders = [ROOT / name for name in ("modeling_m2e", "m2e", "datasets_scripts")]
    paths = {path for folder in folders for path in folder.rglob("*.py")}  # the link is read as datasets_scripts
    paths = {path for path in paths if not path.is_relative_to(ROOT / "m2e" / "datasets")}
    paths |= {ROOT / f"{name}.py" for name in SCRIPTS}
    return {module_name(path): path for path in sorted(paths)}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imported(source: str, module: str, is_package: bool, known: set[str]) -> set[str]:
    """Modules among `known` that the source text of `module` imports."""
    package = module if is_package else module.rpartition(".")[0]
    names = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                names.add(full if resolved(full) in known else base)
        for child in node.orelse if is_type_checking(node) else ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return {resolved(name) for name in names} & known - {module}


def resolved(name: str) -> str:
    """`datasets_scripts.x` is `m2e.datasets.x`."""
    return re.sub(r"^datasets_scripts\b", "m2e.datasets", name)


@cache
def graph() -> dict[str, set[str]]:
    """{module: modules of the house that it imports}."""
    known = set(house())
    return {
        name: imported(path.read_text(encoding="utf-8"), name, path.name == "__init__.py", known)
        for name, path in house().items()
    }


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of two or more modules that import each other, directly or through others (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(arrows[name]):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            at = stack.index(name)
            groups.append(sorted(stack[at:]))
            del stack[at:]

    for name in arrows:
        if name not in index:
            visit(name)
    return [group for group in groups if len(group) > 1]


def room(module: str) -> str:
    """`m2e.training.loop` -> `training`; modules outside of m2e by their first name; m2e itself is `m2e`."""
    first, *rest = module.split(".")
    return rest[0] if first == "m2e" and rest else first


def test_imports_are_read_wherever_they_stand():
    known = {"m2e", "m2e.a", "m2e.a.b", "m2e.a.c", "m2e.datasets.x", "m2e.t", "other"}
    source = """
from typing import TYPE_CHECKING
import numpy, m2e.a.b
from . import c
from ..a.b import name
from datasets_scripts import x
if TYPE_CHECKING:
    from m2e import t
else:
    import other
def function():
    from m2e.a import value
"""
    assert imported(source, "m2e.a.d", False, known) == {"m2e.a.b", "m2e.a.c", "m2e.datasets.x", "other", "m2e.a"}
    assert imported("from .b import x", "m2e.a", True, known) == {"m2e.a.b"}


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


# --- the rooms ---


def test_the_whole_house_is_read():
    assert {"m2e.cli", "m2e.datasets.deam", "m2e.training.loop", "modeling_m2e.modeling_m2e", "train"} <= set(house())
    assert "modeling_m2e.record_m2e" in graph()["modeling_m2e"]


def test_no_modules_import_each_other_in_a_circle():
    assert circles(graph()) == []


def test_no_rooms_import_each_other_in_a_circle():
    rooms: dict[str, set[str]] = {}
    for name, targets in graph().items():
        if name not in ("m2e", *SCRIPTS):  # m2e/__init__.py gives access to load() and load_chords()
            rooms.setdefault(room(name), set()).update(map(room, targets))
    assert circles({name: targets & set(rooms) - {name} for name, targets in rooms.items()}) == []


def test_the_model_package_imports_nothing_of_m2e():
    outside = {
        f"{name} -> {target}"
        for name, targets in graph().items()
        for target in targets
        if room(name) == "modeling_m2e" and room(target) != "modeling_m2e"
    }
    assert outside == set()


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_a_room_imports_only_the_rooms_below_it(name):
    allowed = ALLOWED[name] | {name, "modeling_m2e", "m2e"}
    arrows = {
        f"{module} -> {target}"
        for module, targets in graph().items()
        for target in targets
        if module.startswith("m2e.") and room(module) == name and room(target) not in allowed
    }
    assert arrows == set()


def test_every_room_has_its_rule():
    assert {room(name) for name in house() if name.startswith("m2e.")} == set(ALLOWED)


def test_few_modules_lie_directly_in_the_package():
    modules = sorted(path.name for path in (ROOT / "m2e").glob("*.py"))
    assert len(modules) <= 10, modules


@pytest.mark.parametrize("folder", ["m2e", "modeling_m2e", "datasets_scripts", "benchmarks", "examples", "tests", "."])
def test_no_file_is_above_400_lines(folder):
    paths = (ROOT / folder).glob("*.py") if folder == "." else (ROOT / folder).rglob("*.py")
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {path: number for path, number in lines.items() if number > 400} == {}


# --- the words ---

HEAR = re.compile(r"\bhear(s|d|ing)?\b|unheard", re.IGNORECASE)  # a program detects, predicts, reads


def texts() -> list[Path]:
    folders = ["m2e", "modeling_m2e", "datasets_scripts", "benchmarks", "configuration", "docs", "examples", "space"]
    paths = {path for folder in [*folders, "tests"] for path in (ROOT / folder).rglob("*")} | set(ROOT.iterdir())
    suffixes = (".py", ".md", ".yaml", ".css", ".js")
    return sorted(path for path in paths - {Path(__file__)} if path.suffix in suffixes and path.is_file())


def test_programs_do_not_hear():
    offenders = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()[:100]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if HEAR.search(line)
    ]
    assert offenders == []
