"""How values become places and colours: the part of the scale that is shown, and the tint of an emotion."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from modeling_m2e.scale_m2e import SCALE

CENTRE = sum(SCALE) / 2
# Where the middle 80 % of songs lie: mean ratings of the 1,802 songs of DEAM, by listeners.
TYPICAL = {"valence": (3.4, 6.4), "arousal": (3.0, 6.5)}
LEAST_REACH, STEP, MARGIN = 2.0, 0.5, 0.2  # of what is shown; the first holds nearly all of TYPICAL
TINT_REACH, TINT_POWER = 1.5, 0.5  # values beyond are tinted fully; below 1, small differences show
MANY = 24  # points of a curve; more of them would hide each other
_TINT_STOPS = 8  # of a gradient; enough for a smooth one


@dataclass(frozen=True)
class Zoom:
    """The part of the scale that is shown: as far below the centre as above it, and the same for both axes."""

    reach: float = CENTRE - SCALE[0]

    @property
    def low(self) -> float:
        return CENTRE - self.reach

    @property
    def high(self) -> float:
        return CENTRE + self.reach

    def share(self, value: float) -> float:
        """Position in percent; what lies outside is moved to the edge."""
        return round(100 * min(max((value - self.low) / (2 * self.reach), 0.0), 1.0), 2)

    def ticks(self) -> list[int]:
        return list(range(math.ceil(self.low), math.floor(self.high) + 1, 2 if self.reach > 3 else 1))


def zoom_of(values: Iterable[float]) -> Zoom:
    """The smallest zoom that shows all values and most of the typical range."""
    farthest = max((abs(value - CENTRE) for value in values), default=0.0)
    reach = math.ceil(max(farthest + MARGIN, LEAST_REACH) / STEP) * STEP
    return Zoom(min(reach, CENTRE - SCALE[0]))


def tint(value: float) -> float:
    """The share of the colour of the high end in percent: 50 at the centre."""
    side = min(max((value - CENTRE) / TINT_REACH, -1.0), 1.0)
    return round(50 + math.copysign(50 * abs(side) ** TINT_POWER, side), 1)


def tint_style(valence: float, arousal: float) -> str:
    """CSS variables from which the class m2e-tint mixes the colour of an emotion."""
    return f"--v:{tint(valence)}%;--a:{tint(arousal)}%"


def tint_layers(zoom: Zoom) -> str:
    """Two layers that tint a plane: the lower quadrants, and above them the upper ones, which fade downwards."""
    places = [
        (100 * stop / _TINT_STOPS, zoom.low + 2 * zoom.reach * stop / _TINT_STOPS) for stop in range(_TINT_STOPS + 1)
    ]

    def gradient(low: str, high: str) -> str:
        mixed = (f"color-mix(in oklab,var(--m2e-{high}) {tint(value)}%,var(--m2e-{low})) {at}%" for at, value in places)
        return f"background:linear-gradient(to right,{','.join(mixed)})"

    fade = ",".join(f"rgb(0 0 0/{tint(value)}%) {at}%" for at, value in places)
    return (
        f'<span class="m2e-wash"><i style="{gradient("q3", "q4")}"></i>'
        f'<i style="{gradient("q2", "q1")};mask-image:linear-gradient(to top,{fade})"></i></span>'
    )
