"""Publish a model folder on the Hugging Face Hub, and a Space with the demo.

    python push_to_hub.py m2e/models/m2e-small --repo NAME/m2e-small --dry-run
    python push_to_hub.py runs/teacher --repo NAME/m2e-teacher --private
    python push_to_hub.py m2e/models/m2e-small --repo NAME/m2e-small --space NAME/m2e
    python push_to_hub.py m2e/models/m2e-small --repo NAME/m2e-small --collection "Music emotion"
    python push_to_hub.py m2e/models/m2e-small --repo NAME/m2e-small --onnx
    python push_to_hub.py amaai-lab/music2emo@D_all --repo NAME/music2emo-d

MODEL is a folder that training wrote (a teacher, a student or a chord recogniser), or a published checkpoint, which is
converted: Music2Emo by its name, BTC as a .pt file. One commit sends weights, configuration, code, licences, a new card
and the ONNX graphs in MODEL/onnx, if there are any; --onnx exports new ones. Exit status: 0 everything is published, 1
an error, 2 wrong usage.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from m2e.checkpoints.load import load, local_folder
from m2e.errors import M2EError, PublishError
from m2e.publish.repository import Repository, repository
from m2e.publish.space import brings_wheel, space
from m2e.publish.upload import check_name, collect, publish, sizes, write

ROOT = Path(__file__).resolve().parent
EXAMPLES = ROOT / "examples"
DRY_RUN = Path("build") / "hub"  # below the current folder


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model", nargs="?", help="model folder, or published checkpoint")
    options.add_argument(
        "--repo", metavar="NAME/REPO", help="publish the model here; creates the repository if need be"
    )
    options.add_argument("--space", metavar="NAME/REPO", help="publish the folder space/ here, as a Gradio Space")
    options.add_argument("--private", action="store_true", help="make new repositories visible to their owners only")
    options.add_argument("--revision", metavar="BRANCH", help="publish the model on this branch instead of main")
    options.add_argument(
        "--license", metavar="ID", help="set the licence of the weights if there is no card.json (apache-2.0, ...)"
    )
    options.add_argument(
        "--onnx", action="store_true", help="export the model as ONNX graphs first (needs the extra onnx)"
    )
    options.add_argument(
        "--collection", metavar="TITLE", help="add what is published to this collection of the owner, made if need be"
    )
    options.add_argument("--message", default="Publish with m2e", help="set the message of the commit")
    options.add_argument(
        "--dry-run", action="store_true", help=f"write the files to {DRY_RUN} and list them; send nothing"
    )
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parser()
    args = options.parse_args(arguments)
    if (args.model is None) != (args.repo is None) or not (args.repo or args.space):
        options.error("give MODEL and --repo NAME/REPO, or --space NAME/REPO, or all of them")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            publish_all(args, Path(scratch))
        except M2EError as error:
            sys.exit(f"push_to_hub: {error}")
        except KeyboardInterrupt:
            sys.exit("push_to_hub: interrupted; repositories without a message above are unchanged: run it again.")


def publish_all(args: argparse.Namespace, scratch: Path) -> None:
    """Prepares everything before it sends anything. scratch: an empty folder for converted checkpoints and graphs."""
    todo: list[tuple[str, Repository, bool]] = []
    if args.repo:
        check_name(args.repo)
        folder = model_folder(args.model, scratch / "model")
        graphs = exported(folder, args.repo, scratch / "graphs") if args.onnx else None
        todo.append((args.repo, repository(folder, args.repo, args.license, EXAMPLES, graphs), False))
    if args.space:
        check_name(args.space)
        files = space(ROOT / "space", args.space, scratch / "space", args.repo)
        if args.private and brings_wheel(files):
            raise PublishError(
                f"{args.space} cannot be private: it installs m2e from its own files, which need a token; omit "
                "--private, or name a released version of m2e in space/requirements.txt."
            )
        todo.append((args.space, files, True))
    for repo, files, is_space in todo:
        show(repo, files, is_space)
        if args.dry_run:
            target = DRY_RUN / ("spaces" if is_space else "models") / repo.replace("/", "--")
            write(files, target)
            print(f"written to {target}, nothing sent\n")
        else:
            print(f"published at {send(repo, files, is_space, args)}\n")
    if args.collection:
        gather(args.collection, {repo: "space" if is_space else "model" for repo, _, is_space in todo}, args)


def model_folder(model: str, scratch: Path) -> Path:
    """The folder of a model; a published checkpoint is converted into one. Raises ModelError."""
    path = Path(model).expanduser()
    if path.is_file():
        from m2e.checkpoints.chords import load_chords

        load_chords(path).recognizer.save_pretrained(scratch)
        return scratch
    if (path / "saved_models").is_dir() or (not path.exists() and "/" in model):
        return local_folder(model)[0]
    return path


def exported(folder: Path, repo: str, out: Path) -> Path:
    """OUT, with the graphs of a model, which its repository will name. Raises ModelError, UsageError."""
    from m2e.export.write import export

    pipe = load(folder, device="cpu")
    pipe.name = repo
    export(pipe, out)
    return out


def show(repo: str, files: Repository, is_space: bool) -> None:
    """Prints the names and sizes of the files."""
    listed = sizes(files)
    print(f"{'Space' if is_space else 'model'} {repo}:")
    for name, size in listed.items():
        print(f"{size / 1e3:12,.1f} kB  {name}")
    print(f"{sum(listed.values()) / 1e3:12,.1f} kB  in {len(listed)} files", flush=True)


def send(repo: str, files: Repository, is_space: bool, args: argparse.Namespace) -> str:
    """Publishes the files and returns their address."""
    from huggingface_hub import HfApi

    api = HfApi()
    revision = None if is_space else args.revision
    commit = publish(api, repo, files, space=is_space, private=args.private, revision=revision, message=args.message)
    return f"{api.endpoint}/{'spaces/' * is_space}{repo}/tree/{revision or 'main'} ({commit[:10]})"


def gather(title: str, items: dict[str, str], args: argparse.Namespace) -> None:
    """Adds the repositories to a collection, or says what it would add."""
    from huggingface_hub import HfApi

    if args.dry_run:
        print(f"{', '.join(items)}: would be added to the collection {title!r}")
    else:
        print(f"collected at {collect(HfApi(), title, items, args.private)}")


if __name__ == "__main__":
    main()
