"""The log of a training: a row per epoch, as JSON Lines and, where TensorBoard is installed, in its files."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from m2e.storage import write_text

FILE, TENSORBOARD = "training.jsonl", "tensorboard"


class Log:
    """rows: dicts, nested, of numbers and words. The file is replaced as a whole, never cut by a kill."""

    def __init__(self, folder: Path | None, rows: list[dict]):
        self.folder, self.rows = folder, rows
        self._board: Any = None

    def add(self, row: dict) -> None:
        """Adds a row; numbers that are not finite become None. `write` saves it."""
        self.rows.append(row := _plain(row))
        if self.folder is not None and (board := self._open_board(self.folder, row["epoch"])):
            for name, number in scalars(row):
                board.add_scalar(name, number, row["epoch"])
            board.flush()

    def write(self) -> None:
        if self.folder is not None:
            write_text(self.folder / FILE, "".join(json.dumps(row) + "\n" for row in self.rows))

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _open_board(self, folder: Path, epoch: int) -> Any:
        if self._board is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return None
            # hides what a killed run wrote of this epoch and later ones
            self._board = SummaryWriter(folder / TENSORBOARD, purge_step=epoch)
        return self._board


def scalars(row: Mapping, prefix: str = "") -> Iterator[tuple[str, float]]:
    """("losses/deam/va", 0.8) and so on: all numbers of a row by their path, without its epoch."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and name != "epoch":
            yield prefix + name, float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
