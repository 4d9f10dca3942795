"""All errors that a user can fix. Each is an `M2EError` whose message is one sentence that says what to do.

Commands catch only `M2EError`. Every other exception is a bug and shows its traceback.
"""

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modeling_m2e.errors_m2e import AudioError, DataError, M2EError, ModelError, first_line, reason
else:
    # Load the module without its package, which imports torch: commands first check their arguments.
    _NAME, _FILE = "modeling_m2e.errors_m2e", Path(__file__).parent.parent / "modeling_m2e" / "errors_m2e.py"
    if _NAME not in sys.modules:
        _spec = importlib.util.spec_from_file_location(_NAME, _FILE)
        sys.modules[_NAME] = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(sys.modules[_NAME])
    _errors = sys.modules[_NAME]
    AudioError, DataError, M2EError = _errors.AudioError, _errors.DataError, _errors.M2EError
    ModelError, first_line, reason = _errors.ModelError, _errors.first_line, _errors.reason

__all__ = [
    "AudioError",
    "DataError",
    "LibraryError",
    "M2EError",
    "ModelError",
    "PublishError",
    "TrainingError",
    "UsageError",
    "WorkerError",
    "first_line",
    "reason",
]


class UsageError(M2EError):
    """An argument, an option or an output file cannot be used."""


class WorkerError(M2EError):
    """A worker process died."""


class LibraryError(M2EError):
    """The database of a library cannot be used: missing, newer, damaged, locked, or its disk is full."""


class TrainingError(M2EError):
    """A recipe, a setting or a checkpoint of a training run cannot be used."""


class PublishError(M2EError):
    """A model folder cannot be published."""
