"""Freely licensed music from Debian's game packages: their audio files and copyright statements, nothing else.

    python -m datasets_scripts.encoder.packages OUT [PACKAGE ...]

Needs a Debian system with `apt-get update` done. A package that is already in OUT is skipped.
"""

import argparse
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from m2e.errors import DataError, first_line
from m2e.inputs import AUDIO_SUFFIXES

PACKAGES = (
    "wesnoth-1.16-music", "ufoai-music", "warzone2100-music", "planetblupi-music-ogg", "singularity-music",
    "hyperrogue-music", "nexuiz-music", "drascula-music", "asc-music", "hedgewars-data", "megaglest-data",
    "naev-data", "supertuxkart-data", "freedroidrpg-data", "0ad-data",
)  # fmt: skip
ARCHIVES = frozenset({".pk3", ".zip"})
DONE = ".complete"


def fetch(package: str, out: Path) -> bool:
    """Whether the package was downloaded; False where `out` already holds it. Raises DataError."""
    target = out / package
    if (target / DONE).exists():
        return False
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        work = Path(folder)
        _run(["apt-get", "download", "-qq", package], work, package)
        _run(["dpkg-deb", "-x", str(next(work.glob("*.deb"))), "files"], work, package)
        keep_audio(work / "files", target)
    (target / DONE).touch()
    return True


def _run(command: list[str], folder: Path, package: str) -> None:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip() or "no reason given").splitlines()[-1]
        raise DataError(f"{package} cannot be fetched ({reason}): run apt-get update, or name other packages.")


def keep_audio(files: Path, target: Path) -> None:
    """Moves audio files and copyright statements from `files` to `target`, those inside pk3 and zip archives too."""
    for path in sorted(path for path in files.rglob("*") if path.is_file() and not path.is_symlink()):
        place = target / path.relative_to(files)
        if path.suffix.lower() in ARCHIVES and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if Path(name).suffix.lower() in AUDIO_SUFFIXES:
                        archive.extract(name, place.with_suffix(""))
        elif path.suffix.lower() in AUDIO_SUFFIXES or path.name == "copyright":
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("packages", nargs="*", default=PACKAGES)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for package in args.packages:
        try:
            print(package, "fetched" if fetch(package, args.out) else "already there", flush=True)
        except DataError as error:
            print(first_line(error), flush=True)


if __name__ == "__main__":
    main()
