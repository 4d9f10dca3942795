"""A server on loopback that misbehaves, for the tests of the downloader."""

import gzip
import http.server
import threading
import zlib
from contextlib import contextmanager

BODY = b"music" * 1000


class Handler(http.server.BaseHTTPRequestHandler):
    stop = threading.Event()

    def do_GET(self):
        {
            "/slow": self.slow,
            "/drip": self.drip,
            "/endless": self.endless,
            "/bomb": self.bomb,
            "/loop": lambda: self.moved("/loop"),
            "/there": lambda: self.moved("/song.wav"),
            "/file": lambda: self.moved("file:///etc/passwd"),
            "/flood": self.flood,
            "/gzip": lambda: self.whole(gzip.compress(BODY), "gzip"),
            "/members": lambda: self.whole(gzip.compress(BODY[:2500]) + gzip.compress(BODY[2500:]), "gzip"),
            "/deflate": lambda: self.whole(zlib.compress(BODY), "deflate"),
            "/cut": lambda: self.whole(gzip.compress(BODY)[:-20], "gzip"),
            "/nogzip": lambda: self.whole(BODY, "gzip"),
            "/brotli": lambda: self.whole(BODY, "br"),
            "/song.wav": lambda: self.whole(BODY),
        }.get(self.path, lambda: self.send_error(404))()

    def whole(self, body, encoding=None):
        self.send_response(200)
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def moved(self, target):
        self.send_response(302)
        self.send_header("Location", target)
        self.end_headers()

    def slow(self):
        """A byte at a time, each within any time limit of a single read."""
        self.send_response(200)
        self.end_headers()
        while not self.stop.wait(0.05):
            self.wfile.write(b"x")

    def drip(self):
        """The same within the headers."""
        while not self.stop.wait(0.05):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: "[:1])

    def endless(self):
        self.send_response(200)
        self.end_headers()
        while not self.stop.is_set():
            self.wfile.write(b"x" * (1 << 16))

    def flood(self):
        """A redirect with an endless body."""
        self.moved("/song.wav")
        while not self.stop.is_set():
            self.wfile.write(b"x" * (1 << 16))

    def bomb(self):
        self.whole(gzip.compress(bytes(64 << 20)), "gzip")

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):  # the downloader hangs up
        pass


@contextmanager
def serving(host="127.0.0.1"):
    with Server((host, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
