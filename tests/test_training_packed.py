"""Packed features: the same inputs as the processor's, random runs of windows, statistics and label counts."""

import numpy as np
import pytest
import torch

from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import NO_QUADRANT
from m2e.training.packed import LabelledTracks, learnt_tasks, mood_frequencies, pack, random_spans, statistics
from modeling_m2e import ChordSegment, Key, M2EConfig, M2EForMusicEmotion, M2EProcessor
from modeling_m2e.feature_extraction_m2e import M2EFeatureExtractor
from modeling_m2e.harmony_statistics_m2e import CELL_NUMBERS, STATISTICS
from modeling_m2e.processing_m2e import TrackFeatures
from modeling_m2e.windows_m2e import Window

nan = float("nan")
SIZES = {"embedding_size": 6, "chord_size": 8, "chord_heads": 2, "fusion_size": 8, "num_harmony_statistics": STATISTICS}
CHORDS = [ChordSegment(0.0, 1.5, "C:maj"), ChordSegment(1.5, 3.0, "G:min7"), ChordSegment(3.0, 5.0, "N")]


def track(number, windows, chords, key):
    spans = [Window(3.0 * i, 3.0 * i + 3, 1.0 if i < 2 else 0.25) for i in range(windows)]
    embeddings = torch.randn(windows, 6, generator=torch.Generator().manual_seed(number)).half().float()
    statistics = np.random.default_rng(number).uniform(0.1, 1.0, (2, CELL_NUMBERS)).astype(np.float32)
    return TrackFeatures(f"{number}.wav", 3.0 * windows, spans, embeddings, chords, key, statistics)


@pytest.fixture(scope="module")
def tracks():
    return [
        track(0, 1, CHORDS[:1], Key("C", "minor")),
        track(1, 3, CHORDS, Key("D", "major")),
        track(2, 2, None, None),
    ]


@pytest.fixture(scope="module")
def processor():
    return M2EProcessor(M2EFeatureExtractor(16000, 3.0))


@pytest.fixture(scope="module")
def features(tracks, processor):
    return pack(iter(tracks), processor.collate)


@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 1], [1], [2]])
def test_the_model_hears_the_same_as_through_the_processor(tracks, processor, features, rows):
    torch.manual_seed(0)
    model = M2EForMusicEmotion(M2EConfig.default(**SIZES)).eval()
    packed = features.batch(np.array(rows))
    plain = processor.collate([tracks[row] for row in rows])
    assert packed["embeddings"].shape == (len(rows), 6)
    for name in ("chord_roots", "chord_qualities", "chord_durations", "chord_mask", "mode", "harmony_statistics"):
        assert torch.equal(packed[name], plain[name]) and packed[name].dtype == plain[name].dtype, name
    for one, other in zip(model(**packed).to_tuple()[:2], model(**plain).to_tuple()[:2], strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_run_of_windows_is_averaged_by_weight(tracks, features):
    batch = features.batch(np.array([1, 2]), np.array([[1, 2], [0, 1]]))
    expected = (tracks[1].embeddings[1] + 0.25 * tracks[1].embeddings[2]) / 1.25
    assert torch.allclose(batch["embeddings"][0], expected, atol=1e-6)
    assert torch.equal(batch["embeddings"][1], tracks[2].embeddings[0])


def test_random_runs_are_contiguous_and_of_all_lengths():
    counts = np.array([1, 4, 4] * 500)
    spans = random_spans(counts, np.random.default_rng(0))
    assert (spans[:, 0] >= 0).all() and (spans[:, 1] >= 1).all() and (spans.sum(1) <= counts).all()
    assert (spans[counts == 1] == [0, 1]).all()
    longer = spans[counts == 4]
    assert np.bincount(longer[:, 1])[1:] / len(longer) == pytest.approx([0.25] * 4, abs=0.05)
    starts = longer[longer[:, 1] == 2, 0]
    assert np.bincount(starts) / len(starts) == pytest.approx([1 / 3] * 3, abs=0.08)


def source(features, moods, va, rows, quadrants=(NO_QUADRANT,) * 3):
    return LabelledTracks("x", features, Emotions(np.array(moods), np.array(va), np.array(quadrants)), np.array(rows))


def test_tasks_are_those_that_rows_have_labels_of(features):
    moods, va = [[1.0, 0.0], [nan, nan], [0.0, 1.0]], [[nan, nan], [5.0, 4.0], [nan, nan]]
    assert source(features, moods, va, [0, 2]).tasks == ("mood",)
    assert source(features, moods, va, [1]).tasks == ("va",)
    both = source(features, moods, va, [0, 1], quadrants=(3, NO_QUADRANT, NO_QUADRANT))
    assert both.tasks == ("mood", "va", "quadrant") == learnt_tasks([both])
    assert both.only(np.array([1])).tasks == ("va",)
    assert torch.equal(both.targets(np.array([0]))["quadrant"], torch.tensor([3]))
    assert torch.isnan(both.targets(np.array([0]))["va"]).all()
    assert mood_frequencies([both]) == [1.0, 1.0]  # one track that carries the first, none the second: one's share
    assert mood_frequencies([source(features, moods, va, [0, 1, 2])]) == [0.5, 0.5]


def test_statistics_are_of_the_averaged_tracks(features):
    va = [[5.0, 5.0]] * 3
    mean, deviation = statistics([source(features, [[nan]] * 3, va, [0, 2]), source(features, [[nan]] * 3, va, [1])])
    averaged = features.batch(np.array([0, 2, 1]))["embeddings"]
    assert torch.equal(mean, averaged.mean(0)) and torch.equal(deviation, averaged.std(0))
    assert (statistics([source(features, [[nan]] * 3, va, [1])])[1] == 0).all()
