"""Audio of MIDI, by a sound font (program ``fluidsynth``), GUS patches (program ``timidity``) or additive synthesis."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile
from mido import KeySignatureError

from m2e.datasets.additive import synthesize
from m2e.errors import DataError, reason
from modeling_m2e.chords_m2e import SAMPLING_RATE

RATE = SAMPLING_RATE  # of the chord recogniser's input
ADDITIVE = "additive"  # in place of a sound font


def read_midi(path: str | Path) -> pretty_midi.PrettyMIDI:
    """The notes of a MIDI file. Raises DataError."""
    try:
        return pretty_midi.PrettyMIDI(str(path))
    except (OSError, EOFError, ValueError, LookupError, KeySignatureError) as error:  # the parser's, for broken files
        raise DataError(f"{path} cannot be read as MIDI ({reason(error)}): get the file again.") from error


def render(midi: pretty_midi.PrettyMIDI, sound: str | Path, random: np.random.Generator | None = None) -> np.ndarray:
    """Mono float32 waveform at 22,050 Hz; with ``random`` a random room. Raises DataError.

    sound: a sound font (.sf2, .sf3), a timidity configuration (.cfg), or "additive", which needs ``random``.
    """
    if sound == ADDITIVE:
        if random is None:
            raise TypeError("Additive synthesis needs a random generator.")
        return synthesize(midi, RATE, random)
    if not Path(sound).is_file():  # fluidsynth itself would go on and write silence
        raise DataError(f"There is no sound font {sound}: install one, such as fluid-soundfont-gm.")
    room = random is not None and random.random() < 0.5
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "song.mid"), Path(folder, "song.wav")
        midi.write(str(source))
        if Path(sound).suffix == ".cfg":
            reverb = "-EFreverb=" + ("f" if room else "d")
            command = ["timidity", "-c", str(sound), "-Ow", "-s", str(RATE), reverb, "--preserve-silence"]
            command += ["-o", str(target), str(source)]
        else:
            command = ["fluidsynth", "-ni", "-q", "-R", "1" if room else "0", "-C", "0", "-g", "0.3", "-r", str(RATE)]
            command += ["-F", str(target), str(sound), str(source)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            raise DataError(f"Rendering needs the program {command[0]}: install it.") from None
        if done.returncode or not target.exists():
            raise DataError(f"{command[0]} failed on {sound} ({done.stderr.strip()}): give another sound font.")
        waveform, _ = soundfile.read(target, dtype="float32", always_2d=True)
    return waveform.mean(axis=1)
