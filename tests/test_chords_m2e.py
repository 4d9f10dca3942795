"""Chord recognition from samples to segments: golden numbers, streaming, poison inputs."""

import json
import warnings
from itertools import product

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from m2e.checkpoints.convert_btc import convert_btc_checkpoint
from m2e.errors import AudioError, ModelError
from modeling_m2e import chords_m2e
from modeling_m2e.chord_decoding_m2e import SmoothFrames, onset_strength
from modeling_m2e.chord_labels_m2e import ChordSegment, write_lab
from modeling_m2e.chord_logits_m2e import BATCH_BLOCKS, FrameLogits, frame_logits
from modeling_m2e.chords_m2e import (
    CHUNK_FRAMES,
    CHUNK_SAMPLES,
    SAMPLING_RATE,
    ChordRecognizer,
    cqt_features,
    frames_to_segments,
)
from modeling_m2e.modeling_btc import BTCConfig, BTCModel

SECOND = SAMPLING_RATE


@pytest.fixture(scope="module")
def model(fixtures):
    return convert_btc_checkpoint(fixtures / "btc/tiny_checkpoint.pt")


@pytest.fixture
def short_groups(monkeypatch):
    """Groups of two chunks: what larger ones do, faster."""
    monkeypatch.setattr(chords_m2e, "GROUP_CHUNKS", 2)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def stored_features(folder, song: str) -> np.ndarray:
    with np.load(folder / f"song_{song}.cqt.npz") as data:
        return data["feature"].T


def read(path) -> np.ndarray:
    waveform, rate = soundfile.read(path, dtype="float32")
    assert rate == SAMPLING_RATE
    return waveform


# Features


def test_features_equal_the_golden_transform(fixtures):
    features = cqt_features(read(fixtures / "btc/song_e.flac"))
    expected = stored_features(fixtures / "btc", "e")
    assert features.dtype == np.float32 and features.shape == (46, 144)
    np.testing.assert_allclose(np.exp(features), np.exp(expected), atol=1e-5)


@pytest.mark.parametrize("song", ["c", "d"])  # a chunk and a rest; exactly one chunk
def test_features_of_longer_songs(shared, song):
    features = cqt_features(read(shared / f"golden/btc/song_{song}.flac"))
    np.testing.assert_allclose(np.exp(features), np.exp(stored_features(shared / "golden/btc", song)), atol=1e-5)


def test_chunks_are_transformed_on_their_own(short_groups):
    waveform = noise(3 * CHUNK_SAMPLES + 3 * SECOND)  # a full group, a full chunk and a rest
    features = cqt_features(waveform)
    assert len(features) == 3 * CHUNK_FRAMES + 1 + 3 * SECOND // 2048
    for start in (0, 1, 2, 3):
        alone = cqt_features(waveform[start * CHUNK_SAMPLES : (start + 1) * CHUNK_SAMPLES])
        part = features[start * CHUNK_FRAMES : start * CHUNK_FRAMES + len(alone)]
        np.testing.assert_allclose(np.exp(part), np.exp(alone), atol=1e-6)


def test_a_tone_peaks_in_its_bin():
    time = np.arange(5 * SECOND) / SECOND
    features = cqt_features(0.5 * np.sin(2 * np.pi * 440 * time).astype(np.float32))
    assert (features[10:-10].argmax(axis=1) == 2 * (3 * 12 + 9)).all()  # A4 is 45 semitones above C1


@pytest.mark.parametrize("samples", [1, 2, 50, 127, 128, 600, 2048, 13230])
def test_short_signals_give_frames_and_no_warning(samples):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = cqt_features(noise(samples))
    assert len(features) == max(1, 1 + samples // 2048)
    assert np.isfinite(features).all()


def test_rest_of_a_few_samples():
    features = cqt_features(noise(CHUNK_SAMPLES + 3))
    assert len(features) == CHUNK_FRAMES + 1 and np.isfinite(features).all()


def test_silence_is_the_floor():
    np.testing.assert_allclose(cqt_features(np.zeros(SECOND, np.float32)), np.log(1e-6), rtol=1e-5)


def test_no_samples_no_frames():
    assert cqt_features(np.empty(0)).shape == (0, 144)


# Network


def test_frames_do_not_depend_on_what_shares_their_batch(model):
    features = noise(40 * 108 * 144).reshape(-1, 144) - 5  # more than one batch of 32 blocks
    together = frame_logits(features, model)
    assert together.shape == (40 * 108, 170)
    for block in (0, 31, 32, 39):
        frames = slice(block * 108, (block + 1) * 108)
        np.testing.assert_allclose(together[frames], frame_logits(features[frames], model), atol=1e-4)


def test_last_block_is_filled_with_normalised_zeros(model):
    features = noise(46 * 144).reshape(-1, 144) - 5
    filled = np.concatenate([features, np.full((62, 144), model.config.feature_mean, np.float32)])
    np.testing.assert_allclose(frame_logits(features, model), frame_logits(filled, model)[:46], atol=1e-4)


# Decoding


def test_overlapping_blocks_are_averaged(model):
    features = np.random.default_rng(3).normal(size=(170, 144)).astype(np.float32)
    both = frame_logits(features, model, overlap=True)
    first, second = frame_logits(features[:108], model), frame_logits(features[72:], model)
    np.testing.assert_allclose(both[:72], first[:72], atol=1e-5)
    np.testing.assert_allclose(both[72:108], (first[72:] + second[:36]) / 2, atol=1e-5)
    np.testing.assert_allclose(both[108:], second[36:], atol=1e-5)


@pytest.mark.parametrize("frames", [0, 1, 36, 108, 109, 144, 145, 180, 181])
def test_overlapping_blocks_cover_every_frame(model, frames):
    features = noise(181 * 144).reshape(-1, 144)[:frames] - 5
    both = frame_logits(features, model, overlap=True)
    assert both.shape == (frames, 170) and np.isfinite(both).all()


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("piece", [1, 36, 108, 700, 1296])
def test_logits_do_not_depend_on_the_pieces(model, overlap, piece):
    features = noise(2000 * 144).reshape(-1, 144) - 5
    frames = FrameLogits(model, overlap)
    parts = [frames.push(features[start : start + piece]) for start in range(0, len(features), piece)]
    parts.append(frames.finish())
    np.testing.assert_array_equal(np.concatenate(parts), frame_logits(features, model, overlap))
    assert len(frames.finish()) == 0  # and the next track begins empty


def test_published_decoding_of_frames(fixtures):
    cases = json.loads((fixtures / "btc/decode_cases.json").read_text())
    assert len(cases) == 36
    for case in cases:
        assert write_lab(frames_to_segments(case["frames"]), "paper") == case["lab"]


def test_segments_write_major_out_and_leave_no_gap():
    segments = frames_to_segments([1, 1, 169, 168, 0], 0.5)
    assert segments == [
        ChordSegment(0.0, 1.0, "C:maj"),
        ChordSegment(1.0, 1.5, "N"),
        ChordSegment(1.5, 2.0, "X"),
        ChordSegment(2.0, 2.5, "C:min"),
    ]
    assert frames_to_segments([]) == []


@pytest.mark.parametrize("song", ["c", "e"])
def test_chords_of_stored_features(fixtures, model, song):
    ids = frame_logits(stored_features(fixtures / "btc", song), model).argmax(axis=1)
    expected = (fixtures / f"btc/song_{song}.tiny.lab").read_text()
    assert write_lab(frames_to_segments(ids), "paper") == expected


@pytest.mark.parametrize("net", ["tiny", "full"])
def test_chords_of_all_golden_songs(shared, net):
    folder = shared / "golden/btc"
    model = convert_btc_checkpoint(folder / f"{net}_checkpoint.pt")
    golden = json.loads((folder / f"songs.{net}.decode.json").read_text())
    for song, expected in golden.items():
        ids = frame_logits(stored_features(folder, song), model).argmax(axis=1)
        assert ids.tolist() == expected["frames"][: len(ids)]
        assert write_lab(frames_to_segments(ids), "paper") == (folder / f"song_{song}.{net}.lab").read_text()


def best_path(log_probabilities: np.ndarray, penalty: float) -> tuple[int, ...]:
    """By trying all of them."""
    frames, classes = log_probabilities.shape

    def score(path):
        moves = -penalty * sum(a != b for a, b in zip(path[:-1], path[1:], strict=True))
        return moves + sum(log_probabilities[i, state] for i, state in enumerate(path))

    return max(product(range(classes), repeat=frames), key=score)


@pytest.mark.parametrize("seed", range(8))
def test_smooth_path_is_the_most_probable_one(seed):
    logits = np.random.default_rng(seed).normal(0, 2, (7, 4)).astype(np.float32)
    frames = SmoothFrames(change_penalty=1.5)
    frames.push(logits[:3])
    frames.push(logits[3:])
    log_probabilities = torch.from_numpy(logits).double().log_softmax(1).numpy()
    assert tuple(frames.finish()) == best_path(log_probabilities, penalty=1.5)


def test_smooth_drops_flicker_and_keeps_changes():
    ids = np.repeat([5, 20], 30)
    ids[12] = 100
    logits = np.zeros((60, 170), np.float32)
    logits[np.arange(60), ids] = 6
    frames = SmoothFrames()
    frames.push(logits)
    assert frames.finish().tolist() == [5] * 30 + [20] * 30


def test_borders_may_fall_anywhere():
    segments = frames_to_segments([5, 5, 20, 20], 2.0, borders=np.array([3.25]))
    assert [(s.start, s.end) for s in segments] == [(0.0, 3.25), (3.25, 8.0)]


# Recogniser


def test_recogniser_reads_samples(fixtures, model):
    recognizer = ChordRecognizer(model)
    assert recognizer.sampling_rate == 22050
    segments = recognizer(read(fixtures / "btc/song_e.flac"))
    ids = frame_logits(stored_features(fixtures / "btc", "e"), model).argmax(axis=1)
    found = np.concatenate([[s.label] * round((s.end - s.start) * 10.8) for s in segments])
    expected = np.concatenate([[s.label] * round((s.end - s.start) * 10.8) for s in frames_to_segments(ids)])
    assert np.mean(found == expected) > 0.95  # exact where the transform is bit-equal


@pytest.mark.parametrize("decoding", ["paper", "smooth"])
@pytest.mark.parametrize("block", [7001, 3 * CHUNK_SAMPLES + 11])
def test_blocks_give_the_same_as_the_whole(model, short_groups, decoding, block):
    waveform = noise(5 * CHUNK_SAMPLES + 12345)
    recognizer = ChordRecognizer(model, decoding)
    whole = recognizer(waveform)
    stream = recognizer.stream()
    for start in range(0, len(waveform), block):
        stream.push(waveform[start : start + block])
    assert stream.finish() == whole
    assert whole[0].start == 0 and all(a.end == b.start for a, b in zip(whole[:-1], whole[1:], strict=True))


def test_streams_are_independent_and_copy_their_input(model):
    first, second = noise(3 * SECOND), noise(2 * SECOND, seed=1)
    recognizer = ChordRecognizer(model)
    streams = recognizer.stream(), recognizer.stream()
    buffer = np.empty(SECOND, np.float32)
    for second_index in range(3):
        for stream, waveform in zip(streams, (first, second), strict=True):
            samples = waveform[second_index * SECOND : (second_index + 1) * SECOND]
            buffer[: len(samples)] = samples
            stream.push(buffer[: len(samples)])
    assert streams[0].finish() == recognizer(first)
    assert streams[1].finish() == recognizer(second)


class Recording(SmoothFrames):
    """A decoder that keeps its logits."""

    def __init__(self):
        super().__init__()
        self.logits = []

    def push(self, logits):
        self.logits.append(logits.copy())
        super().push(logits)


def test_groups_overlap_as_the_blocks_within_them():
    """Groups of half a minute against one pass over all: no frame depends on the border of a group."""
    torch.manual_seed(0)
    btc = BTCModel(BTCConfig(num_hidden_layers=1, hidden_size=16, intermediate_size=16))
    with torch.no_grad():
        btc.classifier.weight *= 100
    recognizer = ChordRecognizer(btc, "smooth")
    waveform = noise(245 * SECOND)
    stream = recognizer.stream()
    stream._frames._frames = recording = Recording()
    for start in range(0, len(waveform), 30 * SECOND):
        stream.push(waveform[start : start + 30 * SECOND])
    segments = stream.finish()

    logits = frame_logits(cqt_features(waveform), recognizer.model, overlap=True)
    np.testing.assert_allclose(np.concatenate(recording.logits), logits, atol=1e-4)
    np.testing.assert_allclose(stream._frames._onsets.joined()[:, 0], onset_strength(waveform), atol=1e-3)
    frames = SmoothFrames()
    frames.push(logits)
    runs = frames_to_segments(frames.finish())
    assert [segment.label for segment in segments] == [run.label for run in runs] and len(runs) > 3
    starts, expected = ([part.start for part in parts] for parts in (segments, runs))
    np.testing.assert_allclose(starts, expected, atol=0.16)  # moved to onsets


def test_no_more_than_a_group_is_held(model, short_groups, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        chords_m2e, "cqt_features", lambda waveform: sizes.append(len(waveform)) or np.zeros((108, 144), np.float32)
    )
    stream = ChordRecognizer(model, "smooth").stream()
    for _ in range(50):
        stream.push(np.zeros(SECOND))
        assert sum(map(len, stream._pieces)) < 2 * CHUNK_SAMPLES
        assert len(stream._held_levels) <= 108 * BATCH_BLOCKS
    stream.finish()
    assert sizes == [2 * CHUNK_SAMPLES, 2 * CHUNK_SAMPLES, CHUNK_SAMPLES]


@pytest.mark.parametrize("decoding", ["paper", "smooth"])
@pytest.mark.parametrize("seconds", [0.0001, 0.6, 10.0, 12.5])
def test_silence_and_short_signals_have_an_answer(model, decoding, seconds):
    for waveform in (np.zeros(int(seconds * SECOND)), noise(int(seconds * SECOND))):
        segments = ChordRecognizer(model, decoding)(waveform)
        assert segments and np.isfinite([(s.start, s.end) for s in segments]).all()
        assert abs(segments[-1].end - seconds) < 0.19
        assert all(s.start < s.end for s in segments)


def test_smooth_ends_with_the_track(model):
    waveform = noise(int(4.2 * SECOND))
    assert ChordRecognizer(model, "paper")(waveform)[-1].end > 4.2
    assert ChordRecognizer(model, "smooth")(waveform)[-1].end == 4.2


def test_nothing_gives_nothing(model):
    assert ChordRecognizer(model)(np.empty(0)) == []


def test_poison_is_refused(model):
    recognizer = ChordRecognizer(model)
    waveform = noise(SECOND)
    broken = waveform.copy()
    broken[100] = np.nan
    with pytest.raises(AudioError, match="NaN or infinite"):
        recognizer(broken)
    with pytest.raises(ValueError, match=r"mono waveform .* \(2, 22050\)"):
        recognizer(np.stack([waveform, waveform]))
    with pytest.raises(ModelError, match="Unknown chord decoding 'best'"):
        ChordRecognizer(model, "best")


def test_round_trip_through_a_model_folder(fixtures, tmp_path):
    model = convert_btc_checkpoint(fixtures / "btc/tiny_checkpoint.pt")  # its own: saving writes into the config
    waveform = noise(3 * SECOND)
    saved = ChordRecognizer(model, "smooth")
    saved.save_pretrained(tmp_path)
    assert {path.name for path in (tmp_path / "chords").iterdir()} == {"config.json", "model.safetensors"}
    again = ChordRecognizer.from_pretrained(tmp_path, revision=None, trust_remote_code=True)
    assert again.decoding == "smooth" and again(waveform) == saved(waveform)
    assert ChordRecognizer.from_pretrained(tmp_path.parent, "paper", subfolder=tmp_path.name).decoding == "paper"


def test_half_precision_files_are_computed_in_single(fixtures, tmp_path):
    model = convert_btc_checkpoint(fixtures / "btc/tiny_checkpoint.pt").half()
    ChordRecognizer(model).save_pretrained(tmp_path)
    again = ChordRecognizer.from_pretrained(tmp_path).to("cpu")
    assert again.model.dtype == torch.float32 and again.device.type == "cpu"
    assert again(noise(SECOND))


def test_missing_weights_are_refused(model, tmp_path):
    ChordRecognizer(model).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "chords/model.safetensors")
    del weights["classifier.bias"]
    for bias in ({}, {"classifier.bias": torch.zeros(3)}):  # none, and one of another network
        save_file(weights | bias, tmp_path / "chords/model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ModelError, match="lacks 1 weights of the chord recogniser"):
            ChordRecognizer.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match="nowhere cannot be loaded as a chord recogniser"):
        ChordRecognizer.from_pretrained(tmp_path / "nowhere")


def test_weights_are_saved_in_half_precision_where_nothing_is_lost(model, tmp_path):
    stored = tmp_path / "chords" / "model.safetensors"
    exact = BTCModel(model.config)  # random weights, of single precision
    ChordRecognizer(exact).save_pretrained(tmp_path)
    assert {weight.dtype for weight in load_file(stored).values()} == {torch.float32}
    whole = stored.stat().st_size
    rounded = ChordRecognizer.from_pretrained(tmp_path)
    rounded.model.load_state_dict({name: w.half().float() for name, w in rounded.model.state_dict().items()})
    rounded.save_pretrained(tmp_path)
    assert stored.stat().st_size < 0.6 * whole
    again = ChordRecognizer.from_pretrained(tmp_path)
    for name, weight in again.model.state_dict().items():
        assert weight.dtype == torch.float32 and torch.equal(weight, rounded.model.state_dict()[name])
