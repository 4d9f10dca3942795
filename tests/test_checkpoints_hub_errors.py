"""What hub, network and disk do, as sentences. Answers of a hub: see test_checkpoints_load and test_publish_upload."""

import errno

import httpx
import pytest

from m2e.checkpoints.hub_errors import explained
from m2e.errors import DataError, ModelError, PublishError

REPO = "me/tiny"
FULL = OSError(errno.ENOSPC, "No space left on device")
FULL_IN_RUST = RuntimeError("I/O error: No space left on device (os error 28)")
LOCKED = PermissionError(errno.EACCES, "Permission denied", "/locked/x")
READ_ONLY = OSError(errno.EROFS, "Read-only file system", "/locked/x")


def sentence(error: Exception, kind: type = ModelError) -> str:
    """What a library that wraps `error` in one of its own is turned into."""
    with pytest.raises(kind) as refused, explained(REPO, None, kind):
        raise ValueError("wrapped") from error
    assert type(refused.value) is kind and "\n" not in str(refused.value) and str(refused.value).endswith(".")
    return str(refused.value)


@pytest.mark.parametrize("kind", [ModelError, PublishError])
@pytest.mark.parametrize(
    ("error", "start"),
    [
        (FULL, "The disk is full: free some space in "),
        (FULL_IN_RUST, "The disk is full: free some space in "),
        (LOCKED, "/locked/x cannot be used (Permission denied)"),
        (READ_ONLY, "/locked/x cannot be used (Read-only file system)"),
    ],
)
def test_disk(kind, error, start):
    assert sentence(error, kind).startswith(start)


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (
            OSError("Consistency check failed: file should be of size 9"),
            "The download of me/tiny was interrupted (Consi",
        ),
        (httpx.ReadTimeout("timed out"), "The download of me/tiny was interrupted (timed out): try again."),
        (ConnectionResetError("reset"), "The download of me/tiny was interrupted (reset): try again."),
    ],
)
def test_download(error, start):
    assert sentence(error).startswith(start)


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (
            ConnectionResetError("reset by peer"),
            "The hub is out of reach (reset by peer): me/tiny is unchanged; run the",
        ),
        (
            httpx.ConnectError("refused"),
            "The hub is out of reach (refused): me/tiny is unchanged; run the same command",
        ),
        (RuntimeError("Error while uploading 'x' to the Hub."), "The upload was interrupted (Error while uploading"),
    ],
)
def test_upload(error, start):
    assert sentence(error, PublishError).startswith(start)


@pytest.mark.parametrize("kind", [ModelError, PublishError])
@pytest.mark.parametrize("bug", [KeyError("missing"), ValueError("a bug"), RuntimeError("a bug"), TypeError("a bug")])
def test_bugs_stay_visible(kind, bug):
    with pytest.raises(type(bug)) as error, explained(REPO, None, kind):
        raise bug
    assert error.value is bug


def test_sentences_pass():
    with pytest.raises(DataError, match="as it is"), explained(REPO):
        raise DataError("as it is")
