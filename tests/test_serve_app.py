"""The REST server, asked by a client over a socket of this machine."""

import io
import socket
import threading
import time
import xml.etree.ElementTree as ElementTree

import libraries
import pytest

httpx = pytest.importorskip("httpx")
uvicorn = pytest.importorskip("uvicorn", reason='uvicorn is in the extra "serve"')
pytest.importorskip("fastapi", reason='fastapi is in the extra "serve"')

from m2e.errors import AudioError  # noqa: E402
from m2e.serve.app import FORM_BYTES, Settings, build  # noqa: E402
from m2e.serve.catalog import Catalog  # noqa: E402

MIB = 1 << 20


class Model:
    """Reads the upload; `gate` holds it up."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, path):
        assert self.gate.wait(60)
        with open(path, "rb") as file:
            if file.read(5) != b"music":
                raise AudioError(f"{path}: is no audio.")
        return libraries.record(2, path)


class Served:
    """A server in a thread.  get, post, delete: of a client."""

    def __init__(self, db, **settings):
        self.model = Model()
        app = build(Catalog(db), lambda: self.model, Settings(**settings))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],))
        self.thread.start()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)
        self.get, self.post, self.delete = self.client.get, self.client.post, self.client.delete
        self.deadline = time.monotonic() + 60

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.model.gate.set()
        self.client.close()
        self.server.should_exit = True
        self.thread.join(60)

    def upload(self, content=b"music", name="song.mp3"):
        return self.post("/jobs", files={"file": (name, io.BytesIO(content))})

    def ended(self, job):
        while (found := self.get(f"/jobs/{job['id']}").json())["status"] not in ("done", "failed"):
            assert time.monotonic() < self.deadline
            time.sleep(0.02)
        return found


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    return libraries.make(tmp_path_factory.mktemp("serve") / "library.db")


@pytest.fixture(scope="module")
def served(db):
    with Served(db, max_upload=MIB, max_waiting=2) as server:
        yield server


def test_status(served):
    status = served.get("/status").json()
    assert (status["tracks"], status["missing_files"], status["failed_files"]) == (12, 1, 1)
    assert status["moods"] == ["calm", "happy", "sad"] and status["max_upload_mib"] == 1


def test_tracks_by_pages(served):
    page = served.get("/tracks", params={"offset": 9, "limit": 10}).json()
    assert page["total"] == 11 and [track["id"] for track in page["tracks"]] == [10, 11]  # the 12th is away
    first = served.get("/tracks", params={"limit": 1}).json()["tracks"][0]
    assert first["title"] == libraries.HOSTILE and first["key"] == "A major" and first["moods"] == ["calm"]
    assert served.get("/tracks", params={"limit": 0}).status_code == 422


def test_a_track_has_its_record(served):
    track = served.get("/tracks/2").json()
    assert track["path"] == "/music/caf\ufffd.mp3" == track["record"]["path"] == track["paths"][0]
    assert [mood["label"] for mood in track["record"]["moods"]] == ["sad", "calm", "happy"]
    assert served.get("/tracks/12").json()["missing"] is True


@pytest.mark.parametrize("number", ["99", "0", "-1", str(1 << 70)])
def test_an_unknown_track_is_a_sentence(served, number):
    answer = served.get(f"/tracks/{number}")
    assert answer.status_code == 404 and answer.json()["detail"].startswith(f"The library has no track {number}")


def test_query(served):
    found = served.get("/query", params={"q": "valence > 3, not calm", "sort": "-valence", "limit": 2}).json()
    assert found["total"] == 4 and [track["id"] for track in found["tracks"]] == [11, 9]
    wrong = served.get("/query", params={"q": "valence >"})
    assert wrong.status_code == 400 and "at character" in wrong.json()["detail"]
    assert served.get("/query").status_code == 422


def test_similar(served):
    found = served.get("/tracks/1/similar", params={"limit": 3}).json()
    assert [track["id"] for track in found] == [2, 3, 4] and found[0]["similarity"] > found[1]["similarity"]
    assert served.get("/tracks/99/similar").status_code == 404


def test_playlist(served):
    plan = {"start": "8,3", "end": "2,8", "count": 4}
    tracks = served.post("/playlist", json=plan).json()
    assert len(tracks) == 4 and tracks[0]["valence"] > tracks[-1]["valence"]
    text = served.post("/playlist", params={"format": "m3u8"}, json={"like": [2], "count": 2})
    assert text.headers["content-type"].startswith("application/vnd.apple.mpegurl")
    assert text.text.splitlines()[0] == "#EXTM3U" and text.text.splitlines()[2] == "file:///music/caf%E9.mp3"
    for wrong in ({}, {"like": [1], "moods": ["calm"]}, {"start": "calm"}, {"moods": ["clam"]}, {"quadrant": "Q7"}):
        answer = served.post("/playlist", json=wrong)
        assert answer.status_code == 400 and answer.json()["detail"], wrong
    for wrong in ({"start": "/etc/passwd", "end": "calm"}, {"count": 0, "moods": ["calm"]}, {"likes": [1]}):
        assert served.post("/playlist", json=wrong).status_code == 422, wrong


def test_opensubsonic(served):
    answer = served.get("/rest/getSimilarSongs2", params={"id": "1", "count": 2, "f": "json"}).json()
    response = answer["subsonic-response"]
    assert response["status"] == "ok" and response["openSubsonic"] is True
    assert [song["id"] for song in response["similarSongs2"]["song"]] == ["2", "3"]
    xml = ElementTree.fromstring(served.get("/rest/getSimilarSongs.view", params={"id": "2"}).content)
    songs = xml.findall("{*}similarSongs/{*}song")
    assert xml.get("status") == "ok" and libraries.HOSTILE.replace("\u202e\x07", "\ufffd\ufffd") in {
        song.get("title") for song in songs
    }
    for wrong, code in (({}, "10"), ({"id": "99"}, "70"), ({"id": "x"}, "70")):
        answer = served.get("/rest/getSimilarSongs", params=wrong)
        error = ElementTree.fromstring(answer.content).find("{*}error")
        assert answer.status_code == 200 and error.get("code") == code and error.get("message")
    extensions = served.get("/rest/getOpenSubsonicExtensions", params={"f": "json"}).json()
    assert extensions["subsonic-response"]["openSubsonicExtensions"][0]["name"] == "apiKeyAuthentication"


def test_failures(served):
    assert served.get("/failures").json() == [{"path": "/music/bad.mp3", "error": "/music/bad.mp3: is no audio."}]


def test_a_file_is_predicted(served):
    answer = served.upload(name="../../etc/song.mp3")
    assert answer.status_code == 202 and answer.json()["name"] == "song.mp3"
    job = served.ended(answer.json())
    assert job["status"] == "done" and job["record"]["path"] == "song.mp3" and job["record"]["valence"] == 2.5
    assert served.delete(f"/jobs/{job['id']}").status_code == 204
    assert served.get(f"/jobs/{job['id']}").status_code == 404
    assert served.delete(f"/jobs/{job['id']}").status_code == 404


def test_a_bad_file_fails_with_a_sentence(served):
    job = served.ended(served.upload(b"noise", "noise.mp3").json())
    assert job["status"] == "failed" and job["error"] == "noise.mp3: is no audio." and job["record"] is None


def test_large_files_are_refused(served):
    assert served.upload(b"x" * (MIB + 1)).status_code == 413
    answer = served.post("/jobs", content=b"x" * (MIB + FORM_BYTES + 1))
    assert answer.status_code == 413 and answer.json()["detail"] == "The request is larger than 2 MiB."

    def chunks():
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'
        for _ in range(4):
            yield b"x" * MIB

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert served.post("/jobs", content=chunks(), headers=headers).status_code == 413  # of unknown length


def test_the_queue_is_bounded(served):
    served.model.gate.clear()
    first = served.upload().json()
    while served.get(f"/jobs/{first['id']}").json()["status"] != "running":
        time.sleep(0.02)
    waiting = [served.upload().json() for _ in range(2)]
    assert [served.get(f"/jobs/{job['id']}").json()["before"] for job in waiting] == [1, 2]
    full = served.upload()
    assert full.status_code == 503 and full.headers["Retry-After"] == "30" and "2 files" in full.json()["detail"]
    served.model.gate.set()
    assert {served.ended(job)["status"] for job in [first, *waiting]} == {"done"}


def test_uploads_that_take_too_long_are_refused(db):
    with Served(db, upload_seconds=0.2) as served:
        with socket.create_connection(("127.0.0.1", served.port), 30) as slow:
            head = "POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
            slow.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n".encode())
            assert slow.recv(1000).startswith(b"HTTP/1.1 408")


def test_pages_of_other_servers_are_refused(served):
    assert served.get("/status", headers={"Host": "evil.example"}).status_code == 403
    assert served.get("/status", headers={"Origin": "https://evil.example"}).status_code == 403
    assert served.get("/status", headers={"Origin": f"http://127.0.0.1:{served.port}"}).status_code == 200
    assert served.get("/status", headers={"Host": "localhost:1"}).status_code == 200


def test_a_token_is_asked_for(db):
    with Served(db, token="sécret") as served:
        answer = served.get("/status")
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
        assert served.get("/openapi.json").status_code == 401
        for wrong in ("Bearer wrong", "Basic sécret", "sécret", "Bearer"):
            assert served.get("/status", headers={"Authorization": wrong.encode()}).status_code == 401
        right = {"Authorization": "Bearer sécret".encode(), "Host": "music.example"}
        assert served.get("/status", headers=right).status_code == 200
        assert served.get("/status", params={"apiKey": "sécret"}).status_code == 401
        assert served.get("/rest/ping", params={"apiKey": "sécret", "f": "json"}).status_code == 200


def test_openapi_describes_it(served):
    described = served.get("/openapi.json").json()
    assert {"/status", "/tracks", "/query", "/playlist", "/jobs", "/jobs/{job_id}"} <= set(described["paths"])
    for path, methods in described["paths"].items():
        assert all(method.get("description") or path.startswith("/rest") for method in methods.values()), path
    assert served.get("/docs").status_code == 404  # it would load scripts from elsewhere


def test_a_library_that_is_gone_is_a_sentence(tmp_path):
    with Served(tmp_path / "no.db") as served:
        answer = served.get("/status")
        assert answer.status_code == 503 and "m2e library scan" in answer.json()["detail"]
