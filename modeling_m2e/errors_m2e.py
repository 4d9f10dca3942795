"""The errors that a user can mend: each message is one sentence, which names the source and says what to do."""

import pickle
import struct


class M2EError(ValueError):
    """Base of all errors of this project that are no bugs."""


class AudioError(M2EError):
    """Audio cannot be used: missing, unreadable, cut off, empty, too short, silent or not finite."""


class ModelError(M2EError):
    """A model, an encoder, a chord recogniser or a checkpoint of one cannot be loaded or used."""


class DataError(M2EError):
    """A data set, its labels or its cached features cannot be used."""


# What PyTorch's unpickler raises for bytes that are no pickle, for damaged files and for objects that it refuses.
UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its type where the message is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def reason(error: BaseException) -> str:
    """`first_line` without its full stop, for use inside another sentence."""
    return first_line(error).rstrip(".")
