"""Training material for chords: labels on frames, features that the recogniser will meet."""

import numpy as np
import pytest

pytest.importorskip("pretty_midi")

from m2e.datasets.chords.cqt_chunks import MARGIN, N, chunk_features, class_index, frame_labels  # noqa: E402
from m2e.training.chords import crop  # noqa: E402
from modeling_m2e.chord_labels_m2e import VOCABULARY  # noqa: E402
from modeling_m2e.chords_m2e import CHUNK_FRAMES as FRAMES  # noqa: E402
from modeling_m2e.chords_m2e import cqt_features  # noqa: E402

X = VOCABULARY.index("X")


def test_class_indices_are_those_of_the_vocabulary():
    assert VOCABULARY[class_index("C:maj")] == "C" and VOCABULARY[class_index("Bb:min7")] == "A#:min7"
    assert VOCABULARY[class_index("B:maj", 1)] == "C" and (class_index("N"), class_index("X")) == (N, X)
    assert (VOCABULARY[N], VOCABULARY[X]) == ("N", "X")


def test_labels_stand_at_the_middle_of_frames():
    labels = frame_labels([(1.0, 5.0, "C:maj"), (5.0, 12.0, "G:maj")], 2, 0)
    frame = 10 / FRAMES
    expected = {0.5: "N", 3.0: "C", 7.0: "G", 11.0: "G", 15.0: "N"}
    for time, label in expected.items():
        chunk, inside = divmod(time, 10)
        assert VOCABULARY[labels[int(chunk), int(inside / frame)]] == label
    shifted = frame_labels([(0.0, 30.0, "C:maj")], 1, 2, offset=5.0)
    assert {VOCABULARY[i] for i in shifted.ravel()} == {"D"}


def test_unshifted_features_are_those_of_inference():
    rng = np.random.default_rng(0)
    time = np.arange(220500) / 22050
    wave = sum(np.sin(2 * np.pi * f * time) for f in (130.8, 164.8, 196.0, 523.3)) * 0.1
    wave = (wave + 1e-3 * rng.standard_normal(len(time))).astype(np.float32)
    np.testing.assert_allclose(chunk_features(wave)[0, :, MARGIN : MARGIN + 144], cqt_features(wave), atol=1e-3)


def test_a_crop_transposes_features_and_labels():
    features = np.zeros((1, 108, 168), np.float32)
    features[0, :, MARGIN + 48] = 1.0  # two octaves above C1
    labels = np.full((1, 108), class_index("C:min"), np.uint8)
    labels[0, :3] = (N, X, 255)
    for shift in (-6, 0, 5):
        x, y = crop(features, labels, np.array([shift]))
        assert x.shape == (1, 108, 144) and x[0, 0].argmax() == 48 + 2 * shift
        assert y[0, 10] == class_index("C:min", shift) and y[0, :3].tolist() == [N, X, -100]
