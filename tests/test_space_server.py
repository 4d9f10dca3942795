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
from m2e.space import app, endpoints, guards, tracks  # noqa: E402

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
                key=None, chords=None, curve=[], model=model, summary="Happy and energetic",
            )  # fmt: skip

        return pipe

    monkeypatch.setattr(app, "pipeline", pipeline)
    monkeypatch.setattr(tracks, "pipeline", pipeline)
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


def test_links_and_sentences(served, song, monkeypatch):
    def downloaded(link, folder):
        if "none" in link:
            raise UsageError(f"{link}: cannot be downloaded.")
        return str(song)

    monkeypatch.setattr(endpoints, "download", downloaded)
    caller = client.Client(served(), verbose=False)
    link = "https://example.org/song.wav"
    assert f'"path": "{link}"' in caller.predict(f" {link}\n", api_name="/predict_link")
    assert caller.predict(link, api_name="/describe_link") == "Happy and energetic"
    with pytest.raises(client.exceptions.AppError, match="none: cannot be downloaded[.]"):
        caller.predict("https://example.org/none", api_name="/predict_link")
    with pytest.raises(client.exceptions.AppError, match="[.][.]/model is not offered here"):
        caller.predict(link, "../model", api_name="/describe_link")


def tools(page):
    """The functions of the API, which are the tools of the MCP server."""
    return {each.api_name: each.fn for each in page.fns.values() if each.api_visibility == "public"}


def test_every_tool_says_what_it_does_and_what_to_send(answered):
    described = {
        name: gr.utils.get_function_description(function) for name, function in tools(app.build(["m2e-small"])).items()
    }
    assert list(described) == ["predict", "predict_link", "describe_link"]
    for name, (description, parameters, returns) in described.items():
        assert description.endswith(".") and "music file" in description, name
        assert len(parameters) == 2 and all(parameters.values()) and returns, name
    for function in tools(app.build(["m2e-small"])).values():
        assert set(function.__annotations__.values()) <= {str, str | None}


def test_the_mcp_server_answers_a_real_client(served, song, monkeypatch):
    if not app.speaks_mcp():
        pytest.skip("mcp 1.x is not installed: it comes with gradio[mcp], but m2e[mcp] needs 2.x")
    import anyio
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    monkeypatch.setattr(endpoints, "download", lambda link, folder: str(song))

    async def ask_tools(address):
        async with streamablehttp_client(f"{address}gradio_api/mcp/") as (reading, writing, _):
            async with ClientSession(reading, writing) as session:
                await session.initialize()
                listed = {tool.name: tool for tool in (await session.list_tools()).tools}
                answer = await session.call_tool("predict_link", {"link": "https://example.org/song.wav"})
                refused = await session.call_tool("predict", {"audio": "http://127.0.0.1:1/a.wav"})
                return listed, answer, refused

    listed, answer, refused = anyio.run(ask_tools, served())
    assert {"predict", "predict_link", "describe_link"} == {name.removeprefix("m2e_") for name in listed}
    assert all(tool.description for tool in listed.values())
    assert '"valence": 5.0' in answer.content[0].text and not answer.isError
    assert refused.isError and "predict_link" in refused.content[0].text


# --- models ---

CHECK = partial(guards.check_model, ("m2e-small",), True)


@pytest.mark.parametrize(
    "name",
    ["/etc", "me/model", "me/model@J_all", "./me", "../x/y", "~/x", "me", "", "a/b/c", "a/..", "file:///x", "a\n/b"],
)
def test_a_folder_of_the_server_is_no_model(name, answered, song, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "model").mkdir(parents=True)
    with pytest.raises(ModelError, match="is not offered here: choose m2e-small, or give a hub id."):
        CHECK(name)
    *_, (status, after, *_) = app.add([str(song)], [], 0, name, 0, True, check=CHECK)
    assert "is not offered here" in status and after == [] and not answered[0]


def test_models_that_are_offered():
    CHECK("m2e-small")
    CHECK("someone/model-1.5@D_all")
    guards.check_model(("/srv/model",), False, "/srv/model")  # that of --model
    with pytest.raises(ModelError, match="is not offered here: choose m2e-small[.]"):
        guards.check_model(("m2e-small",), False, "someone/model")


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
