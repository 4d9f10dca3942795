"""A Hugging Face Hub on loopback, for reading: repos of given files, and a log of what was asked for."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class FakeHub:
    """`with FakeHub() as hub`: serves what `add` gave it at `hub.endpoint`.

    log: "METHOD /path" of every request so far.
    refuse: repo id -> (status, X-Error-Code, X-Error-Message), answered in place of all or, by a gate, of files only.
    """

    def __init__(self):
        # id -> commit -> path -> content; the last commit is main
        self.repos: dict[str, dict[str, dict[str, bytes | Path]]] = {}
        self.log: list[str] = []
        self.refuse: dict[str, tuple[int, str, str]] = {}
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "FakeHub":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, repo: str, files: dict[str, bytes | Path], commit: str | None = None) -> str:
        """The new commit of a repo that holds exactly these files; `commit` chooses its 40 hex digits."""
        commits = self.repos.setdefault(repo, {})
        commit = commit or hashlib.sha1(f"{repo} {len(commits)}".encode()).hexdigest()
        commits[commit] = dict(files)
        return commit

    def fetched(self, repo: str) -> list[str]:
        """The files of a repo whose content was asked for, sorted, as often as they were."""
        pattern = re.compile(rf"GET /{re.escape(repo)}/resolve/[^/]+/(.+)")
        return sorted(match[1] for line in self.log if (match := pattern.fullmatch(line)))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.log.append(f"{self.command} {path}")
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?/?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if not (api or file):
            return self.answer(404, b"no such route")
        repo, revision = (api[1], api[3]) if api else (file[1], file[2])
        refusal = self.hub.refuse.get(repo)
        if refusal and (file or refusal[1] != "GatedRepo"):
            return self.refusal(*refusal)
        if repo not in self.hub.repos:
            return self.refusal(401, "RepoNotFound")  # as for a private one
        commits = self.hub.repos[repo]
        commit = list(commits)[-1] if revision in (None, "main") else revision
        if commit not in commits:
            return self.refusal(404, "RevisionNotFound")
        files = commits[commit]
        if file:
            if file[3] not in files:
                return self.refusal(404, "EntryNotFound", headers={"X-Repo-Commit": commit})
            content = _content(files[file[3]])
            return self.answer(200, content, {"X-Repo-Commit": commit, "ETag": f'"{_blob(content)}"'})
        if api[2] == "tree":
            contents = {name: _content(content) for name, content in files.items()}
            listing = [{"type": "file", "path": n, "size": len(c), "oid": _blob(c)} for n, c in contents.items()]
            return self.answer(200, json.dumps(listing).encode())
        info = {"id": repo, "sha": commit, "siblings": [{"rfilename": name} for name in files]}
        return self.answer(200, json.dumps(info).encode())

    do_HEAD = do_GET

    def refusal(self, status: int, code: str, message: str = "", headers: dict[str, str] | None = None) -> None:
        self.answer(status, b"", {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})})

    def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _content(content: bytes | Path) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
