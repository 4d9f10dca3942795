"""The downloader, against servers on loopback that misbehave."""

import socket
import threading
import time

import pytest
from badserver import BODY, Handler, serving

from m2e.errors import AudioError
from modeling_m2e import download_m2e
from modeling_m2e.download_m2e import MAX_REDIRECTS, download, is_public

PATIENCE = 15.0  # seconds that an end within a second may take on a laden machine


@pytest.fixture(scope="module")
def server():
    with serving() as port:
        yield f"http://127.0.0.1:{port}"
        Handler.stop.set()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def refusal(url, path, **limits) -> str:
    with pytest.raises(AudioError) as error:
        download(url, path, **limits)
    sentence = str(error.value)
    assert sentence.startswith(f"{url}: ") and sentence.endswith(".") and "\n" not in sentence
    return sentence


@pytest.mark.parametrize("page", ["/song.wav", "/there", "/gzip", "/members", "/deflate", "/flood"])
def test_content(server, tmp_path, page):
    download(server + page, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize("page", ["/slow", "/drip"])
def test_the_time_limit_is_that_of_the_whole_download(server, tmp_path, page):
    start = time.monotonic()
    assert "takes longer than 0.5 s" in refusal(server + page, tmp_path / "file", max_seconds=0.5)
    assert time.monotonic() - start < PATIENCE
    for thread in threading.enumerate():  # it ends with its connection
        if thread.name == "m2e-download":
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_a_resolver_that_hangs_is_within_the_time_limit(tmp_path, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: release.wait(PATIENCE) and [])
    start = time.monotonic()
    assert "takes longer" in refusal("http://example.org/a.mp3", tmp_path / "file", max_seconds=0.3)
    assert time.monotonic() - start < PATIENCE / 2
    release.set()


@pytest.mark.parametrize("page", ["/endless", "/bomb"])
def test_the_size_limit_counts_what_is_written(server, tmp_path, page):
    assert "is larger than 1 MiB" in refusal(server + page, tmp_path / "file", max_bytes=1 << 20)
    assert (tmp_path / "file").stat().st_size <= 1 << 20


def test_a_declared_size_is_refused_before_anything_is_read(server, tmp_path):
    assert "is larger than" in refusal(f"{server}/song.wav", tmp_path / "file", max_bytes=len(BODY) - 1)
    assert (tmp_path / "file").stat().st_size == 0


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("/loop", f"more than {MAX_REDIRECTS} redirects"),
        ("/file", "unknown url type: file"),
        ("/none", "Not Found"),
        ("/cut", "broke off"),
        ("/nogzip", "compression is damaged"),
        ("/brotli", "encoding br is not supported"),
    ],
)
def test_answers_that_cannot_be_used(server, tmp_path, page, words):
    assert words in refusal(server + page, tmp_path / "file")


# --- public addresses only ---

PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.3.4", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.0.8", "198.18.0.1", "192.88.99.1", "224.0.0.1", "255.255.255.255"),
    *("::1", "::", "fe80::1%lo", "fc00::1", "fec0::1", "ff02::1", "2002:7f00:1::", "2002:808:808::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2001::1", "2001:db8::1"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_loopback_is_refused_by_every_name(server, tmp_path, host):
    port = server.rpartition(":")[2]
    sentence = refusal(f"http://{host}:{port}/song.wav", tmp_path / "file", public_only=True)
    assert "is not on the public internet" in sentence
    assert not (tmp_path / "file").exists()


def resolver(monkeypatch, answers):
    """Names resolve to the addresses in `answers`, each call to the next list. Returns the names that were asked."""
    asked, real = [], socket.getaddrinfo

    def getaddrinfo(host, port, *args, **kwargs):
        asked.append(host)
        addresses = answers[host].pop(0)
        return [found for address in addresses for found in real(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_redirect_into_the_own_network_is_refused(server, tmp_path, monkeypatch):
    """The first host passes as public; the redirect leads to one that does not."""
    port = server.rpartition(":")[2]
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.moved(f"http://inside.example:{port}/song.wav"))
    asked = resolver(monkeypatch, {"outside.example": [["127.0.0.1"]], "inside.example": [["127.0.0.2"]]})
    monkeypatch.setattr(download_m2e, "is_public", lambda address: address == "127.0.0.1")
    sentence = refusal(f"http://outside.example:{port}/", tmp_path / "file", public_only=True)
    assert "(inside.example is not on the public internet)" in sentence
    assert asked == ["outside.example", "inside.example"]


def test_the_address_that_was_checked_is_connected_to(server, tmp_path, monkeypatch):
    """A name that would resolve to another address the second time (DNS rebinding) is resolved once."""
    port = server.rpartition(":")[2]
    asked = resolver(monkeypatch, {"rebind.example": [["127.0.0.1"], ["127.0.0.2"]]})
    checked = []
    monkeypatch.setattr(download_m2e, "is_public", lambda address: checked.append(address) or True)
    download(f"http://rebind.example:{port}/song.wav", tmp_path / "file", public_only=True)
    assert (asked, checked) == (["rebind.example"], ["127.0.0.1"])
    assert (tmp_path / "file").read_bytes() == BODY


def test_one_private_address_among_public_ones_is_enough(tmp_path, monkeypatch):
    resolver(monkeypatch, {"mixed.example": [["8.8.8.8", "10.0.0.1"]]})
    assert "not on the public internet" in refusal("http://mixed.example/a", tmp_path / "file", public_only=True)


def test_proxies_are_not_used_for_the_page(server, tmp_path, monkeypatch):
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", server)  # it would answer 404 for an absolute address
    resolver(monkeypatch, {"inside.example": [["10.0.0.1"]]})
    assert "not on the public internet" in refusal("http://inside.example/a", tmp_path / "file", public_only=True)
