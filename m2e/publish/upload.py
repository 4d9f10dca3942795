"""Sends a repository to the hub in one commit, or writes it to a folder; lists repositories in a collection."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from m2e.checkpoints.hub_errors import explained
from m2e.errors import PublishError, reason
from m2e.publish.repository import Repository
from m2e.storage import read_json, write_folder
from modeling_m2e import AUTO_CLASSES

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo, SpaceInfo

KEPT = ".gitattributes"  # written by the hub
NEW_REPO = {KEPT, "README.md"}  # files of a repository that was just made on the hub's pages


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
    """The id of the commit after which the repository holds exactly these files; makes the repository if need be.

    Commits nothing where no file changes. A repeated call does not send again what an interrupted one has sent.
    space: a Gradio Space instead of a model.  private: only its owners see a new repository; an existing one must be
    private already.  revision: a branch, made from main if it does not exist.
    Raises PublishError.
    """
    check_name(repo)
    kind = "space" if space else "model"
    with explained(repo, revision, PublishError):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        api.create_repo(
            repo, repo_type=kind, private=private or None, exist_ok=True, space_sdk="gradio" if space else None
        )
        if private and not api.repo_info(repo, repo_type=kind).private:
            raise PublishError(
                f"{repo} exists and is public: make it private in its settings on the hub, or omit --private."
            )
        if revision not in (None, "main"):
            api.create_branch(repo, branch=revision, repo_type=kind, exist_ok=True)
        current = api.space_info(repo, revision=revision) if space else api.model_info(repo, revision=revision)
        held = {file.rfilename for file in current.siblings or ()}
        _check_ours(api, repo, current, held, space)
        operations: list[CommitOperationAdd | CommitOperationDelete]
        operations = [CommitOperationAdd(name, content) for name, content in files.items()]
        operations += [CommitOperationDelete(name, is_folder=False) for name in sorted(held - set(files) - {KEPT})]
        done = api.create_commit(
            repo,
            operations,
            commit_message=message,
            repo_type=kind,
            revision=revision,
            parent_commit=current.sha,  # the hub refuses if somebody else has committed meanwhile
        )
    return done.oid


def collect(api: "HfApi", title: str, items: Mapping[str, str], private: bool = False) -> str:
    """The address of a collection that shows these repositories; makes it if need be.

    items: hub id -> "model" or "space"; the first one's owner owns the collection. Raises PublishError.
    """
    owner = next(iter(items)).partition("/")[0]
    with explained(title, None, PublishError):
        made = api.create_collection(title, namespace=owner, private=private, exists_ok=True)
        for repo, kind in items.items():
            api.add_collection_item(made.slug, repo, kind, exists_ok=True)  # type: ignore[arg-type]  # of these two
    return f"{api.endpoint}/collections/{made.slug}"


def check_name(repo: str) -> None:
    """Raises PublishError for a name that is not NAME/REPO."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo)
        valid = "/" in repo
    except HFValidationError:
        valid = False
    if not valid:
        raise PublishError(f"{repo!r} is not a repository name: give NAME/REPO of letters, digits, '-', '_' and '.'.")


def _check_ours(api: "HfApi", repo: str, current: "ModelInfo | SpaceInfo", held: set[str], space: bool) -> None:
    """Raises PublishError where the commit would delete files that this project did not publish."""
    if held <= NEW_REPO:
        return
    name, kind = ("README.md", "space") if space else ("config.json", "model")
    if name in held:
        file = Path(api.hf_hub_download(repo, name, repo_type=kind, revision=current.sha))
        if _is_our_space(file) if space else _is_our_model(file):
            return
    raise PublishError(
        f"{repo} holds files that m2e did not publish: choose another name, or delete it on the hub first."
    )


def _is_our_model(config: Path) -> bool:
    try:
        return read_json(config, PublishError).get("model_type") in AUTO_CLASSES
    except PublishError:  # no JSON
        return False


def _is_our_space(readme: Path) -> bool:
    from huggingface_hub import RepoCard
    from yaml import YAMLError

    try:
        return "m2e" in (RepoCard(readme.read_text(encoding="utf-8")).data.get("tags") or [])
    except (ValueError, YAMLError):  # not UTF-8, no front matter
        return False


def write(files: Repository, folder: Path) -> None:
    """Writes the files into `folder` and replaces what it held; it appears whole or stays as it was."""

    def fill(partial: Path) -> None:
        for name, content in files.items():
            target = partial / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.copyfile(content, target)

    try:
        write_folder(folder, fill)
    except OSError as error:
        why = error.strerror or reason(error)
        raise PublishError(
            f"{folder} cannot be written ({why}): free some space, or run this in another folder."
        ) from error


def sizes(files: Repository) -> dict[str, int]:
    """Size of every file in bytes."""
    return {name: len(one) if isinstance(one, bytes) else one.stat().st_size for name, one in files.items()}
