"""Every way to name a chord recogniser, and the record that it gives of a track."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from fakehub import FakeHub

import m2e
from m2e.checkpoints.load import embedded_model
from m2e.errors import AudioError, ModelError
from modeling_m2e import BTCConfig, BTCModel, audio_m2e
from modeling_m2e.chords_m2e import ChordRecognizer
from modeling_m2e.key_m2e import FITTED, PAPER, estimate_key, key_segments

CHECKPOINT = "btc/tiny_checkpoint.pt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model of which there is nothing but the chord recogniser."""
    torch.manual_seed(0)
    btc = BTCModel(BTCConfig(num_hidden_layers=1, hidden_size=16, intermediate_size=16))
    with torch.no_grad():
        btc.classifier.weight *= 100  # many chords, not one
    path = tmp_path_factory.mktemp("models") / "tiny-chords"
    ChordRecognizer(btc, "smooth").save_pretrained(path)
    return path


def refusal(model, **options) -> str:
    with pytest.raises(ModelError) as error:
        m2e.load_chords(model, **options)
    sentence = str(error.value)
    assert "\n" not in sentence and sentence.endswith(".")
    return sentence


# --- tracks ---


def test_a_track_is_read_once_and_in_blocks(folder, monkeypatch):
    pipe, asked = m2e.load_chords(folder), []
    real = audio_m2e.stream

    def stream(source, rates, **options):
        asked.append(rates)
        for block in real(source, rates, block_seconds=7.0, **options):
            assert len(block[22050]) <= 8 * 22050
            yield block

    monkeypatch.setattr("modeling_m2e.harmony_m2e.stream", stream)
    waveform = tiny.waveform(31.0)
    record = pipe((waveform, tiny.SAMPLING_RATE))
    assert asked == [[22050]]
    assert record.duration == len(waveform) / 22050 and record.path == "<array>" and record.model == "tiny-chords"
    assert record.chords == pipe.recognizer(waveform) and len(record.chords) > 5
    assert record.key == estimate_key(record.chords) and record.key_segments == key_segments(record.chords)
    assert record.error is None and "valence" not in record


def test_other_rates_and_channels(folder):
    stereo = np.stack([tiny.waveform(4.0), tiny.waveform(4.0)], axis=1).repeat(2, axis=0)
    record = m2e.load_chords(folder)((stereo, 44100))
    assert record.duration == pytest.approx(4.0, abs=1e-3) and record.chords[-1].end == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("source", ["nothing.wav", (np.zeros(99999), 22050), (np.ones(9), 22050)])
def test_bad_audio_is_an_audio_error(folder, source):
    with pytest.raises(AudioError):
        m2e.load_chords(folder)(source)


def test_limits(folder):
    for options, sentence in ({"max_duration": 5.0}, "longer than 5 seconds"), ({"timeout": 1e-9}, "takes longer than"):
        with pytest.raises(AudioError, match=sentence):
            m2e.load_chords(folder, **options)((tiny.waveform(6.0), tiny.SAMPLING_RATE))


@pytest.mark.parametrize("decoding", ["paper", "smooth"])
def test_no_chord_lasts_longer_than_the_track(folder, decoding):
    record = m2e.load_chords(folder, decoding)((tiny.waveform(4.2), tiny.SAMPLING_RATE))
    assert record.chords[-1].end == record.duration == pytest.approx(4.2, abs=1e-4)


# --- models ---


def test_the_embedded_recogniser_is_the_default():
    pipe = m2e.load_chords()
    assert pipe.name == "m2e-small" and pipe.recognizer.decoding == "smooth"
    paper = m2e.load_chords("m2e-small", "paper")
    assert paper.recognizer.decoding == "paper"
    mine, other = (p.recognizer.model.classifier.weight for p in (pipe, paper))
    assert torch.equal(mine, other)


def test_a_published_checkpoint_runs_as_it_is(fixtures):
    """Its decoding is the published one, to the last character but one: the last chord ends with the track."""
    song = fixtures / "btc/song_e.flac"
    pipe = m2e.load_chords(fixtures / CHECKPOINT)
    from m2e.views.chords import to_lab

    assert pipe.name == "tiny_checkpoint.pt" and pipe.recognizer.decoding == "paper"
    published = (fixtures / "btc/song_e.tiny.lab").read_text()
    assert published.endswith(" 4.259 A:aug\n")  # a whole frame
    assert to_lab(pipe(str(song)), "paper") == published.replace(" 4.259 ", " 4.200 ")
    assert pipe(str(song)).chords != m2e.load_chords(fixtures / CHECKPOINT, "smooth")(str(song)).chords


def test_the_layout_of_the_published_model(fixtures, tmp_path):
    (tmp_path / "published/inference/data").mkdir(parents=True)
    shutil.copy(fixtures / CHECKPOINT, tmp_path / "published/inference/data/btc_model_large_voca.pt")
    assert m2e.load_chords(tmp_path / "published").name == "published"


def test_a_hub_repo(folder, fixtures, tmp_path):
    script = (
        "import sys; sys.path[:0] = sys.argv[1:2]\n"
        "import m2e\n"
        "for model in ('ann/model', 'ann/chords', 'amaai-lab/music2emo', 'ann/nothing', 'bob/none'):\n"
        "    try: print(m2e.load_chords(model).name)\n"
        "    except m2e.checkpoints.load.ModelError as error: print(error)\n"
    )
    with FakeHub() as hub:
        parts = list((folder / "chords").iterdir())
        hub.add("ann/model", {f"chords/{path.name}": path for path in parts})
        hub.add("ann/chords", {path.name: path for path in parts})
        hub.add("amaai-lab/music2emo", {"inference/data/btc_model_large_voca.pt": fixtures / CHECKPOINT})
        hub.add("ann/nothing", {"README.md": b"nothing"})
        process = tiny.run(script, str(tiny.ROOT), HF_ENDPOINT=hub.endpoint, HF_HOME=str(tmp_path / "home"))
    lines = process.stdout.splitlines()
    assert lines[:3] == ["ann/model", "ann/chords", "amaai-lab/music2emo"], process.stderr
    assert lines[3].startswith("ann/nothing holds no chord recogniser: neither chords/model.safetensors nor inference/")
    assert lines[4].startswith("bob/none is neither a folder nor a hub repo")


def test_what_is_no_model_is_one_sentence(folder, tmp_path):
    sentence = "no-such-model is neither a folder nor a hub id such as amaai-lab/music2emo: check the name."
    assert refusal("no-such-model") == sentence
    assert refusal(tmp_path).startswith(f"{tmp_path} holds no chord recogniser: ")
    (tmp_path / "song.pt").write_bytes(b"no checkpoint")
    assert refusal(tmp_path / "song.pt").startswith(f"{tmp_path / 'song.pt'} cannot be read safely: download it again")
    shutil.copytree(folder, tmp_path / "copy")
    weights = tmp_path / "copy/chords/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert refusal(tmp_path / "copy").startswith(f"{tmp_path / 'copy'} cannot be loaded as a chord recogniser (")
    (tmp_path / "copy/chords/config.json").unlink()
    assert refusal(tmp_path / "copy").startswith(f"{tmp_path / 'copy'} cannot be loaded as a chord recogniser (")


def test_a_bug_is_not_blamed_on_the_model(folder, monkeypatch):
    def broken(*_):
        raise IndexError("ours")

    monkeypatch.setattr(ChordRecognizer, "__init__", broken)
    with pytest.raises(IndexError, match="ours"):
        m2e.load_chords(folder)


# --- keys ---


@pytest.mark.parametrize(("vocabulary", "profile"), [("m2e", FITTED), ("paper", PAPER)])
def test_the_key_is_that_of_the_whole_model(folder, tmp_path, vocabulary, profile):
    whole = tiny.pipeline().processor
    whole.chord_vocabulary = vocabulary
    whole.save_pretrained(tmp_path)
    pipe, track = m2e.load_chords(tmp_path), (tiny.waveform(8.0), tiny.SAMPLING_RATE)
    assert pipe.key_profile == whole.key_profile == profile
    harmony, record = whole.analyze_harmony(track), pipe(track)
    assert (record.chords, record.key) == (harmony.chords, harmony.key)
    assert record.key == estimate_key(record.chords, profile=profile)


def test_the_published_layout_takes_the_published_key(fixtures, tmp_path):
    (tmp_path / "inference/data").mkdir(parents=True)
    shutil.copy(fixtures / CHECKPOINT, tmp_path / "inference/data/btc_model_large_voca.pt")
    assert m2e.load_chords(tmp_path).key_profile == PAPER
    assert m2e.load_chords(fixtures / CHECKPOINT).key_profile == FITTED  # a recogniser alone


def test_an_unknown_decoding_is_named():
    assert "'beam'" in refusal(None, decoding="beam")


def test_the_recogniser_alone_is_read(tmp_path):
    """A copy without encoder and head answers as the whole model does."""
    shutil.copytree(embedded_model() / "chords", tmp_path / "alone/chords")
    track = (tiny.waveform(5.0), tiny.SAMPLING_RATE)
    whole = m2e.load_chords()(track).chords
    assert m2e.load_chords(tmp_path / "alone")(track).chords == whole
    assert m2e.load_chords(tmp_path / "alone/chords")(track).chords == whole
