"""The model package without what only training needs: a command answers more than a second sooner, in less memory.

transformers imports PyTorch's compiler (`torch._dynamo`) and its distributed tensors together with its model class.
Nothing that predicts on one device uses them, and they take as long to import as all else. It imports scipy and
accelerate, too, where they are installed: 50 MB. And it reads the source of all of its models twice, to learn their
names.
"""

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
HEAVY = COMPILER, "transformers.modeling_utils"
EXTRAS = "is_scipy_available", "is_accelerate_available"


def import_lightly(module: str) -> ModuleType:
    """The imported `module`.

    For the processes of commands only, not for those of users of the library: transformers can neither compile nor
    distribute anything afterwards.
    """
    if any(name in sys.modules for name in HEAVY):
        return importlib.import_module(module)
    gc.disable()  # hundreds of thousands of objects are made, and none of them is garbage
    try:
        with _without_compiler(), _without_extras(), _models_listed_once():
            return importlib.import_module(module)
    except (AttributeError, ImportError):  # a version of transformers that needs more of the compiler
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _without_compiler() -> Iterator[None]:
    """While the block runs, the compiler is a stand-in whose decorators change nothing, and PyTorch says that it was
    built without distribution."""
    import torch

    distributed = torch.distributed.is_available
    stand_in = ModuleType(COMPILER)
    for decorator in ("allow_in_graph", "assume_constant_result", "disable"):
        setattr(stand_in, decorator, _unchanged)
    sys.modules[COMPILER] = vars(torch)["_dynamo"] = stand_in
    vars(torch.distributed)["is_available"] = lambda: False
    try:
        yield
    finally:
        vars(torch.distributed)["is_available"] = distributed
        del vars(torch)["_dynamo"], sys.modules[COMPILER]  # an import from now on finds the real one


@contextmanager
def _without_extras() -> Iterator[None]:
    """While the block runs, transformers takes scipy and accelerate as not installed: it has them for the losses of
    object detection and for models that one device cannot hold."""
    from transformers import utils

    originals = {name: vars(utils)[name] for name in EXTRAS}
    vars(utils).update(dict.fromkeys(EXTRAS, lambda: False))
    try:
        yield
    finally:
        vars(utils).update(originals)


@contextmanager
def _models_listed_once() -> Iterator[None]:
    """While the block runs, `transformers.models` takes the names of its content from what `transformers` has found."""
    import transformers
    from transformers.utils import import_utils

    models = Path(transformers.__file__).parent / "models"
    original = import_utils.define_import_structure

    def define_import_structure(path: str, prefix: str | None = None) -> dict[frozenset[str], dict[str, set[str]]]:
        if prefix is not None or Path(path) != models / "__init__.py":
            return original(path, prefix=prefix)
        known = original(models, prefix="models").items()  # kept since the first time
        return {
            needed: {name.removeprefix("models."): names[name] for name in names if name.startswith("models.")}
            for needed, names in known
        }

    vars(import_utils)["define_import_structure"] = define_import_structure
    try:
        yield
    finally:
        vars(import_utils)["define_import_structure"] = original


def _unchanged(function: Any = None, *args: Any, **kwargs: Any) -> Any:
    """A decorator, with or without arguments, that gives the function itself."""
    return function if callable(function) else _unchanged
