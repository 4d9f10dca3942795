"""The server of the demo, called through its API: its bounds, and what a visitor cannot do."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import soundfile

from m2e.errors import ModelError, UsageError
from modeling_m2e.record_m2e import MusicEmotion

gr = pytest.importorskip("gradio", reason='gradio is in the extra "demo"')
client = pytest.importorskip("gradio_client")
httpx = pytest.importorskip("httpx")
from m2e.space import app, tracks  # noqa: E402

SECONDS = 120  # until a request counts as unanswered


@pytest.fixture
def song(tmp_path):
    soundfile.write(tmp_path / "song.wav", np.sin(np.arange(8000) / 5), 8000)
    return tmp_path / "song.wav"


@pytest.fixture
def answered(monkeypatch):
    """The models that were used; every analysis takes the time in `pause`."""
    used, pause = [], [0.0]

    def pipeline(model, window=None, harmony=True):
        def pipe(file):
            time.sleep(pause[0])
            used.append(model)
            return MusicEmotion(
                path=file, duration=1.0, valence=5.0, arousal=5.0, quadrant="Q1", moods=[], selected_moods=[],
                key=None, chords=None, curve=[], model=model,
            )  # fmt: skip

        return pipe

    monkeypatch.setattr(app, "pipeline", pipeline)
    used_and_pause = used, pause
    return used_and_pause


@pytest.fixture
def served(answered, monkeypatch, tmp_path):
    """Starts the server and returns its address."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    monkeypatch.setenv("no_proxy", "*")
    pages = []

    def start(**settings):
        page = app.build(["m2e-small"], **settings)
        pages.append(page)
        return app.launch(page, server_name="127.0.0.1")

    yield start
    for page in pages:
        page.close(verbose=False)


def ask(address, audio, model="m2e-small"):
    """The answer of the API, or the sentence of its error."""
    caller = client.Client(address, verbose=False)
    try:
        return caller.submit(audio, model, api_name="/predict").result(timeout=SECONDS)
    except (client.exceptions.AppError, client.utils.QueueError) as error:
        return f"error: {error}"


def test_parallel_requests_are_all_answered(served, song):
    address = served()
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: ask(address, client.handle_file(song)), range(30)))
    assert all('"path": "song.wav"' in answer for answer in answers)


def test_a_full_queue_says_so(served, answered, song, monkeypatch):
    monkeypatch.setattr(app, "MAX_WAITING", 2)
    answered[1][0] = 1.0
    address = served()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(address, client.handle_file(song)), range(8)))
    told = [answer for answer in answers if "full" in answer.lower()]
    assert told and len(told) < 8 and all("song.wav" in answer for answer in answers if answer not in told)


def test_the_server_limits_uploads(served, song, monkeypatch):
    monkeypatch.setattr(app, "MAX_UPLOAD", "1kb")
    with pytest.raises(Exception, match="413|exceed"):  # an error of the client's HTTP library
        answer = ask(served(), client.handle_file(song))
        raise AssertionError(answer)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/etc/passwd", ""),
        ("http://127.0.0.1:1/a.wav", "upload the file"),
        ("https://example.org/a", "upload the file"),
    ],
)
def test_only_uploads_are_read(served, answered, path, words):
    """Without the client, which would upload the file itself."""
    call = f"{served()}gradio_api/call/predict"
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    event = httpx.post(call, json={"data": [file, "m2e-small"]}).json()["event_id"]
    answer = httpx.get(f"{call}/{event}", timeout=SECONDS).text
    assert "event: error" in answer and words in answer and not answered[0]


# --- models ---

CHECK = partial(app.check_model, ("m2e-small",), True)


@pytest.mark.parametrize(
    "name",
    ["/etc", "me/model", "me/model@J_all", "./me", "../x/y", "~/x", "me", "", "a/b/c", "a/..", "file:///x", "a\n/b"],
)
def test_a_folder_of_the_server_is_no_model(name, answered, song, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "model").mkdir(parents=True)
    with pytest.raises(ModelError, match="is not offered here: choose m2e-small, or give a hub id."):
        CHECK(name)
    with pytest.raises(gr.Error, match="is not offered here"):
        app.predict(CHECK, str(song), name)
    *_, (status, after, *_) = app.add([str(song)], [], 0, name, 0, True, check=CHECK)
    assert "is not offered here" in status.value and after == [] and not answered[0]


def test_models_that_are_offered():
    CHECK("m2e-small")
    CHECK("someone/model-1.5@D_all")
    app.check_model(("/srv/model",), False, "/srv/model")  # that of --model
    with pytest.raises(ModelError, match="is not offered here: choose m2e-small[.]"):
        app.check_model(("m2e-small",), False, "someone/model")


def test_the_server_checks_the_model(served, answered, song, tmp_path):
    assert "is not offered here" in ask(served(), client.handle_file(song), str(tmp_path)) and not answered[0]


# --- links and files ---


def test_what_is_downloaded_is_deleted(tmp_path):
    folder = tracks.temporary_folder(str(tmp_path / "new"), seconds=0.05)
    deadline = time.monotonic() + SECONDS
    while (tmp_path / "new").exists() and any((tmp_path / "new").iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert folder.startswith(str(tmp_path / "new")) and not any((tmp_path / "new").iterdir())
    assert app.KEPT_SECONDS <= 1800


def test_a_link_gives_its_file_a_plain_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tracks, "fetch", lambda link, path, public_only: path.write_text(str(public_only)))
    monkeypatch.setattr(threading.Timer, "start", lambda self: None)
    for link, name in (
        ("https://example.org/a/song.mp3?x=1", "song.mp3"),
        ("https://example.org", "audio"),
        ("https://example.org/..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("https://example.org/.hidden", "hidden"),
        ("https://example.org/" + "x" * 300 + ".ogg", "x" * 96 + ".ogg"),
    ):
        file = tracks.download(link, str(tmp_path))
        assert file.endswith(f"/{name}") and open(file).read() == "True"
    with pytest.raises(UsageError, match="is not a link"):
        tracks.download("ftp://example.org/a.mp3", str(tmp_path))
