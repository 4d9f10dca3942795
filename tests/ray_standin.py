"""What stands in for a model in the tests of Ray; every process of a cluster imports it."""

import time

from m2e.errors import AudioError
from modeling_m2e.record_m2e import Mood, MusicEmotion


class StandIn:
    """Answers at once, with numbers that follow from the name."""

    name = "stand-in"

    def __init__(self, seconds: float = 0.0):
        self.seconds = seconds

    def __call__(self, path: str) -> MusicEmotion:
        time.sleep(self.seconds)
        if "bad" in path:
            raise AudioError(f"{path}: is empty (0 bytes).")
        return MusicEmotion(path, 30.0, 5.0, len(path) / 100, "Q1", [Mood("calm", 0.5)], ["calm"], model=self.name)


def slowly(*_, **__) -> StandIn:
    """In place of what loads a model."""
    return StandIn(0.1)
