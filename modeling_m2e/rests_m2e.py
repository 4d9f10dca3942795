"""Where no chord sounds: in digital silence, whatever is around it, and when a chord has died away."""

import numpy as np

from .chord_labels_m2e import QUALITIES, VOCABULARY

SILENCE = np.log(1e-5)  # no bin of a frame that is digital silence is louder
FADED = 5.0  # in natural logarithms below the loud frames: 43 dB; 3 to 8 do alike on validation songs
NO_CHORD = VOCABULARY.index("N")


def hush(logits: np.ndarray, levels: np.ndarray, no_chord: int = NO_CHORD) -> None:
    """Makes the `logits` (frames, classes) of silent frames certain of class `no_chord`, in place. levels: (frames,) of
    their loudest bin, in natural logarithms."""
    rests = levels < SILENCE
    logits[rests] = -20.0
    logits[rests, no_chord] = 0.0


def ring_out(ids: np.ndarray, levels: np.ndarray, likeliest: np.ndarray) -> np.ndarray:
    """`ids` (frames,) of the 170 chords with every chord before N held as long as it is heard to die away.

    A recogniser hears N there, as in all that is soft; annotations, and listeners, do not. levels: (frames,) as for
    `hush`.  likeliest: (frames,) the most probable class but X and N: of the chord's root as long as it sounds.
    """
    held = ids.copy()
    audible = levels > np.percentile(levels, 95) - FADED if len(levels) else levels
    for frame in np.flatnonzero(ids[1:] == NO_CHORD) + 1:
        before = held[frame - 1]
        if audible[frame] and likeliest[frame] // len(QUALITIES) == before // len(QUALITIES):
            held[frame] = before
    return held
