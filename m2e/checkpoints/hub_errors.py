"""What the hub, the network and the disk do while a repo is read or written, as one sentence that says what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from m2e.errors import M2EError, ModelError, PublishError, first_line, reason


@contextmanager
def explained(repo: str, revision: str | None = None, kind: type[M2EError] = ModelError) -> Iterator[None]:
    """Turns errors of the hub, the network and the disk into `kind`; all others pass, bugs among them.

    kind: ModelError while `repo` is downloaded, PublishError while it is written to.
    """
    explain = _writing if kind is PublishError else _reading
    try:
        yield
    except M2EError:
        raise
    except Exception as error:  # raised again, unless the hub or the disk stands behind it
        for cause in _causes(error):
            if sentence := _disk(cause) or explain(cause, repo, revision):
                raise kind(sentence) from error
        raise


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _disk(error: BaseException) -> str | None:
    from huggingface_hub import constants

    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
        return f"The disk is full: free some space in {constants.HF_HOME}, or set HF_HOME to another folder."
    if isinstance(error, OSError) and (isinstance(error, PermissionError) or number == errno.EROFS):
        return (
            f"{error.filename} cannot be used ({error.strerror}): check its permissions, or set HF_HOME to a folder "
            "that you may write to."
        )
    return None


def _status(error: BaseException) -> int:
    """The HTTP status of the hub's answer; 0 where there was none."""
    return getattr(getattr(error, "response", None), "status_code", 0)


def _is_network(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in ("httpx", "httpcore") or isinstance(error, ConnectionError)


def _reading(error: BaseException, repo: str, revision: str | None) -> str | None:
    from huggingface_hub import constants, errors

    if isinstance(error, errors.GatedRepoError):
        return f"{repo} is gated: accept its terms at {constants.ENDPOINT}/{repo}, then log in with `hf auth login`."
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"{repo} is neither a folder nor a hub repo that you may read: check the name, or log in with "
            "`hf auth login` if it is private."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} has no revision {revision or 'of that name'}: give a branch, tag or commit of it."
    status = _status(error) or (_status(error.__cause__) if error.__cause__ else 0)
    if status >= 500:
        return f"The hub answers {status} for {repo}: try again later."
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return (
            f"{repo} is not a folder, not (or not completely) in the cache, and the hub is out of reach: connect once, "
            "without HF_HUB_OFFLINE, or give a folder."
        )
    if status == 401:
        return f"The hub refuses the access token for {repo}: log in with `hf auth login`, or unset HF_TOKEN."
    if isinstance(error, errors.HfHubHTTPError) and not isinstance(error, errors.EntryNotFoundError):
        return f"The hub answers {status} for {repo}: check the name, or try again later."
    if _is_network(error) or "Consistency check failed" in str(error):
        return f"The download of {repo} was interrupted ({reason(error)}): try again."
    return None


def _writing(error: BaseException, repo: str, revision: str | None) -> str | None:
    from huggingface_hub import errors

    again = f"{repo} is unchanged; run the same command again"
    owner = repo.partition("/")[0]
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set: unset it to publish, or list the files with --dry-run."
    if isinstance(error, errors.LocalTokenNotFoundError):
        return "You are not logged in: run `hf auth login` with a token that may write, or set HF_TOKEN."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} has no branch {revision or 'of that name'}: give the name of a branch, not of a tag or commit."
    if status := _status(error):
        answer = _answer(error)
        sentences = {
            401: "The hub rejects your access token: run `hf auth login` with one that may write, or set HF_TOKEN.",
            402: f"The hub asks for payment for {repo} ({answer}): check the billing of {owner}, or take another name.",
            403: f"You may not write to {repo} ({answer}): take a token with write access to {owner}, or another name.",
            404: f"There is no {repo} that you may write to: check that {owner} is you or an organisation of yours.",
            409: f"Another client is changing {repo}: {again}.",
            412: f"Another client has changed {repo} in the meantime: run the same command again.",
            413: f"The files are too large for the hub ({answer}): remove what does not belong to the model.",
            429: f"The hub has had too many requests: wait a few minutes; {again}.",
        }
        other = f"The hub refuses {repo} ({answer}): check its name and the branch."
        return sentences.get(status, f"The hub answers {status} ({answer}): {again} later." if status >= 500 else other)
    if isinstance(error, ValueError) and "Invalid metadata in README.md" in str(error):
        faults = str(error).partition("README.md.")[2].split("- ")
        return f"The hub refuses the front matter of README.md: {'; '.join(filter(None, map(str.strip, faults)))}."
    if _is_network(error):
        return f"The hub is out of reach ({reason(error)}): {again} when you are connected."
    if type(error).__module__.partition(".")[0] == "hf_xet" or str(error).startswith("Error while uploading"):
        return f"The upload was interrupted ({_answer(error.__cause__ or error)}): {again}."
    return None


def _answer(error: BaseException) -> str:
    """The hub's own words, in one line."""
    return " ".join((getattr(error, "server_message", None) or first_line(error)).split()).rstrip(".")
