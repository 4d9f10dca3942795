"""The tracks of every batch, from data sets of very different sizes."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np


class Mix:
    """The batches of every epoch; each holds tracks of one data set, and the order of all is random.

    An epoch has as many tracks as all data sets together. A data set of n tracks has the share n ** (1 / temperature)
    of it, but at most `max_passes` times its own tracks. Its tracks come in random order; none is repeated before all
    have been used, also across epochs.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        batch_size: int,
        rng: np.random.Generator,
        temperature: float = 1.0,
        max_passes: float = 4.0,
    ):
        shares = np.asarray(sizes, dtype=np.float64) ** (1 / temperature)
        wanted = shares / shares.sum() * sum(sizes)
        self.sizes, self.batch_size, self.rng = list(sizes), batch_size, rng
        self.tracks = [
            max(1, min(round(tracks), round(size * max_passes))) for size, tracks in zip(sizes, wanted, strict=True)
        ]
        self._queues = [np.zeros(0, np.int64) for _ in sizes]  # tracks not yet used in this pass

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return sum(-(-tracks // self.batch_size) for tracks in self.tracks)

    def epoch(self) -> list[tuple[int, np.ndarray]]:
        """(data set, its tracks) of every batch of the next epoch, by their places."""
        batches = []
        for index, (size, tracks) in enumerate(zip(self.sizes, self.tracks, strict=True)):
            queue = self._queues[index]
            while len(queue) < tracks:
                queue = np.concatenate([queue, self.rng.permutation(size)])
            drawn, self._queues[index] = queue[:tracks], queue[tracks:]
            batches += [(index, drawn[start : start + self.batch_size]) for start in range(0, tracks, self.batch_size)]
        if len(self.sizes) == 1:
            return batches  # already in random order
        return [batches[place] for place in self.rng.permutation(len(batches))]

    def state_dict(self) -> dict[str, Any]:
        """What comes next, random numbers included; JSON, as their state has larger integers than tensors take."""
        return {"rng": json.dumps(self.rng.bit_generator.state), "queues": [queue.tolist() for queue in self._queues]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.rng.bit_generator.state = json.loads(state["rng"])
        self._queues = [np.array(queue, dtype=np.int64) for queue in state["queues"]]
