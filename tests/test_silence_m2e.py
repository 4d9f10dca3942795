"""Silence is left out of windows, and their times remain those of the track."""

import numpy as np
import pytest
import tiny

from m2e.errors import ModelError
from m2e.features.cache import encoder_settings
from modeling_m2e import M2EFeatureExtractor, M2EProcessor
from modeling_m2e.silence_m2e import SOFTEST, SilenceCutter
from modeling_m2e.windows_m2e import Window, Windows

RATE = 1_000  # a block has 100 samples
SIZE = 2_000


def track(*parts: float, seed: int = 0) -> np.ndarray:
    """Noise of so many seconds; a negative number is silence."""
    rng = np.random.default_rng(seed)
    made = [rng.uniform(-0.5, 0.5, round(part * RATE)) if part > 0 else np.zeros(round(-part * RATE)) for part in parts]
    return np.concatenate(made).astype(np.float32)


def cut(samples: np.ndarray, block: int, **options) -> list[tuple[np.ndarray, Window]]:
    windows, pieces = Windows(SIZE, RATE, **options), []
    for start in range(0, len(samples), block):
        pieces += windows.push(samples[start : start + block])
    pieces += windows.finish()
    assert windows.duration == len(samples) / RATE
    return pieces


def kept(samples: np.ndarray, block: int = 777) -> tuple[np.ndarray, list[int]]:
    """What is left, and the place of each sample."""
    cutter = SilenceCutter(RATE)
    parts = [cutter.push(samples[start : start + block]) for start in range(0, len(samples), block)]
    left = np.concatenate([*parts, cutter.finish()])
    return left, [cutter.place(index) for index in range(len(left))]


@pytest.mark.parametrize("block", [1, 99, 100, 777, 10**6])
@pytest.mark.parametrize("parts", [(3.0,), (-5.0, 3.0), (3.0, -4.0), (-0.3, 2, -0.7, 2, -9, 1.05, -2), (1, -1, 1)])
def test_silence_is_left_out_and_every_sample_knows_its_place(parts, block):
    samples = track(*parts)
    left, places = kept(samples, block)
    np.testing.assert_array_equal(samples[places], left)
    assert places == sorted(set(places)) and left.dtype == np.float32
    expected = 0.0
    for index, part in enumerate(parts):
        inner = 0 < index < len(parts) - 1
        expected += part if part > 0 else min(-part, 1.0) * inner
    assert len(left) / RATE == pytest.approx(expected, abs=0.1)  # a block


def test_pauses_are_kept_up_to_a_second():
    left, _ = kept(track(2, -1, 2))
    assert len(left) == 5 * RATE
    np.testing.assert_array_equal(kept(track(2, -30, 2))[0], left)
    np.testing.assert_array_equal(kept(track(-7, 2, -30, 2, -9))[0], left)


def test_a_constant_and_the_noise_of_a_converter_are_silence_and_soft_music_is_not():
    dither = np.random.default_rng(1).triangular(-1, 0, 1, 5 * RATE) / 2**15
    left, _ = kept(np.concatenate([0.01 + dither, track(2.0), 0.01 - dither]).astype(np.float32))
    np.testing.assert_array_equal(left, track(2.0))
    soft = 2e-3 * track(3.0)  # -65 dB
    np.testing.assert_array_equal(kept(soft)[0], soft)


@pytest.mark.parametrize("gain", [1.0, 0.25, 0.06])
def test_what_is_silence_does_not_depend_on_the_volume(gain):
    """Music, a fade below 60 dB under it, hiss that is louder than that, and silence."""
    loud, fade, hiss = track(2.0), 3e-4 * track(3.0, seed=1), 3e-3 * track(1.5, seed=2)
    samples = np.concatenate([loud, fade, hiss, fade, np.zeros(500, np.float32)])
    np.testing.assert_array_equal(kept(gain * samples)[1], kept(samples)[1])
    assert len(kept(samples)[0]) == len(loud) + RATE + len(hiss)  # a second of the fade is a pause


@pytest.mark.parametrize("block", [33, 1_000, 10**6])
def test_windows_have_sound_and_the_times_of_the_track(block):
    samples = track(-5, 3, -10, 4, -6)
    pieces = cut(samples, block, skip_silence=True)
    left, _ = kept(samples)
    np.testing.assert_array_equal(pieces[0][0], left[:SIZE])
    np.testing.assert_array_equal(pieces[1][0], left[SIZE : 2 * SIZE])
    assert [window for _, window in pieces] == [
        Window(5.0, 7.0, 1.0),
        Window(7.0, 9.0, 1.0),  # a second of sound, and one of the pause
        Window(18.0, 20.0, 1.0),
        Window(20.0, 22.0, 1.0),
    ]
    inside = cut(track(1, -10, 4), block, skip_silence=True)
    assert [window for _, window in inside] == [Window(0.0, 2.0, 1.0), Window(11.0, 13.0, 1.0), Window(13.0, 15.0, 1.0)]
    (_, across), *_ = cut(track(0.5, -10, 4), block, skip_silence=True)
    assert (across.start, across.end) == (0.0, 11.0)


@pytest.mark.parametrize("parts", [(1.2,), (2.0,), (2.05,), (3.4,), (7.0,)])
def test_without_silence_nothing_changes(parts):
    plain, skipped = cut(track(*parts), 333), cut(track(*parts), 333, skip_silence=True)
    assert [window for _, window in plain] == [window for _, window in skipped]
    for (one, _), (other, _) in zip(plain, skipped, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_track_of_silence_has_one_window():
    ((samples, window),) = cut(track(-9), 400, skip_silence=True)
    assert len(samples) == SIZE and window == Window(0.0, 9.0, 1.0)
    assert Windows(SIZE, RATE, skip_silence=True).finish() == []


@pytest.mark.parametrize("parts", [(-3, 0.1, -3), (-3, 0.1)])
def test_a_short_sound_is_padded_to_what_an_encoder_needs(parts):
    ((samples, window),) = cut(track(*parts), 400, skip_silence=True)
    assert len(samples) == RATE // 2 and samples[:100].any()
    assert window.start == 3.0 and window.end <= sum(map(abs, parts))


def test_memory_is_flat():
    windows = Windows(SIZE, RATE, skip_silence=True)
    for _ in range(200):
        windows.push(track(0.3, -5, 0.2))
        cutter = windows._silence
        assert len(windows._held) <= 2 * SIZE and len(cutter._pause) <= 10 and len(cutter._rest) < 100


# --- the model ---


def test_the_setting_is_saved_and_missing_in_older_models(tmp_path):
    assert M2EFeatureExtractor().skip_silence is False
    processor = tiny.pipeline(chords=False).processor
    settings = encoder_settings(processor)
    assert "skip_silence" not in settings  # caches of older versions count
    processor.feature_extractor.skip_silence = True
    assert encoder_settings(processor) == settings | {"skip_silence": SOFTEST}
    processor.save_pretrained(tmp_path)
    assert M2EProcessor.from_pretrained(tmp_path).feature_extractor.skip_silence is True
    built = M2EProcessor.build(processor.encoder, skip_silence=True)
    assert built.feature_extractor.skip_silence is True
    with pytest.raises(ModelError, match="skip_silence is yes; give true or false"):
        M2EFeatureExtractor(skip_silence="yes")


def test_silence_around_a_track_changes_no_answer():
    pipe = tiny.pipeline()
    pipe.processor.feature_extractor.skip_silence = True
    music, rate = tiny.waveform(7.0), tiny.SAMPLING_RATE
    silence = np.zeros(5 * rate, np.float32)
    plain = pipe((music, rate), harmony=False)
    longer = pipe((np.concatenate([silence, music, silence]), rate), harmony=False)
    assert longer.valence == pytest.approx(plain.valence, abs=0.02)
    assert longer.duration == pytest.approx(17.0) and plain.duration == pytest.approx(7.0)
    assert [point.start for point in longer.curve] == pytest.approx([point.start + 5 for point in plain.curve], abs=0.1)
    assert pipe((music, rate)).chords[-1].end == pytest.approx(7.0)
