"""datasets_scripts.encoder: clips, shards, packages, teachers and their cached labels."""

import zipfile

import numpy as np
import pretty_midi
import pytest
import soundfile
import torch

from m2e.datasets.encoder import emotions, not_music, scores
from m2e.datasets.encoder import label as labelling
from m2e.datasets.encoder import pool as pools
from m2e.datasets.encoder.labels import load_labels
from m2e.datasets.encoder.packages import keep_audio
from m2e.datasets.encoder.teachers import CLIP_SECONDS, TEACHERS, Teacher, kaldi_mel
from m2e.errors import DataError
from modeling_m2e.audio_mono_m2e import SILENCE_PEAK

RATE = 8000


def record(path, seconds: float, seed: int = 0):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.2 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    soundfile.write(path, samples.clip(-1, 1), RATE)
    return path


def recordings(folder, lengths):
    for number, seconds in enumerate(lengths):
        path = record(folder / f"{number}.wav", seconds, number)
        yield pools.Recording(path, f"group {number}", "train", "CC0")


@pytest.mark.parametrize(
    ("seconds", "clips"),
    [(5, []), (12, [(0, 12)]), (30, [(0, 30)]), (39.9, [(0, 30)]), (45, [(0, 30), (30, 15)]), (90, [(0, 30)] * 3)],
)
def test_recordings_are_cut_into_clips_of_30_seconds(seconds, clips):
    found = pools.cut(seconds)
    assert [length for _, length in found] == pytest.approx([length for _, length in clips])
    assert [start for start, _ in found] == [30 * number for number in range(len(clips))]


def test_a_pool_is_written_once_and_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "SHARD_CLIPS", 2)
    sources = {"a": lambda: recordings(tmp_path / "files", [31, 12, 5, 11])}
    pools.build(tmp_path / "pool", sources)
    clips = pools.read_index(tmp_path / "pool")
    assert [clip.seconds for clip in clips] == [30.0, 12.0, 11.0]
    assert [(clip.shard, clip.row) for clip in clips] == [("a-000", 0), ("a-000", 1), ("a-001", 0)]
    audio = np.load(tmp_path / "pool" / "audio" / "a-000.npy")
    assert audio.shape == (2, 661500) and audio.dtype == np.int16
    assert abs(audio[1, : 12 * 22050]).max() > 3000 and not audio[1, 12 * 22050 + 1 :].any()
    before = (tmp_path / "pool" / "audio" / "a-001.npy").stat().st_mtime_ns
    (tmp_path / "pool" / "audio" / "a-000.npy").unlink()
    pools.build(tmp_path / "pool", sources)
    assert np.array_equal(np.load(tmp_path / "pool" / "audio" / "a-000.npy"), audio)
    assert (tmp_path / "pool" / "audio" / "a-001.npy").stat().st_mtime_ns == before


def test_an_unknown_source_is_named(tmp_path):
    with pytest.raises(DataError, match="b.csv"):
        pools.read_index(tmp_path, ["b"])


def test_clips_of_the_test_split_are_left_out(tmp_path):
    (tmp_path / "metadata.csv").write_text("song_id,artist,split\na,X,train\nb,Y,test\nc,,validation\n")
    found = list(pools.panda4q(tmp_path))
    assert [(each.path.name, each.group, each.split) for each in found] == [
        ("a.opus", "X", "train"),
        ("c.opus", "c", "validation"),
    ]


def test_a_package_gives_each_content_once_with_its_licences(tmp_path):
    record(tmp_path / "usr" / "music" / "one.wav", 1)
    record(tmp_path / "usr" / "music" / "copy.wav", 1)
    (tmp_path / "copyright").write_text("Files: *\nLicense: CC-BY-SA-3.0\n\nFiles: x\nLicense: GPL-2+\n")
    found = list(pools.package(tmp_path))
    assert len(found) == 1
    assert found[0].licence == "CC-BY-SA-3.0; GPL-2+"


def test_audio_of_archives_in_a_package_is_kept(tmp_path):
    files = tmp_path / "files"
    record(files / "usr" / "a.ogg", 1)
    (files / "usr" / "image.png").write_bytes(b"-")
    (files / "doc").mkdir()
    (files / "doc" / "copyright").write_text("License: GPL\n")
    with zipfile.ZipFile(files / "usr" / "data.pk3", "w") as archive:
        archive.write(record(tmp_path / "b.wav", 1), "music/b.wav")
        archive.writestr("maps/x.txt", "-")
    keep_audio(files, tmp_path / "kept")
    kept = {str(path.relative_to(tmp_path / "kept")) for path in (tmp_path / "kept").rglob("*") if path.is_file()}
    assert kept == {"usr/a.ogg", "doc/copyright", "usr/data/music/b.wav"}


def level_teacher(cell_seconds: float = 10.0) -> Teacher:
    """Embeddings: mean power of a cell, and its seconds; tags: 0.25."""

    def label(waveforms):
        power = np.square(waveforms).mean(1)
        return np.stack([power, np.full(len(waveforms), waveforms.shape[1] / RATE)], 1), np.full(
            (len(waveforms), 1), 0.25
        )

    return Teacher(RATE, cell_seconds, label)


@pytest.mark.parametrize("seconds", [6, 12, 30])
def test_cells_divide_a_clip_evenly(seconds):
    pieces = labelling.cells(np.arange(seconds * RATE, dtype=np.float32), level_teacher())
    assert pieces.shape == (3, 10 * RATE)
    assert pieces[0, 0] == 0
    if seconds >= 10:
        assert pieces[-1, -1] == seconds * RATE - 1


@pytest.mark.parametrize("gain", [0.003, 1.0])
def test_teachers_get_every_clip_at_the_same_level(gain):
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32)
    waveform = labelling.levelled(gain * np.concatenate([noise, np.zeros_like(noise)]))
    assert waveform.dtype == np.float32
    assert 10 * np.log10(np.square(waveform[: 10 * RATE]).mean()) == pytest.approx(labelling.LEVEL_DB, abs=0.2)


def test_labels_are_cached_by_shard_and_missing_audio_is_nan(tmp_path):
    pools.build(tmp_path, {"a": lambda: recordings(tmp_path / "files", [30, 12])})
    (tmp_path / "files" / "1.wav").write_bytes(b"damaged")
    pools._recording.cache_clear()
    clips = pools.read_index(tmp_path)
    labelling.label(tmp_path, clips, {"level": level_teacher()})
    with np.load(tmp_path / "labels" / "level" / "a-000.npz") as labels:
        assert labels["embeddings"].shape == (2, 3, 2) and labels["tags"].shape == (2, 3, 1)
        assert labels["embeddings"][0, :, 1] == pytest.approx([10, 10, 10])
        assert labels["embeddings"][0, :, 0] == pytest.approx([0.04] * 3, rel=0.1)
        assert np.isnan(labels["embeddings"][1]).all()

    def never(waveforms):
        raise AssertionError("labelled again")

    labelling.label(tmp_path, clips, {"level": Teacher(RATE, 10.0, never)})


def test_kaldi_mel_filters_are_triangles_with_peaks_below_one():
    filters = kaldi_mel(16000, 512, 20, 0.0, 8000.0)
    assert filters.shape == (20, 257)
    assert filters.min() >= 0 and 0.8 < filters.max() <= 1
    assert (filters.argmax(1).diff() > 0).all()


# --- published outputs ---


@pytest.fixture(scope="module")
def weights(shared):
    folder = shared / "weights"
    if not (folder / "teachers2").is_dir():
        pytest.skip("the weights of the teachers are absent")
    return folder


def test_mn04_computes_its_published_outputs(weights):
    teacher = TEACHERS["mn04"](weights)
    with np.load(weights / "teachers2" / "golden.npz") as golden:
        embedding, tags = teacher.label(golden["waveform_32k"][None])
        assert embedding[0] == pytest.approx(golden["mn04_embedding"], abs=1e-3)
        assert tags[0] == pytest.approx(1 / (1 + np.exp(-golden["mn04_logits"])), abs=1e-3)


def test_yamnet_computes_its_published_outputs(weights):
    pytest.importorskip("ai_edge_litert")
    teacher = TEACHERS["yamnet"](weights)
    with np.load(weights / "teachers2" / "golden.npz") as golden:
        embeddings, scores = teacher.label(golden["waveform_16k"].reshape(4, -1))
        assert embeddings == pytest.approx(golden["yamnet_embedding"], abs=0.1)
        assert scores == pytest.approx(golden["yamnet_scores"], abs=0.02)


def test_the_mood_cnn_agrees_with_published_soft_labels(shared, weights):
    from modeling_m2e.audio_m2e import load

    teacher = TEACHERS["mood_cnn"](weights)
    with np.load(shared / "data" / "4q" / "soft_labels.npz") as soft:
        expected = soft["moods_logits"][0]
    waveform, _ = load(shared / "data" / "4q" / "audio" / "MT0000004637.opus", teacher.sampling_rate)
    _, tags = teacher.label(waveform[None])
    assert np.corrcoef(np.log(tags[0] / (1 - tags[0])), expected)[0, 1] > 0.98


@pytest.mark.parametrize("name", ["musicnn_msd", "fcn_jamendo"])
def test_taggers_label_a_cell_as_convert_taggers_does(weights, name):
    teacher = TEACHERS[name](weights)
    waveforms = 0.1 * torch.randn(1, round(teacher.cell_seconds * 16000)).numpy()
    embeddings, tags = teacher.label(waveforms)
    assert embeddings.shape == (1, {"musicnn_msd": 200, "fcn_jamendo": 192}[name])
    assert tags.shape == (1, 50) and 0 <= tags.min() and tags.max() <= 1
    assert teacher.cell_seconds <= CLIP_SECONDS


# --- sounds that are not music ---


@pytest.mark.parametrize("kind", [kind for kind in not_music.KINDS if kind != "speech"])
def test_made_sounds_are_finite_and_repeatable(kind):
    first, second = not_music.sounds(kind, 2, 10.0)
    assert first.shape == (10 * 22050,) and first.dtype == np.float32
    assert np.isfinite(first).all() and SILENCE_PEAK < abs(first).max() < 1  # the reader refuses what is fainter
    assert not np.array_equal(first, second)
    assert np.array_equal(first, next(not_music.sounds(kind, 1, 10.0)))


def test_speech_needs_its_program(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match="espeak-ng"):
        next(not_music.sounds("speech", 1, 1.0))


# --- emotions ---


def test_emotions_of_rated_clips_are_predicted_out_of_fold():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(60, 4))
    rated = np.arange(60) < 50
    va = 5 + embeddings[:50, :2]
    quadrants = np.array(["Q1", "Q2", "Q3", "Q4"])[(va[:, 0] > 5) + 2 * (va[:, 1] > 5)]
    groups = np.arange(50) // 2
    weights = np.ones(50)
    values = emotions.emotions(embeddings, va, quadrants, groups, rated, weights)
    assert values.shape == (60, 6)
    assert np.corrcoef(values[50:, 0], embeddings[50:, 0])[0, 1] > 0.8
    random = emotions.emotions(embeddings, rng.normal(size=(50, 2)), quadrants, groups, rated, weights)
    memorised = emotions.predicted(emotions.fitted(embeddings[:50], va, quadrants, weights), embeddings[:50])
    assert abs(np.corrcoef(random[:50, 0], va[:, 0])[0, 1]) < 0.4
    assert abs(memorised[:, 0] - va[:, 0]).mean() < abs(values[:50, 0] - va[:, 0]).mean()


def test_emotions_are_written_as_labels_of_a_teacher(tmp_path):
    pools.build(tmp_path, {"a": lambda: recordings(tmp_path / "files", [12, 12])})
    clips = pools.read_index(tmp_path, ["a"])
    emotions.write(tmp_path, clips, {("a-000", 1): np.array([5.0, 4.0, 0.0, 0.0, 3.0, 0.0, 6.0, 7.0])})
    labels = load_labels(tmp_path, clips, "emotion")
    assert labels.present.tolist() == [False, True] and labels.tags.shape == (2, 1, 4)
    assert labels.embeddings[1, 0, [0, 1, 6, 7]].tolist() == [5.0, 4.0, 6.0, 7.0]
    assert labels.tags[1, 0].argmax() == 2 and labels.tags[1, 0].sum() == pytest.approx(1, abs=1e-3)


def test_pieces_of_emopia_have_the_emotion_of_their_quadrant(tmp_path):
    rows = ["song_id,quadrant,valence,arousal,split", "a,Q1,6,7,train", "b,Q1,8,6,validation", "c,Q1,1,1,test"]
    rows += ["d,Q2,3,6,train", "e,Q3,2,2,train", "f,Q4,6,2,train"]
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    files = (("panda4q", "d", "x"), ("games", "g", "y"), ("productions-emopia", "Q1_video_a_3", "Q1_video_a_3"))
    clips = [
        pools.Clip(source, f"{stem}.flac", 0.0, 30.0, group, "train", "", "s", row)
        for row, (source, stem, group) in enumerate(files)
    ]
    rated, va, quadrants, groups = emotions.annotated(clips, tmp_path)
    assert rated.tolist() == [True, False, True] and quadrants.tolist() == ["Q2", "Q1"]
    assert va.tolist() == [[3.0, 6.0], [7.0, 6.5]] and groups.tolist() == ["x", "video_a"]


def test_heads_that_learnt_ratings_are_linear(tmp_path):
    rng = np.random.default_rng(0)
    heads = {f"{name}_weight": rng.normal(size=(5, 2)) for name in emotions.LISTENERS}
    heads |= {f"{name}_bias": rng.normal(size=2) for name in emotions.LISTENERS}
    np.savez(tmp_path / "heads.npz", **heads)
    values = emotions.by_heads(np.eye(5), tmp_path / "heads.npz")
    assert values[:, :2] == pytest.approx(heads["emomusic_weight"] + heads["emomusic_bias"])
    assert values[:, 2:] == pytest.approx(heads["deam_weight"] + heads["deam_bias"])


# --- scores ---


def score(path, seconds: float):
    path.parent.mkdir(parents=True, exist_ok=True)
    piano = pretty_midi.Instrument(0, name="PIANO")
    piano.notes = [pretty_midi.Note(80, 48 + beat % 24, beat / 2, beat / 2 + 0.4) for beat in range(int(2 * seconds))]
    midi = pretty_midi.PrettyMIDI()
    midi.instruments = [piano]
    midi.write(str(path))
    return path


def test_a_production_is_an_excerpt_that_its_seed_repeats(tmp_path):
    path = score(tmp_path / "long.mid", 60)
    first, again, other = (scores.produce(path, ["additive"], np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert 15 < len(first) / 22050 <= 30 and np.isfinite(first).all() and 0.05 < abs(first).max() <= 1
    assert len(first) != len(other) or not np.allclose(first, other)


def test_scores_are_rendered_once_and_short_ones_are_named(tmp_path, monkeypatch, capsys):
    score(tmp_path / "midi" / "long.mid", 40)
    score(tmp_path / "midi" / "short.mid", 3)
    (tmp_path / "midi" / "broken.mid").write_bytes(b"MThd")
    arguments = ["scores", str(tmp_path / "out"), str(tmp_path / "midi"), "--sounds", "additive"]
    monkeypatch.setattr("sys.argv", arguments)
    scores.main()
    written = tmp_path / "out" / "long.flac"
    before = written.stat().st_mtime_ns
    scores.main()
    assert list((tmp_path / "out").iterdir()) == [written] and written.stat().st_mtime_ns == before
    said = capsys.readouterr().out
    assert "short.mid lasts 3 s" in said and "broken.mid cannot be read" in said
