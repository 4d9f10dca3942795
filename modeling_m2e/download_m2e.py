"""Downloads a file over http or https within bounds of size and time, and on request from public addresses only."""

import http.client
import ipaddress
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from .errors_m2e import AudioError

MAX_BYTES = 512 << 20  # after decompression
MAX_SECONDS = 60.0  # for all of it: names, connections, redirects and content
MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
CHUNK = 1 << 16  # bytes
# Beyond what `ipaddress` calls not global: relays of IPv4 in IPv6 and the addresses of protocols.
NOT_PUBLIC = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2002::/16", "2001::/23")))
GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")

PATH_CHARACTERS = "%/:=&?~#+!$,;'@()*[]"  # kept in a URL; names beyond ASCII are quoted


class _Refused(Exception):
    """Why a download is stopped: the end of a sentence."""


def download(
    url: str,
    path: Path,
    name: str | None = None,
    *,
    max_bytes: int | None = None,
    max_seconds: float | None = None,
    public_only: bool = False,
) -> None:
    """Writes the content of an http(s) URL to `path`.

    name: what errors call the URL.  max_bytes, max_seconds: bounds; None = MAX_BYTES and MAX_SECONDS.
    public_only: refuse addresses that are not on the public internet, and use no proxy. Each redirect is checked, and
    the connection is made to the address that was checked.
    Raises: AudioError.
    """
    name = name or url
    transfer = _Transfer(MAX_BYTES if max_bytes is None else max_bytes, public_only)
    limit = MAX_SECONDS if max_seconds is None else max_seconds
    # In a thread, because the resolver of names knows no time limit and others apply to one operation only.
    thread = threading.Thread(target=transfer.run, args=(url, path), name="m2e-download", daemon=True)
    thread.start()
    try:
        thread.join(limit)
        if thread.is_alive():
            raise AudioError(f"{name}: takes longer than {limit:g} s; download it and give its path.")
    finally:
        transfer.stop()
    error = transfer.error
    if isinstance(error, _Refused):
        raise AudioError(f"{name}: {error}.")
    if isinstance(error, http.client.IncompleteRead):
        raise AudioError(f"{name}: the download broke off before its end; try again.") from error
    if isinstance(error, OSError | http.client.HTTPException | ValueError):  # ValueError: a URL without a host
        cause = getattr(error, "reason", None)  # an exception or a text
        why = str(cause or error).strip() or type(error).__name__
        raise AudioError(f"{name}: cannot be downloaded ({why.splitlines()[0][:100]}).") from error
    if error is not None:
        raise error


def is_public(address: str) -> bool:
    """Whether a numeric address is on the public internet: not private, loopback, link-local, shared or a relay."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip not in GLOBAL_IPV6:
            return False
    refused = any(ip.version == network.version and ip in network for network in NOT_PUBLIC)
    return ip.is_global and not ip.is_multicast and not refused


class _Transfer:
    """One download. `run` works in a thread, `stop` ends it from another one."""

    def __init__(self, max_bytes: int, public_only: bool):
        self.max_bytes, self.public_only = max_bytes, public_only
        self.error: Exception | None = None
        self._socket: socket.socket | None = None
        self._stopped = threading.Event()

    def run(self, url: str, path: Path) -> None:
        try:
            with self._open(url) as response, open(path, "wb") as file:
                self._write(response, file)
        except Exception as error:  # raised again by `download`, in the thread of the caller
            self.error = error
        finally:
            if self._socket is not None:
                self._socket.close()

    def stop(self) -> None:
        """Breaks the connection, so that `run` ends."""
        self._stopped.set()
        if self._socket is not None:
            with suppress(OSError):  # closed already
                self._socket.shutdown(socket.SHUT_RDWR)

    def _watch(self, connection: socket.socket) -> None:
        """Remembers a connection for `stop`: a duplicate, because TLS takes the socket itself over."""
        if self._socket is not None:
            self._socket.close()
        self._socket = connection.dup()

    def connect(self, address: tuple[str, int], timeout: Any = None, source: Any = None) -> socket.socket:
        """A connection to the first address of a host that answers, as `socket.create_connection`."""
        host, port = address
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if self.public_only and not all(is_public(str(where[0])) for *_, where in found):
            raise _Refused(f"cannot be downloaded ({host} is not on the public internet)")
        error: OSError | None = None
        for family, kind, protocol, _, where in found:
            if self._stopped.is_set():
                break
            connection = socket.socket(family, kind, protocol)
            self._watch(connection)
            try:
                connection.settimeout(timeout)
                connection.connect(where)
            except OSError as cause:
                connection.close()
                error = cause
            else:
                return connection
        raise error or TimeoutError("the time is over")

    def _open(self, url: str) -> http.client.HTTPResponse:
        """The response at the end of all redirects."""
        opener = urllib.request.OpenerDirector()  # without file: and ftp:, and without the unbounded redirects
        if not self.public_only:
            opener.add_handler(urllib.request.ProxyHandler())
        for handler in (urllib.request.UnknownHandler(), _HTTPHandler(self), _HTTPSHandler(self)):
            opener.add_handler(handler)
        for _ in range(1 + MAX_REDIRECTS):
            url = urllib.parse.quote(url, safe=PATH_CHARACTERS)
            request = urllib.request.Request(url, headers={"User-Agent": "m2e"})
            response: http.client.HTTPResponse = opener.open(request, timeout=MAX_SECONDS)
            target = response.headers.get("Location")
            if response.status not in REDIRECTS or target is None:
                if 200 <= response.status < 300:
                    return response
                response.close()
                raise _Refused(f"cannot be downloaded (HTTP Error {response.status}: {response.reason})")
            response.close()
            url = urllib.parse.urljoin(url, target)
        raise _Refused(f"cannot be downloaded (more than {MAX_REDIRECTS} redirects)")

    def _write(self, response: http.client.HTTPResponse, file: BinaryIO) -> None:
        declared = response.headers.get("Content-Length", "")
        if declared.isdecimal() and int(declared) > self.max_bytes:
            raise self._too_large()
        received = written = 0

        def chunks() -> Iterator[bytes]:
            nonlocal received
            while chunk := response.read(CHUNK):
                received += len(chunk)
                if received > self.max_bytes:
                    raise self._too_large()
                yield chunk

        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
            raise _Refused(f"cannot be downloaded (its encoding {encoding[:20]} is not supported)")
        for chunk in _decompressed(chunks()) if encoding not in ("identity", "") else chunks():
            written += len(chunk)
            if written > self.max_bytes:
                raise self._too_large()
            file.write(chunk)
        # Some versions of http.client do not report a lost connection.
        if declared.isdecimal() and received < int(declared):
            raise http.client.IncompleteRead(b"", int(declared) - received)

    def _too_large(self) -> _Refused:
        return _Refused(f"is larger than {self.max_bytes / 2**20:g} MiB; download it and give its path")


def _decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of gzip or deflate, in pieces of at most CHUNK bytes however small the compressed ones are."""
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)  # recognises the header of either
    try:
        for chunk in chunks:
            while chunk:
                if decoder.eof:  # a further member
                    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
                if data := decoder.decompress(chunk, CHUNK):
                    yield data
                chunk = decoder.unconsumed_tail or decoder.unused_data
        while not decoder.eof and (data := decoder.decompress(b"", CHUNK)):  # what is left of the last chunk
            yield data
    except zlib.error as error:
        raise _Refused("cannot be downloaded (its compression is damaged)") from error
    if not decoder.eof:
        raise http.client.IncompleteRead(b"")


class _HTTPHandler(urllib.request.HTTPHandler):
    def __init__(self, transfer: _Transfer):
        super().__init__()
        self.transfer = transfer

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        def connection(host: str, **settings: Any) -> http.client.HTTPConnection:
            return _checked(http.client.HTTPConnection(host, **settings), self.transfer)

        return self.do_open(connection, req)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def __init__(self, transfer: _Transfer):
        super().__init__()
        self.transfer = transfer

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        def connection(host: str, **settings: Any) -> http.client.HTTPConnection:
            return _checked(http.client.HTTPSConnection(host, **settings), self.transfer)

        return self.do_open(connection, req)


def _checked(connection: http.client.HTTPConnection, transfer: _Transfer) -> http.client.HTTPConnection:
    """The connection, which connects by `transfer`; TLS still checks the certificate of the host's name."""
    connection._create_connection = transfer.connect  # type: ignore[attr-defined]  # typeshed lacks it
    return connection
