"""From files to the hub, in one commit: a repository is as it was before, or wholly new."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from m2e.checkpoints.load import causes, read_json
from m2e.errors import PublishError, first_line, reason
from m2e.publish.repository import CODE, Repository

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo, SpaceInfo

KEPT = ".gitattributes"  # the hub's own file
NEW_REPO = {KEPT, "README.md"}  # what a repository may hold that was made by hand and left empty


def publish(
    api: "HfApi",
    repo: str,
    files: Repository,
    *,
    space: bool = False,
    private: bool = False,
    revision: str | None = None,
    message: str = "Publish with m2e",
) -> str:
    """The commit that makes the repository hold exactly these files; created where there is none yet.

    Without a change nothing is committed. What the hub has got of an interrupted call is not sent again.
    space: a Gradio Space instead of a model.  private: a new repository is seen by its owners only; an old one has to
    be private already.  revision: a branch, made from main where there is none of that name.
    Raises PublishError.
    """
    check_name(repo)
    kind = "space" if space else "model"
    with explained(repo, revision):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        api.create_repo(
            repo, repo_type=kind, private=private or None, exist_ok=True, space_sdk="gradio" if space else None
        )
        if private and not api.repo_info(repo, repo_type=kind).private:
            raise PublishError(
                f"{repo} is there already, and public: make it private in its settings, or leave out --private."
            )
        if revision not in (None, "main"):
            api.create_branch(repo, branch=revision, repo_type=kind, exist_ok=True)
        there = api.repo_info(repo, repo_type=kind, revision=revision)
        _check_ours(api, repo, kind, there)
        held = {file.rfilename for file in there.siblings}
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        operations += [CommitOperationDelete(name, is_folder=False) for name in sorted(held - set(files) - {KEPT})]
        done = api.create_commit(
            repo,
            operations,
            commit_message=message,
            repo_type=kind,
            revision=revision,
            parent_commit=there.sha,  # refused if somebody else was quicker
        )
    return done.oid


def check_name(repo: str) -> None:
    """Raises PublishError for what is no NAME/REPO."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo)
        if "/" not in repo:
            raise HFValidationError
    except HFValidationError:
        raise PublishError(
            f"{repo!r} is no name for a repository: give NAME/REPO of letters, digits, '-', '_' and '.'."
        ) from None


def _check_ours(api: "HfApi", repo: str, kind: str, there: "ModelInfo | SpaceInfo") -> None:
    """Raises PublishError where the files that would be deleted are those of something else."""
    from huggingface_hub import RepoCard
    from yaml import YAMLError

    held = {file.rfilename for file in there.siblings}
    if held <= NEW_REPO:
        return
    name = "config.json" if kind == "model" else "README.md"
    ours = False
    if name in held:
        file = Path(api.hf_hub_download(repo, name, repo_type=kind, revision=there.sha))
        try:
            if kind == "model":
                ours = read_json(file).get("model_type") in CODE
            else:
                ours = "m2e" in (RepoCard(file.read_text(encoding="utf-8")).data.get("tags") or [])
        except (ValueError, YAMLError):  # neither would have been published from here
            ours = False
    if not ours:
        raise PublishError(f"{repo} holds something else: choose another name, or delete it on the hub first.")


def write(files: Repository, folder: Path) -> None:
    """Writes the files into `folder`, in place of what lay there; it appears whole or stays as it was."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for name, content in files.items():
            target = partial / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.copyfile(content, target)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise PublishError(
            f"{folder} cannot be written ({error.strerror or error}): free some space, or run this somewhere else."
        ) from error


def sizes(files: Repository) -> dict[str, int]:
    """Bytes of every file."""
    return {name: len(one) if isinstance(one, bytes) else one.stat().st_size for name, one in files.items()}


# --- why it cannot be published ---


@contextmanager
def explained(repo: str, revision: str | None = None) -> Iterator[None]:
    """Turns what the hub, the network and the disk do meanwhile into a PublishError; other errors pass."""
    try:
        yield
    except PublishError:
        raise
    except Exception as error:
        sentence = next(filter(None, (_explain(cause, repo, revision) for cause in causes(error))), None)
        if sentence is None:
            raise
        raise PublishError(sentence) from error


def _explain(error: BaseException, repo: str, revision: str | None) -> str | None:
    from huggingface_hub import constants, errors

    again = f"{repo} is as it was; run the same command again"
    owner = repo.partition("/")[0]
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "The hub is not asked while HF_HUB_OFFLINE is set: unset it, or look at the files with --dry-run."
    if isinstance(error, errors.LocalTokenNotFoundError):
        return "Nobody is logged in: `hf auth login` with a token that may write, or set HF_TOKEN."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} has no branch {revision}: give the name of a branch, not of a tag or commit."
    response = getattr(error, "response", None)
    if response is not None:
        status, said = response.status_code, _reason(error)
        return {
            401: "The hub does not know you: log in with `hf auth login` and a token that may write, or set HF_TOKEN.",
            402: f"The hub wants to be paid for {repo} ({said}): look at the billing of {owner}, or choose another.",
            403: f"You may not write to {repo} ({said}): take a token with write access to {owner}, or another name.",
            404: f"There is no {repo} that you may write to: check that {owner} is you or an organisation of yours.",
            409: f"Somebody else is changing {repo}: {again}.",
            412: f"Somebody else has changed {repo} meanwhile: {again}.",
            413: f"The hub finds the files too large ({said}): leave out what does not belong to the model.",
            429: f"The hub has been asked too often: wait a few minutes; {again}.",
        }.get(status) or (
            f"The hub answers {status} ({said}): {again} later."
            if status >= 500
            else f"The hub refuses {repo} ({said}): check its name and the branch."
        )
    if isinstance(error, ValueError) and "Invalid metadata in README.md" in str(error):
        faults = str(error).partition("README.md.")[2].split("- ")
        return f"The hub refuses the front matter of README.md: {'; '.join(filter(None, map(str.strip, faults)))}."
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
        return f"The disk is full: free some space where {constants.HF_HOME} lies, or set HF_HOME to another place."
    if type(error).__module__.partition(".")[0].startswith(("httpx", "httpcore")) or isinstance(error, ConnectionError):
        return f"The hub is out of reach ({reason(error)}): {again} when you are connected."
    if type(error).__module__.partition(".")[0] == "hf_xet" or str(error).startswith("Error while uploading"):
        return f"The upload broke off ({_reason(error.__cause__ or error)}): {again}."
    return None


def _reason(error: BaseException) -> str:
    """What the hub itself said, in one line."""
    return " ".join((getattr(error, "server_message", None) or first_line(error)).split()).rstrip(".")
