"""The feature cache: nothing lost, nothing stale, nothing computed twice."""

import os
import random
import select
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import tiny
import torch

from m2e.errors import DataError, ModelError
from m2e.features import store as feature_store
from m2e.features.cache import (
    cached_features,
    compute,
    default_folder,
    encoder_fingerprint,
    feature_cache,
    harmony_fingerprint,
    plan,
)
from modeling_m2e import M2EProcessor


@pytest.fixture(scope="module")
def processor():
    return tiny.pipeline().processor


@pytest.fixture
def tracks(tmp_path):
    for name in "ab":
        sf.write(tmp_path / f"{name}.wav", tiny.waveform(7.0, seed=ord(name)), tiny.SAMPLING_RATE)
    (tmp_path / "c.wav").write_bytes(b"")
    return ["a", "b", "c"], [tmp_path / f"{name}.wav" for name in "abc"]


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """(id, path) of 16 short tracks, one of them bad."""
    folder = tmp_path_factory.mktemp("album")
    for number in range(16):
        sf.write(folder / f"{number}.wav", tiny.waveform(1.5, seed=number), tiny.SAMPLING_RATE)
    (folder / "7.wav").write_text("no music")
    return [(f"song {number}", folder / f"{number}.wav") for number in range(16)]


@pytest.fixture
def counted(processor, monkeypatch):
    """What is encoded and what is listened to for chords, by file name."""
    encoded, harmonies = [], []
    analyze, analyze_harmony = processor.analyze, processor.analyze_harmony
    monkeypatch.setattr(
        processor, "analyze", lambda path, **kw: encoded.append(os.path.basename(path)) or analyze(path, **kw)
    )
    monkeypatch.setattr(
        processor, "analyze_harmony", lambda path: harmonies.append(os.path.basename(path)) or analyze_harmony(path)
    )
    return encoded, harmonies


def silent(*_):
    pass


def same(one, other):
    return torch.equal(one.embeddings, other.embeddings) and (one.duration, one.windows, one.chords, one.key) == (
        other.duration,
        other.windows,
        other.chords,
        other.key,
    )


# --- what is cached ---


def test_the_cache_holds_what_analysis_gives(processor, tracks, tmp_path):
    said = []
    first, second, bad = cached_features(*tracks, processor, tmp_path / "cache", said.append)
    assert bad is None and any("c.wav" in line for line in said) and "features 3/3" in said
    direct = processor.analyze(tracks[1][0])
    assert torch.allclose(first.embeddings, direct.embeddings, rtol=2e-3, atol=1e-3)  # float16
    assert first.path == str(tracks[1][0])
    assert (first.windows, first.duration) == (direct.windows, direct.duration)
    assert (first.chords, first.key) == (direct.chords, direct.key) and len(first.chords) > 1
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_a_second_run_computes_only_what_failed(processor, tracks, tmp_path, counted):
    encoded, harmonies = counted
    first = cached_features(*tracks, processor, tmp_path / "cache", silent)
    assert encoded == ["a.wav", "b.wav", "c.wav"] and harmonies == []  # one pass gives both
    second = cached_features(*tracks, processor, tmp_path / "cache", silent)
    assert encoded[3:] == ["c.wav"] and harmonies == [] and same(first[1], second[1])

    next((tmp_path / "cache").glob("harmony-*")).rename(tmp_path / "cache" / "harmony-other")
    third = cached_features(*tracks, processor, tmp_path / "cache", silent)
    assert encoded[4:] == ["c.wav"] and harmonies == ["a.wav", "b.wav"]
    assert third[0].key == first[0].key and len(third[0].chords) == len(first[0].chords)


def test_features_outlive_their_audio(processor, tracks, tmp_path):
    first = cached_features(*tracks, processor, tmp_path / "cache", silent)
    tracks[1][0].unlink()
    assert same(cached_features(*tracks, processor, tmp_path / "cache", silent)[0], first[0])


def test_other_audio_by_the_same_id_is_refused(processor, tracks, tmp_path):
    cached_features(*tracks, processor, tmp_path / "cache", silent)
    sf.write(tracks[1][0], tiny.waveform(6.0), tiny.SAMPLING_RATE)
    with pytest.raises(DataError, match="other audio than .*a.wav by the id a: choose another folder"):
        cached_features(*tracks, processor, tmp_path / "cache", silent)


def test_everyone_looks_for_features_in_the_same_place(tmp_path, monkeypatch):
    assert default_folder("deam", "/data/DEAM") == Path("runs/features/deam")
    monkeypatch.chdir(tmp_path)
    here, there = (default_folder("folder", folder, tmp_path) for folder in ("music", "other/music"))
    assert here.parent == tmp_path and here.name.startswith("music-") and here != there
    assert default_folder("folder", str(tmp_path / "music"), tmp_path) == here
    assert default_folder("hub", "somebody/music", tmp_path).name.startswith("music-")


def test_an_id_that_occurs_twice_is_refused(processor, tmp_path):
    with pytest.raises(DataError, match="2 tracks have the id a"):
        cached_features(["a", "a"], ["x.wav", "y.wav"], processor, tmp_path, silent)


def test_without_a_chord_recogniser_there_is_no_harmony(tracks, tmp_path):
    first, *_ = cached_features(*tracks, tiny.pipeline(chords=False).processor, tmp_path / "cache", silent)
    assert first.chords is None and len(list((tmp_path / "cache").iterdir())) == 1


# --- what features depend on ---


def test_other_weights_or_windows_are_other_features(processor):
    encoder, harmony = encoder_fingerprint(processor), harmony_fingerprint(processor)
    assert (encoder, harmony) == (encoder_fingerprint(processor), harmony_fingerprint(processor))
    processor.feature_extractor.window_seconds = 5.0
    assert encoder_fingerprint(processor) != encoder and harmony_fingerprint(processor) == harmony
    processor.feature_extractor.window_seconds = 3.0
    for network in (processor.chord_recognizer.model, processor.encoder.model):
        with torch.no_grad():
            weight = next(network.parameters())
            before = weight.clone()
            weight.view(-1)[0] += 1
            changed = encoder_fingerprint(processor), harmony_fingerprint(processor)
            weight.copy_(before)
        assert [changed[0] == encoder, changed[1] == harmony].count(False) == 1
    assert (encoder_fingerprint(processor), harmony_fingerprint(processor)) == (encoder, harmony)


def test_other_settings_are_other_features(monkeypatch):
    processor = tiny.pipeline().processor
    seen = {encoder_fingerprint(processor)}
    for reference in ({"type": "mert", "revision": "a"}, {"type": "mert", "revision": "b", "layers": [6, 7]}):
        processor.encoder_reference = reference
        seen.add(encoder_fingerprint(processor))
    processor.encoder.model.bfloat16()
    seen.add(encoder_fingerprint(processor))
    assert len(seen) == 4
    harmonies = {harmony_fingerprint(processor)}
    processor.chord_recognizer.decoding = "paper"
    harmonies.add(harmony_fingerprint(processor))
    labels = processor.chord_recognizer.model.config.id2label
    labels[0], labels[1] = labels[1], labels[0]
    harmonies.add(harmony_fingerprint(processor))
    processor.chord_vocabulary = "paper"  # and so the paper's key
    harmonies.add(harmony_fingerprint(processor))
    monkeypatch.setattr("m2e.features.cache.HARMONY_VERSION", 1)
    monkeypatch.setattr("m2e.features.cache.EMBEDDINGS_VERSION", 2)
    assert len(harmonies | {harmony_fingerprint(processor)}) == 5 and encoder_fingerprint(processor) not in seen


def test_where_a_model_lies_and_who_wrote_it_change_nothing(processor, tmp_path):
    processor.save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "encoder" / "config.json"
    config.write_text(config.read_text().replace('"transformers_version": "', '"transformers_version": "1'))
    loaded = M2EProcessor.from_pretrained(tmp_path / "model")
    assert encoder_fingerprint(loaded) == encoder_fingerprint(processor)
    assert harmony_fingerprint(loaded) == harmony_fingerprint(processor)


def test_a_changed_setting_reuses_nothing_stale(processor, tracks, tmp_path, counted):
    encoded, harmonies = counted
    folder = tmp_path / "cache"
    long = cached_features(*tracks, processor, folder, silent)[0]
    processor.feature_extractor.window_seconds = 2.0
    try:
        short = cached_features(*tracks, processor, folder, silent)[0]
    finally:
        processor.feature_extractor.window_seconds = 3.0
    assert len(short.windows) == 4 and len(long.windows) == 3
    assert encoded == ["a.wav", "b.wav", "c.wav"] * 2 and harmonies == []
    assert short.chords == long.chords
    assert same(cached_features(*tracks, processor, folder, silent)[0], long)
    with pytest.raises(DataError, match="several embeddings"):
        feature_store.read_features(folder)


# --- kills, ranks, failures ---


def forked(child):
    """(process, pipe) of a child, which is given a function that writes a byte into the pipe."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            torch.set_num_threads(1)  # the threads of the parent are not in the child
            child(lambda *_: os.write(write, b"."))
        finally:
            os._exit(0)
    os.close(write)
    return process, read


def test_a_run_killed_at_random_20_times_gives_what_a_whole_run_gives(processor, album, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_store, "SHARD_TRACKS", 4)
    torch.set_num_threads(1)
    ids, paths = zip(*album, strict=True)
    start = time.perf_counter()
    whole = cached_features(ids, paths, processor, tmp_path / "whole", silent)
    seconds = (time.perf_counter() - start) / len(album)
    assert [track is None for track in whole] == [name == "song 7" for name in ids]

    def child(tell):
        analyze = processor.analyze
        processor.analyze = lambda *args, **kwargs: tell() and analyze(*args, **kwargs)
        cached_features(ids, paths, processor, tmp_path / "killed", silent)

    moment = random.Random(0)
    alive, done = 0, []
    for _ in range(20):
        process, pipe = forked(child)
        tracks = moment.choice([1, 1, 1, 2])  # begun before the kill
        alive += all(select.select([pipe], [], [], 600.0)[0] and os.read(pipe, 1) for _ in range(tracks))
        time.sleep(moment.uniform(0, 1.2) * seconds)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(pipe)
        done.append(sum(len(feature_store.Shards(path)) for path in (tmp_path / "killed").glob("embeddings-*")))
    assert alive >= 15 and done == sorted(done) and done[-1] >= 4  # killed at work, and nothing of it lost
    resumed = cached_features(ids, paths, processor, tmp_path / "killed", silent)
    for one, other in zip(whole, resumed, strict=True):
        assert (one is None and other is None) or same(one, other)
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def content(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_two_ranks_at_once_give_the_union(processor, album, tmp_path):
    torch.set_num_threads(1)
    cache = partial(feature_cache, tmp_path / "cache", album, processor)
    failures = {}

    def run(rank, world_size):
        return compute(part := cache(rank=rank, world_size=world_size), part.jobs(), lambda: processor)

    process, pipe = forked(lambda tell: run(1, 2) and tell())
    failures[0] = run(0, 2)
    assert os.read(pipe, 1) == b"." and os.waitpid(process, 0)[1] == 0  # rank 1 had the bad track
    os.close(pipe)
    assert failures[0] == []
    assert sorted(cache().features()) == sorted(name for name, _ in album if name != "song 7")
    assert [len(list(folder.glob("*/*.arrow"))) for folder in cache().folders.values()] == [0, 0]
    assert [len(list(folder.glob("shard-*"))) for folder in cache().folders.values()] == [2, 2]
    assert [job.id for job in cache().jobs()] == ["song 7"]  # another number of ranks finds it all
    assert len(run(0, 3)) == 0 and len(run(1, 3)) == 1 and len(run(2, 3)) == 0
    assert len(list((tmp_path / "cache").rglob("*.arrow"))) == 4


def test_a_second_command_on_the_folder_waits_its_turn(processor, album, tmp_path):
    torch.set_num_threads(1)
    cache = partial(feature_cache, tmp_path / "cache", album, processor)

    def child(tell):
        with cache().writers():
            tell()
            time.sleep(600)

    process, pipe = forked(child)
    assert os.read(pipe, 1) == b"."
    with pytest.raises(DataError, match=f"Another command is writing to {tmp_path / 'cache'}: wait for it"):
        compute(part := cache(), part.jobs(), lambda: processor)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    os.close(pipe)
    assert len(compute(part := cache(), part.jobs(), lambda: processor)) == 1  # a kill releases the folder
    with cache().writers():  # who only reads need not wait
        assert len(cached_features(["song 1"], [album[1][1]], processor, tmp_path / "cache", silent)) == 1


def test_all_bad_files_are_reported_and_nothing_else_stops(processor, tracks, tmp_path):
    (tmp_path / "noise.mp3").write_bytes(os.urandom(2000))
    sf.write(tmp_path / "mute.wav", np.zeros(30000), 8000)
    names = ["gone.wav", "noise.mp3", "a.wav", "mute.wav", "c.wav", "b.wav"]
    cache = feature_cache(tmp_path / "cache", [(name, tmp_path / name) for name in names], processor)
    said = compute(cache, cache.jobs(), lambda: processor)
    assert [next(name for name in names if name in line) for line in said] == [names[i] for i in (0, 1, 3, 4)]
    assert "there is no such file" in said[0] and "silent" in said[2] and "empty" in said[3]
    assert sorted(cache.features()) == ["a.wav", "b.wav"]


def test_a_full_disk_ends_the_run_and_what_was_done_stays(processor, album, tmp_path, monkeypatch):
    cache = feature_cache(tmp_path / "cache", album, processor)
    written = []

    def fsync(file):
        written.append(file)
        if len(written) > 7:  # two are of settings
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="No space left"):
            compute(cache, cache.jobs(), lambda: processor)
    assert len(cache.features()) == 2 and len(written) == 8
    assert [job.kinds for job in cache.jobs()[:2]] == [("embeddings",), ("harmony", "embeddings")]


def test_two_ids_may_share_a_file(processor, tracks, tmp_path):
    both = [("x", tracks[1][0]), ("y", tracks[1][0])]
    cache = feature_cache(tmp_path / "cache", both, processor)
    assert compute(cache, cache.jobs(), lambda: processor) == []
    features = cache.features()
    assert same(features["x"], features["y"])


def test_nothing_is_loaded_where_nothing_is_left(processor, tracks, tmp_path):
    ids, paths = tracks
    cache = feature_cache(tmp_path / "cache", list(zip(ids[:2], paths[:2], strict=True)), processor)
    jobs = cache.jobs()
    with pytest.raises(ModelError, match="none here"):
        compute(cache, jobs, partial(no_model))
    compute(cache, jobs, lambda: processor)
    assert compute(cache, cache.jobs(), partial(no_model)) == []


def no_model():
    raise ModelError("there is none here")


# --- plans ---


def test_a_plan_tells_what_all_will_take_and_writes_nothing(processor, album, tmp_path):
    cache = feature_cache(tmp_path / "cache", album, processor)
    jobs = cache.jobs()
    made = plan(cache, jobs, lambda: processor, ranks=2)
    assert not (tmp_path / "cache").exists()
    assert made.measured == 9 and len(made.failed) <= 1
    start = time.perf_counter()
    compute(cache, jobs, lambda: processor)
    assert 0.1 < 2 * made.seconds / (time.perf_counter() - start) < 10
    assert made.tracks_per_second * made.seconds == pytest.approx(16)
    size = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("shard-*"))
    assert made.size == pytest.approx(size, rel=0.5)


def test_a_plan_of_what_cannot_be_read(processor, tmp_path):
    (tmp_path / "c.wav").write_bytes(b"no music")
    for name in ("c.wav", "gone.wav"):
        cache = feature_cache(tmp_path / "cache", [("c", tmp_path / name)], processor)
        with pytest.raises(DataError, match=f"None of 1 .*{name}"):
            plan(cache, cache.jobs(), lambda: processor)
