"""handler.py of the model repositories: run from their own files, in a process without this package."""

import base64
import importlib.util
import json
from pathlib import Path

import pytest
import soundfile
import tiny
from scripts import module_at

from m2e.publish.facts import Facts
from m2e.publish.repository import repository
from m2e.publish.upload import write
from modeling_m2e import M2EEncoderConfig, M2EEncoderModel

# Arguments: a music file, then the folders. As the toolkit of the endpoints does it, with the same names.
SERVE = """
import base64, importlib.util, json, sys
song, *folders = sys.argv[1:]
audio = open(song, "rb").read()
answers = []
for folder in folders:
    spec = importlib.util.spec_from_file_location("handler", folder + "/handler.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler = module.EndpointHandler(folder)
    answers.append(handler({"inputs": audio}))
    assert handler({"inputs": base64.b64encode(audio).decode(), "parameters": {}}) == answers[-1]
    if "moods" in answers[-1]:
        assert len(handler({"inputs": audio, "parameters": {"top_k": 3, "harmony": False}})["moods"]) == 3
    for bad in (b"no music", None, "https://example.org/song.mp3"):
        try:
            handler({"inputs": bad})
        except ValueError as error:
            answers.append(str(error))
assert not {"m2e", "modeling_m2e"} & set(sys.modules)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> list[Path]:
    """Repositories of a model, of a chord recogniser and of an encoder."""
    models, folders = tmp_path_factory.mktemp("models"), []
    tiny.pipeline().save_pretrained(models / "emotion")
    sizes = {"widths": (4, 4, 8), "depths": (1, 1, 1), "hidden_size": 8, "squeezed_width": 4, "trunk_depth": 1}
    M2EEncoderModel(M2EEncoderConfig(**sizes)).save_pretrained(models / "encoder")
    for name in ("emotion", "emotion/chords", "encoder"):
        Facts("tiny", "cc-by-nc-4.0").save(models / name)
        folders.append(tmp_path_factory.mktemp("hub") / "tiny")
        write(repository(models / name, "me/tiny"), folders[-1])
    return folders


def test_every_model_repository_answers_an_endpoint(published, tmp_path):
    song = tmp_path / "song.wav"
    soundfile.write(song, tiny.waveform(4.0, seed=3), tiny.SAMPLING_RATE)
    done = tiny.run(SERVE, str(song), *map(str, published), HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    emotion, chords, encoder = answers[::4]
    here = tiny.pipeline()(song.read_bytes())
    assert emotion["valence"] == here["valence"] and emotion["moods"] == here["moods"] and emotion["error"] is None
    assert chords["duration"] == 4.0 and chords["chords"] == here["chords"] and "key_segments" in chords
    assert len(encoder["embeddings"]) == 4 and len(encoder["mean"]) == 8
    for first in (1, 5, 9):
        no_music, nothing, link = answers[first : first + 3]
        assert "<bytes>" in no_music and nothing.startswith("inputs holds no audio") and "no base64" in link


def test_the_repository_says_what_the_image_of_an_endpoint_must_have(published):
    for folder in published:
        assert (folder / "requirements.txt").read_text().splitlines()[0] == "transformers>=5.23,<6"


def test_the_handler_reads_bytes_and_base64_only():
    source = Path(importlib.util.find_spec("m2e.publish.handler").origin)
    handler = module_at(source)
    assert handler._bytes(b"RIFF") == handler._bytes(base64.b64encode(b"RIFF").decode()) == b"RIFF"
    for wrong in (None, {"url": "https://example.org"}, "https://example.org/a.mp3", "/etc/passwd"):
        with pytest.raises(ValueError, match="send the bytes of a music file"):
            handler._bytes(wrong)
