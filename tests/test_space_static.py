"""space-static: its JavaScript decodes as the package does; the built page predicts what the command line predicts."""

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import exported
import numpy as np
import pytest
import torch

from m2e.export.describe import _chords, _emotion, _key, _windows
from m2e.space import plane, scale
from m2e.views.records import short_chord
from modeling_m2e import M2EConfig
from modeling_m2e.chord_labels_m2e import VOCABULARY, ChordSegment, chord_tokens, without_edges
from modeling_m2e.chords_m2e import ChordFrames
from modeling_m2e.harmony_m2e import with_silence
from modeling_m2e.harmony_statistics_m2e import harmony_statistics
from modeling_m2e.key_m2e import FITTED, MODES, ROOTS, Key, estimate_key, normalise
from modeling_m2e.local_harmony_m2e import with_harmony_of
from modeling_m2e.output_m2e import compose
from modeling_m2e.processing_m2e import TrackFeatures
from modeling_m2e.silence_m2e import SilenceCutter
from modeling_m2e.window_embeddings_m2e import SlidingEmbeddings, WindowEmbeddings

SOURCE = Path(__file__).resolve().parent.parent / "space-static" / "src"
RATE = 22050

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


def node(tmp_path: Path, script: str, **values) -> dict:
    """What `script` makes of `values`: it has the modules and `input`, and returns an object."""
    place = tmp_path / "input.json"
    place.write_text(json.dumps(values))
    code = f"""
import {{ readFileSync }} from "node:fs";
import * as chords from "{SOURCE.as_uri()}/chords.js";
import * as harmony from "{SOURCE.as_uri()}/harmony.js";
import * as record from "{SOURCE.as_uri()}/record.js";
import * as scale from "{SOURCE.as_uri()}/scale.js";
import * as timeline from "{SOURCE.as_uri()}/timeline.js";
import * as windows from "{SOURCE.as_uri()}/windows.js";
const input = JSON.parse(readFileSync({json.dumps(str(place))}, "utf8"));
const result = await (async () => {{ {script} }})();
const plain = (_, value) =>
  ArrayBuffer.isView(value) ? Array.from(value, Number) : typeof value === "bigint" ? Number(value) : value;
console.log(JSON.stringify(result, plain));
"""
    done = subprocess.run(
        ["node", "--input-type=module", "-e", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def track(seed: int, frames: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of chords that last a while, levels that fade into silence, and onsets."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1, (frames, 170)).astype(np.float32)
    chords = np.repeat(random.integers(0, 170, 1 + frames // 20), 20)[:frames]
    chords[60:80] = 169
    logits[np.arange(frames), chords] += 6
    levels = random.normal(-2, 1, frames).astype(np.float32)
    levels[-30:] = -13.0
    return logits, levels, random.random(frames * 2048 // 245).astype(np.float32)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_chords_key_and_statistics_are_those_of_the_package(tmp_path, seed):
    logits, levels, onsets = track(seed)
    duration = 27.3
    rules = _chords(SimpleNamespace(labels=list(VOCABULARY), decoding="smooth"))
    frames = ChordFrames(list(VOCABULARY), "smooth")
    frames.push(logits.copy(), levels)
    frames.push_onsets(onsets)
    expected = frames.finish(duration, duration)
    key = estimate_key(expected)
    ids = chord_tokens(normalise(expected, key), "m2e")
    pairs = {label: [i, i + 1000] for i, label in enumerate(VOCABULARY)}

    found = node(
        tmp_path,
        """
const frames = Object.fromEntries(["logits", "levels", "onsets"].map((n) => [n, Float32Array.from(input[n])]));
const found = chords.decode(frames, input.rules, input.duration);
const key = harmony.estimateKey(found, input.key);
const cells = harmony.cells(frames.logits, 170, input.rules.seconds_per_frame);
return { chords: found, key, cells, numbers: harmony.statistics(cells),
  inputs: harmony.chordInputs(found, key, input.rules.labels, input.tokens) };
""",
        logits=logits.ravel().tolist(), levels=levels.tolist(), onsets=onsets.tolist(), rules=rules,
        duration=duration, key=_key(FITTED), tokens=pairs,
    )  # fmt: skip
    assert [rules["names"][chord["id"]] for chord in found["chords"]] == [chord.label for chord in expected]
    np.testing.assert_allclose([c["start"] for c in found["chords"]], [c.start for c in expected], atol=1e-6)
    np.testing.assert_allclose([c["end"] for c in found["chords"]], [c.end for c in expected], atol=1e-6)
    assert len(expected) > 5 and key is not None
    assert ROOTS[found["key"]["tonic"]] == key.tonic and ("major", "minor")[found["key"]["mode"]] == key.mode
    assert found["key"]["confidence"] == pytest.approx(key.confidence, abs=1e-4)
    np.testing.assert_allclose(found["cells"], frames.statistics(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["numbers"], harmony_statistics(frames.statistics()), atol=1e-4)
    moved = [VOCABULARY[index] for index in found["inputs"]["chord_roots"]]
    assert [rules["names"][VOCABULARY.index(label)] for label in moved] == [
        chord.label for chord in normalise(expected, key)
    ]
    np.testing.assert_allclose(found["inputs"]["chord_durations"], ids.durations, atol=1e-5)


def test_silence_and_parts_of_a_track_are_those_of_the_package(tmp_path):
    """Chords of a waveform without its silence, in their places; what lies around a point of the curve."""
    samples = np.random.default_rng(0).normal(0, 0.1, 60 * 100).astype(np.float32)
    samples[:730], samples[2000:3500], samples[5700:] = 0, 1e-5, 0
    cutter = SilenceCutter(100)
    seconds = len(np.concatenate([cutter.push(samples), cutter.finish()])) / 100
    edges = np.linspace(0, seconds, 12)
    none = VOCABULARY.index("N")
    ids = [none, 3, 20, none, none, 40, 3, 60, 70, 80, none]
    chords = [ChordSegment(a, b, VOCABULARY[i]) for a, b, i in zip(edges[:-1], edges[1:], ids, strict=True)]
    starts = [cutter.place(int(second) * 100) / 100 for second in np.arange(0, seconds, 10)]
    cells = [[start, *range(index, index + 9)] for index, start in enumerate(starts)]
    found = node(
        tmp_path,
        """
const { parts } = windows.withoutSilence(Float32Array.from(input.samples), 100);
const placed = harmony.withSilence(input.chords, parts, 100, 60, input.none);
return { placed, inner: harmony.withoutEdges(placed, input.none), clipped: harmony.clipped(placed, 12, 42),
  cells: harmony.cellsBetween(input.cells, 12, 42, 60), nearest: harmony.cellsBetween(input.cells, 0.1, 0.2, 60) };
""",
        samples=samples.tolist(), chords=[vars(c) | {"id": i} for c, i in zip(chords, ids, strict=True)],
        none=none, cells=cells,
    )  # fmt: skip
    placed = with_silence(chords, cutter.kept_parts(), 100, 60.0)
    track = TrackFeatures("", 60.0, [], torch.zeros(0), placed, None, np.array(cells))
    around, nearest = with_harmony_of(track, 12, 42, FITTED), with_harmony_of(track, 0.1, 0.2, FITTED)

    def listed(chords) -> list[tuple[float, float, int]]:
        return [(round(c.start, 6), round(c.end, 6), VOCABULARY.index(c.label)) for c in chords]

    for name, expected in {"placed": placed, "inner": without_edges(placed), "clipped": around.chords}.items():
        assert [(round(c["start"], 6), round(c["end"], 6), c["id"]) for c in found[name]] == listed(expected)
    assert len(placed) > 6 and placed[0].label == placed[-1].label == "N"
    np.testing.assert_allclose(found["cells"], around.statistics)
    np.testing.assert_allclose(found["nearest"], nearest.statistics)
    assert 1 < len(found["cells"]) < len(cells) and len(found["nearest"]) == 1


def test_no_chord_that_sounds_has_no_key(tmp_path):
    script = "return { key: harmony.estimateKey([{ start: 0, end: 9, id: 169 }], input.key) };"
    assert node(tmp_path, script, key=_key(FITTED)) == {"key": None}


class Means:
    """An encoder whose embeddings are numbers that anyone can compute: the mean square, and the count of samples."""

    sampling_rate, hidden_size, window_seconds = 100, 2, 30.0

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        return torch.stack([windows.square().mean(1), torch.full((len(windows),), float(windows.shape[1]))], 1)

    def seconds(self, windows: torch.Tensor) -> torch.Tensor:
        missing = -windows.shape[1] % 100
        cells = torch.nn.functional.pad(windows, (0, missing)).unflatten(1, (-1, 100))
        return torch.stack([cells.square().mean(2), cells.sum(2)], 2)


@pytest.mark.parametrize("seconds", [0.6, 3.4, 30.0, 31.0, 61.7, 95.6])
@pytest.mark.parametrize("hop", [None, 2.0])
@pytest.mark.parametrize("silence", [False, True])
def test_windows_are_those_of_the_package(tmp_path, seconds, hop, silence):
    waveform = np.random.default_rng(0).normal(0, 0.1, round(seconds * 100)).astype(np.float32)
    if seconds > 20:
        waveform[500:900] = 0
    encoder, size = Means(), 10.0 if hop else 30.0
    windows = (
        WindowEmbeddings(encoder, size, silence) if hop is None else SlidingEmbeddings(encoder, size, hop, silence)
    )
    windows.push(waveform)
    spans, embeddings = windows.finish()
    extractor = SimpleNamespace(window_seconds=size, hop_seconds=hop, skip_silence=silence, harmony_seconds=None)
    found = node(
        tmp_path,
        """
const encode = async (w) => {
  const square = (x) => x.reduce((a, b) => a + b * b, 0);
  const cells = Array.from({ length: Math.ceil(w.length / 100) }, (_, i) => w.subarray(100 * i, 100 * i + 100));
  const seconds = cells.map((c) => Float32Array.of(square(c) / 100, c.reduce((a, b) => a + b, 0)));
  return { embedding: Float32Array.of(square(w) / w.length, w.length), seconds };
};
return windows.embed(Float32Array.from(input.waveform), 100, input.rules, encode);
""",
        waveform=waveform.tolist(), rules=_windows(extractor, encoder.window_seconds),
    )  # fmt: skip
    np.testing.assert_allclose(found["embeddings"], embeddings, atol=1e-4)
    np.testing.assert_allclose(found["spans"], [(window.start, window.end) for window in spans], atol=1e-6)
    np.testing.assert_allclose(found["weights"], [window.weight for window in spans], atol=1e-6)


def outputs_of(random: np.random.Generator, config: M2EConfig) -> dict[str, list[float]]:
    """What a network might give for one track: anything."""
    wide = random.choice([0.3, 3.0])  # from unsure to sure
    return {
        "mood_logits": (random.normal(-2, 2 * wide, 56)).tolist(),
        "va": random.uniform(5 - wide, 5 + wide, 2).tolist(),
        "window_va": random.uniform(0, 10, (2, 2)).tolist(),
        **({"quadrant_logits": random.normal(0, wide, 4).tolist()} if config.num_quadrants else {}),
        **({"descriptor_logits": random.normal(1, 2, 3).tolist()} if config.descriptors else {}),
        "va_spread": random.uniform(0, 1, 2).tolist(),
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"num_quadrants": 4, "answers": exported.ANSWERS, "descriptors": ["liveness", "music", "energy"]},
        {"num_quadrants": 4, "mood_thresholds": [0.2] * 56},
        {"answers": {"mood_base_rates": [0.05] * 56}},
    ],
)
def test_records_say_what_those_of_the_package_say(tmp_path, settings):
    config, random = M2EConfig.default(embedding_size=12, **settings), np.random.default_rng(0)
    tracks, expected = [], []
    for _ in range(400):
        outputs, duration = outputs_of(random, config), random.uniform(0.5, 60)
        tonic, mode, sure = random.integers(12), random.integers(2), random.random()
        key = Key(ROOTS[tonic], MODES[mode], sure) if random.random() < 0.8 else None
        windows = [SimpleNamespace(start=0.0, end=9.0), SimpleNamespace(start=9.0, end=20.0)]
        expected.append(compose(**outputs, config=config, windows=windows, duration=duration, key=key))
        plain = {"tonic": int(tonic), "mode": int(mode), "confidence": sure}
        spans = [[window.start, window.end] for window in windows]
        tracks.append((outputs, {"spans": spans, "duration": duration, "key": key and plain}))
    script = """
return input.tracks.map(([outputs, track]) => {
  const data = Object.fromEntries(Object.entries(outputs).map(([name, data]) => [name, { data }]));
  return record.compose(data, outputs.window_va.flat(), input.model, track);
});"""
    found = node(tmp_path, script, model=_emotion(config) | {"key": _key(FITTED)}, tracks=tracks)
    said = ("selected_moods", "summary", "quadrant", "between", "warnings", "chords")
    for one, other in zip(found, expected, strict=True):
        assert {name: one[name] for name in said} == {name: getattr(other, name) for name in said}
        assert one["key"] == (None if other.key is None else pytest.approx(vars(other.key)))
        for name in ("valence", "arousal", "quadrant_scores", "music", "attributes"):
            assert one[name] == pytest.approx(getattr(other, name)), name
        for name in ("valence_interval", "arousal_interval"):
            assert one.get(name) == pytest.approx(getattr(other, name)), name
        assert one["curve"] == [pytest.approx(vars(point)) for point in other.curve]
        assert [mood["label"] for mood in one["moods"]] == [mood.label for mood in other.moods]
        assert [mood["score"] for mood in one["moods"]] == pytest.approx([mood.score for mood in other.moods])
    assert len({one.summary for one in expected}) > 200
    assert len({len(one.selected_moods) for one in expected}) >= 3
    assert any(one.between for one in expected) == bool(config.num_quadrants)
    assert any(one.warnings for one in expected) == bool(config.descriptors)


@pytest.mark.parametrize("farthest", [5.0, 6.3, 7.1, 8.9])
def test_places_and_colours_are_those_of_the_space(tmp_path, farthest):
    zoom, spots = scale.zoom_of([5.0, farthest]), [(50.0, 50.0), (50.0, 50.0), (52.0, 49.0), (99.0, 3.0)]
    script = """
const zoom = scale.zoomOf([5, input.farthest]);
return { low: zoom.low, high: zoom.high, ticks: zoom.ticks, share: zoom.share(6.2), tint: scale.tint(input.farthest),
  spread: scale.spread(input.spots), typical: scale.TYPICAL, many: scale.MANY };"""
    found = node(tmp_path, script, farthest=farthest, spots=spots)
    assert (found["low"], found["high"], found["ticks"]) == (zoom.low, zoom.high, zoom.ticks())
    assert found["share"] == pytest.approx(zoom.share(6.2), abs=0.01)
    assert found["tint"] == pytest.approx(scale.tint(farthest), abs=0.1)
    assert np.allclose(found["spread"], plane.spread(spots), atol=0.02)
    assert {name: tuple(ends) for name, ends in found["typical"].items()} == scale.TYPICAL
    assert found["many"] == scale.MANY


def test_chords_are_called_as_in_the_space(tmp_path):
    assert node(tmp_path, "return input.labels.map(timeline.shortChord)", labels=list(VOCABULARY)) == [
        short_chord(label) for label in VOCABULARY
    ]
