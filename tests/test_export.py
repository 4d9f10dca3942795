"""m2e export: the graphs give what the networks give, at any length; files, names, refusals."""

import json
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
import torch
from typer.testing import CliRunner

for library in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(library)

import exported  # noqa: E402
import onnx  # noqa: E402
from onnx import numpy_helper  # noqa: E402

import push_to_hub  # noqa: E402
from m2e import cli  # noqa: E402
from m2e.errors import ModelError  # noqa: E402
from m2e.export.constant_q import ConstantQ  # noqa: E402
from m2e.export.convert import SMALL  # noqa: E402
from m2e.export.runtime import Graphs  # noqa: E402
from m2e.export.seam import with_graphs  # noqa: E402
from m2e.export.spectrum import Spectrum, framed  # noqa: E402
from m2e.export.write import export, graphs  # noqa: E402
from modeling_m2e import (  # noqa: E402
    M2EConfig,
    M2EForMusicEmotion,
    M2EProcessor,
    MusicEmotionPipeline,
)
from modeling_m2e.chords_m2e import cqt_features  # noqa: E402
from modeling_m2e.harmony_statistics_m2e import STATISTICS  # noqa: E402
from modeling_m2e.output_m2e import compose  # noqa: E402

LENGTHS = (3.0, 30.0, 61.3)  # seconds


@pytest.fixture(scope="module")
def pipe() -> MusicEmotionPipeline:
    return exported.pipeline()


@pytest.fixture(scope="module")
def folder() -> Path:
    return exported.folder()


def chord_times(record, seconds: float) -> list[str]:
    """The label at every hundredth of a second."""
    times = np.arange(0, seconds, 0.01)
    starts = [chord.start for chord in record.chords]
    return [record.chords[index].label for index in np.searchsorted(starts, times, side="right") - 1]


def by_graphs(pipe: MusicEmotionPipeline, found: Graphs, waveform: np.ndarray):
    """The record of a track of which every network is a graph."""
    swapped = with_graphs(deepcopy(pipe), found)
    track = swapped.processor.analyze((waveform, tiny.SAMPLING_RATE))
    inputs = {name: value[0].numpy() for name, value in swapped.processor.collate([track]).items()}
    outputs = found.model(**inputs)
    known = {name: outputs[name] for name in ("mood_logits", "va", "quadrant_logits", "window_va")}
    return compose(
        **known, config=pipe.model.config, windows=track.windows, duration=track.duration, key=track.key,
        chords=track.chords,
    )  # fmt: skip


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("seconds", LENGTHS)
def test_graphs_predict_what_the_networks_predict(pipe, folder, seconds, half):
    waveform = tiny.waveform(seconds)
    expected, found = pipe((waveform, tiny.SAMPLING_RATE)), by_graphs(pipe, Graphs(folder, half), waveform)
    assert abs(found.valence - expected.valence) < 0.01 and abs(found.arousal - expected.arousal) < 0.01
    moods = {mood.label: mood.score for mood in expected.moods}
    assert max(abs(mood.score - moods[mood.label]) for mood in found.moods) < 0.005
    labels, reference = chord_times(found, seconds), chord_times(expected, seconds)
    assert len(set(reference)) > 1
    assert np.mean([a == b for a, b in zip(labels, reference, strict=True)]) > 0.995
    assert found.key == pytest.approx(expected.key) if expected.key is None else found.key.tonic == expected.key.tonic
    assert [round(point.start, 6) for point in found.curve] == [round(point.start, 6) for point in expected.curve]
    points = [[[p.valence, p.arousal] for p in record.curve] for record in (found, expected)]
    np.testing.assert_allclose(*points, atol=0.01)


def test_different_tracks_differ(pipe, folder):
    """So that equality above says something."""
    first, second = (by_graphs(pipe, Graphs(folder), tiny.waveform(6, seed)) for seed in (1, 2))
    assert abs(first.valence - second.valence) > 1e-3
    assert [chord.label for chord in first.chords] != [chord.label for chord in second.chords]


def test_windows_at_once_and_their_seconds(pipe, folder):
    windows = np.stack([tiny.waveform(2.4, seed) for seed in (1, 2, 3)])
    output = Graphs(folder).encoder(windows)
    expected = pipe.processor.encoder.model(torch.from_numpy(windows))
    np.testing.assert_allclose(output["seconds"], expected.last_hidden_state.detach(), atol=1e-4)
    np.testing.assert_allclose(output["embeddings"], expected.pooler_output.detach(), atol=1e-4)


def test_a_long_track_in_parts_has_the_chords_of_the_whole(pipe, folder):
    waveform = tiny.waveform(125)
    swapped = with_graphs(deepcopy(pipe), Graphs(folder))
    streams = pipe.processor.chord_recognizer.stream(), swapped.processor.chord_recognizer.stream()
    for stream in streams:
        for block in np.array_split(waveform, 7):
            stream.push(block)
    expected, found = (stream.finish() for stream in streams)
    assert [chord.label for chord in found] == [chord.label for chord in expected]
    np.testing.assert_allclose([c.start for c in found], [c.start for c in expected], atol=0.02)
    np.testing.assert_allclose(streams[1].statistics(), streams[0].statistics(), atol=1e-3)


def test_very_short_audio_has_a_frame(folder):
    swapped = with_graphs(exported.pipeline(), Graphs(folder)).processor.chord_recognizer.stream()
    swapped.push(tiny.waveform(0.01))
    assert len(swapped.finish()) == 1


def test_a_track_without_chords_is_one_masked_chord(pipe, folder):
    embeddings = np.random.default_rng(0).standard_normal((1, 12)).astype(np.float32)
    nothing = np.full(STATISTICS, np.nan, np.float32)
    output = Graphs(folder).model(
        embeddings=embeddings,
        window_weights=np.ones(1, np.float32),
        chord_roots=np.zeros(1, np.int64),
        chord_qualities=np.zeros(1, np.int64),
        chord_durations=np.zeros(1, np.float32),
        chord_mask=np.zeros(1, bool),
        mode=np.zeros((), np.float32),
        harmony_statistics=nothing,
    )
    with torch.inference_mode():
        expected = pipe.model(embeddings=torch.from_numpy(embeddings)[None])
    np.testing.assert_allclose(output["va"], expected.va[0], atol=1e-4)
    np.testing.assert_allclose(output["mood_logits"], expected.mood_logits[0], atol=1e-4)


# --- the files ---


def test_the_description_names_what_the_graphs_have(pipe, folder):
    described = json.loads((folder / "onnx" / "model.json").read_text())
    for name, graph in described["graphs"].items():
        for suffix in ("", "_fp16"):
            model = onnx.load(folder / "onnx" / f"{name}{suffix}.onnx").graph
            for values, axes in ((model.input, graph["inputs"]), (model.output, graph["outputs"])):
                shapes = {
                    value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
                    for value in values
                }
                assert shapes == axes
    assert described["moods"]["labels"] == pipe.model.config.moods
    assert described["chords"]["labels"] == pipe.processor.chord_recognizer.labels
    assert described["answers"] == exported.ANSWERS and described["descriptors"] == pipe.model.config.descriptors
    assert described["tokens"]["N"] == [1, 1]
    assert described["sampling_rate"] == 22050 and described["windows"]["seconds"] == 30.0


def test_graphs_have_common_operations_and_no_names_of_this_machine(folder):
    rare = {"STFT", "DFT", "Attention", "Loop", "If", "Scan"}
    for path in (folder / "onnx").glob("*.onnx"):
        model = onnx.load(path)
        assert {opset.domain for opset in model.opset_import} <= {"", "ai.onnx"}
        assert not {node.op_type for node in model.graph.node} & rare
        assert str(Path(__file__).parent.parent).encode() not in path.read_bytes()


def test_half_weights_take_less_room(folder):
    sizes = {path.name: path.stat().st_size for path in (folder / "onnx").iterdir()}
    assert all(sizes[f"{name}_fp16.onnx"] < sizes[f"{name}.onnx"] for name in ("encoder", "chords", "model"))


def test_filters_stay_exact_and_weights_do_not(pipe, folder):
    for part in graphs(pipe):
        model = onnx.load(folder / "onnx" / f"{part.name}_fp16.onnx").graph
        held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.initializer}
        for name in part.filters():
            np.testing.assert_array_equal(held[name], part.get_buffer(name))
        single = {name for name, value in held.items() if value.dtype == np.float32 and value.size >= SMALL}
        assert single <= part.filters()


def test_graphs_hold_no_counts(folder):
    for path in (folder / "onnx").glob("*.onnx"):
        whole = [tensor for tensor in onnx.load(path).graph.initializer if tensor.data_type == onnx.TensorProto.INT64]
        assert max(int(np.prod(tensor.dims)) for tensor in whole) < 5000, path.name


def test_another_encoder_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(ModelError, match="cannot be exported: its encoder is of type 'taggers'; give a model"):
        export(tiny.pipeline(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_graphs_says_how_to_write_them(tmp_path):
    with pytest.raises(ModelError, match="write it with m2e export"):
        Graphs(tmp_path)


def test_a_model_without_chords_has_two_graphs():
    processor = M2EProcessor.build(exported.pipeline().processor.encoder)
    model = M2EForMusicEmotion(M2EConfig.default(embedding_size=12, use_harmony=False, fusion_size=8, branch_size=8))
    parts = graphs(MusicEmotionPipeline(model=model.eval(), processor=processor))
    assert [part.name for part in parts] == ["encoder", "model"]
    assert list(parts[1].inputs) == ["embeddings", "window_weights"]


# --- transforms as products of matrices ---


@pytest.mark.parametrize("size", [1024, 490, 12])
def test_the_spectrum_is_that_of_a_fourier_transform(size):
    window, frames = torch.hann_window(size), torch.randn(5, size, generator=torch.Generator().manual_seed(0))
    spectrum = Spectrum(window)
    bins = spectrum.weights(torch.eye(size // 2 + 1))
    found = (spectrum(frames) @ bins).sum(0)
    expected = torch.fft.rfft(frames * window).abs().square()
    torch.testing.assert_close(found, expected, atol=1e-5 * expected.max().item(), rtol=0)


@pytest.mark.parametrize(("size", "hop", "pieces"), [(10, 4, 6), (4, 4, 3), (3, 5, 4)])
def test_frames_are_those_of_unfold(size, hop, pieces):
    signals = torch.randn(2, hop * pieces)
    expected = signals.unfold(1, size, hop)[:, : pieces + 1 - -(-size // hop)]
    assert torch.equal(framed(signals, size, hop), expected)


def test_the_constant_q_transform_is_that_of_the_recogniser():
    waveform = tiny.waveform(4)
    longer = torch.nn.functional.pad(torch.from_numpy(waveform)[None], (0, 999))
    found = (ConstantQ(22050, 2048, 144, 24)(longer, torch.tensor([len(waveform)]))[0] + 1e-6).log()
    expected = cqt_features(waveform)
    np.testing.assert_allclose(found[: len(expected)], expected, atol=2e-3)


def test_the_example_of_the_documentation_runs(folder, tmp_path):
    text = (Path(__file__).parent.parent / "docs" / "onnx.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    code = code.replace("OUT/", f"{folder}/").replace("song.wav", f"{tmp_path}/a.wav")
    soundfile.write(tmp_path / "a.wav", tiny.waveform(31), tiny.SAMPLING_RATE)
    names: dict = {}
    exec(code, names)
    assert names["va"].shape == (2,) and names["curve"].shape == (1, 2)
    assert np.isfinite(names["va"]).all()


# --- the command ---


def run(*arguments, status: int = 0):
    result = CliRunner().invoke(cli.app, ["export", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.output


def test_the_command_replaces_an_earlier_folder_and_lists_its_files(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("m2e.checkpoints.load.load", lambda *_, **__: exported.pipeline())
    monkeypatch.setattr("m2e.export.convert.to_onnx", lambda part: onnx.load(folder / "onnx" / f"{part.name}.onnx"))
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "old.onnx").write_text("old")
    lines = run("any", tmp_path).splitlines()
    names = sorted(path.name for path in (folder / "onnx").iterdir())
    assert [Path(line.split("  ")[0]).name for line in lines] == names
    assert sorted(path.name for path in (tmp_path / "onnx").iterdir()) == names


def test_the_command_names_a_missing_library(tmp_path, monkeypatch):
    monkeypatch.setattr("m2e.checkpoints.load.load", lambda *_, **__: exported.pipeline())
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.delitem(sys.modules, "m2e.export.convert", raising=False)
    assert 'needs onnxscript: install it with pip install "m2e[onnx]"' in run("any", tmp_path, status=2)


def test_the_command_refuses_what_is_no_model(tmp_path):
    assert "holds no model" in run(tmp_path, tmp_path / "out", status=2)


# --- push_to_hub.py --onnx ---


def test_a_push_exports_first(pipe, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("m2e.export.convert.to_onnx", lambda part: onnx.load(folder / "onnx" / f"{part.name}.onnx"))
    monkeypatch.chdir(tmp_path)
    pipe.save_pretrained("model")
    push_to_hub.main(["model", "--repo", "me/tiny", "--license", "mit", "--dry-run", "--onnx"])
    written = tmp_path / "build" / "hub" / "models" / "me--tiny"
    assert Graphs(written).description["model"] == "me/tiny"
    assert "`chords_fp16.onnx`" in (written / "README.md").read_text(encoding="utf-8")
    assert not (tmp_path / "model" / "onnx").exists()


def test_a_push_of_another_encoder_says_that_it_has_no_graphs(tmp_path):
    tiny.pipeline().save_pretrained(tmp_path / "model")
    with pytest.raises(SystemExit, match="cannot be exported: its encoder is of type 'taggers'"):
        push_to_hub.main([str(tmp_path / "model"), "--repo", "me/tiny", "--license", "mit", "--dry-run", "--onnx"])


# --- m2e predict --runtime onnx ---


def predicted(*arguments, status: int = 0) -> str:
    result = CliRunner().invoke(cli.app, ["predict", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.output


def test_predict_computes_by_the_graphs_of_a_folder(pipe, folder, tmp_path):
    pipe.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "onnx").symlink_to(folder / "onnx")
    soundfile.write(tmp_path / "a.wav", tiny.waveform(12), tiny.SAMPLING_RATE)
    arguments = (tmp_path / "a.wav", "--model", tmp_path / "model", "--format", "jsonl")
    by_torch, by_onnx = (json.loads(predicted(*arguments, "--runtime", name)) for name in ("torch", "onnx"))
    assert by_onnx["valence"] == pytest.approx(by_torch["valence"], abs=0.01)
    assert [chord["label"] for chord in by_onnx["chords"]] == [chord["label"] for chord in by_torch["chords"]]


def test_predict_says_how_to_write_graphs_that_are_missing(tmp_path):
    soundfile.write(tmp_path / "a.wav", tiny.waveform(3), tiny.SAMPLING_RATE)
    assert "write it with m2e export" in predicted(tmp_path / "a.wav", "--runtime", "onnx", status=2)
