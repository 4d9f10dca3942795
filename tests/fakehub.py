"""A Hugging Face Hub on loopback: serves given or pushed files, and logs every request."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_loopback"  # of somebody who may write
Files = dict[str, bytes | Path]
INITIAL = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}


class FakeHub:
    """`with FakeHub() as hub`: serves the files of `add` and of pushes at `hub.endpoint`.

    log: "METHOD /path" of every request so far.
    refuse: repo id -> (status, X-Error-Code, X-Error-Message), answered in place of all or, by a gate, of files only.
    faults: regular expressions of "METHOD /path" -> (status, X-Error-Code, X-Error-Message), answered in its place.
    Ids of Spaces begin with "spaces/".
    """

    def __init__(self):
        self.repos: dict[str, dict[str, Files]] = {}  # id -> commit -> path -> content
        self.refs: dict[str, dict[str, str]] = {}  # id -> name of a branch or tag -> commit
        self.private: set[str] = set()
        self.collections: dict[str, list[dict]] = {}  # slug -> items
        self.lfs: dict[str, bytes] = {}  # sha256 -> content that was uploaded
        self.log: list[str] = []
        self.refuse: dict[str, tuple[int, str, str]] = {}
        self.faults: dict[str, tuple[int, str, str]] = {}
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "FakeHub":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, repo: str, files: Files, commit: str | None = None, ref: str = "main") -> str:
        """The new commit of a repo that holds exactly these files; `commit` chooses its 40 hex digits."""
        commits = self.repos.setdefault(repo, {})
        commit = commit or hashlib.sha1(f"{repo} {len(commits)}".encode()).hexdigest()
        commits[commit] = dict(files)
        self.refs.setdefault(repo, {})[ref] = commit
        return commit

    def files(self, repo: str, revision: str = "main") -> Files:
        """The files of a branch, tag or commit of a repo."""
        return self.repos[repo][self.refs[repo].get(revision, revision)]

    def fetched(self, repo: str) -> list[str]:
        """The downloaded files of a repo, sorted, one entry per download."""
        pattern = re.compile(rf"GET /{re.escape(repo)}/resolve/[^/]+/(.+)")
        return sorted(match[1] for line in self.log if (match := pattern.fullmatch(line)))

    def asked(self, pattern: str) -> list[str]:
        """The lines of the log that match."""
        return [line for line in self.log if re.fullmatch(pattern, line)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        path = self.begin()
        if path is None:
            return
        if path.removeprefix("/api/collections/") in self.hub.collections:
            return self.answer(200, self.collection(path.removeprefix("/api/collections/")))
        api = re.fullmatch(r"/api/(models|spaces)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?/?", path)
        file = re.fullmatch(r"/((?:spaces/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if not (api or file):
            return self.answer(404, b"no such route")
        repo, revision = (_id(api[1], api[2]), api[4]) if api else (file[1], file[2])
        revision, name = unquote(revision or "main"), file and unquote(file[3])
        refusal = self.hub.refuse.get(repo)
        if refusal and (file or refusal[1] != "GatedRepo"):
            return self.refusal(*refusal)
        if repo not in self.hub.repos:
            return self.refusal(401, "RepoNotFound")  # as for a private one
        commit = self.commit_of(repo, revision)
        if commit is None:
            return self.refusal(404, "RevisionNotFound")
        files = self.hub.repos[repo][commit]
        if file:
            if name not in files:
                return self.refusal(404, "EntryNotFound", headers={"X-Repo-Commit": commit})
            content = _content(files[name])
            return self.answer(200, content, {"X-Repo-Commit": commit, "ETag": f'"{_blob(content)}"'})
        if api[3] == "tree":
            contents = {path: _content(content) for path, content in files.items()}
            listing = [{"type": "file", "path": n, "size": len(c), "oid": _blob(c)} for n, c in contents.items()]
            return self.answer(200, listing)
        siblings = [{"rfilename": path} for path in files]
        info = {"id": api[2], "sha": commit, "private": repo in self.hub.private, "siblings": siblings}
        return self.answer(200, info)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.body()
        path = self.begin()
        if path is None:
            return
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.refusal(401, "", "Invalid username or password.")
        if path == "/api/validate-yaml":
            return self.validate(json.loads(body)["content"])
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path.startswith("/api/collections"):
            return self.collect(path.removeprefix("/api/collections").strip("/"), json.loads(body))
        batch = re.fullmatch(r"/((?:spaces/)?[^/]+/[^/]+)\.git/info/lfs/objects/batch", path)
        api = re.fullmatch(r"/api/(models|spaces)/([^/]+/[^/]+)/(preupload|commit|branch|tag)/(.+)", path)
        repo = batch[1] if batch else _id(api[1], api[2]) if api else None
        if repo not in self.hub.repos:
            return self.refusal(404, "RepoNotFound")
        if batch:
            return self.answer(200, {"objects": [self.lfs_object(each) for each in json.loads(body)["objects"]]})
        revision = unquote(api[4])
        if api[3] == "branch":
            return self.branch(repo, revision, json.loads(body).get("startingPoint", "main"))
        commit = self.commit_of(repo, revision)
        if commit is None:
            return self.refusal(404, "RevisionNotFound")
        if api[3] == "tag":
            return self.branch(repo, json.loads(body)["tag"], commit)
        if api[3] == "preupload":
            return self.preupload(self.hub.repos[repo][commit], json.loads(body)["files"])
        return self.commit(repo, revision, commit, [json.loads(line) for line in body.splitlines() if line])

    def do_PUT(self) -> None:
        body = self.body()
        path = self.begin()
        if path is None:
            return
        name = path.rpartition("/")[2]
        if hashlib.sha256(body).hexdigest() != name:
            return self.refusal(400, "", "content differs from its hash")
        self.hub.lfs[name] = body
        self.answer(200, b"")

    # --- what a client may do with a repo ---

    def create(self, asked: dict) -> None:
        repo = _id(f"{asked.get('type', 'model')}s", f"{asked['organization']}/{asked['name']}")
        if repo in self.hub.refuse:
            return self.refusal(*self.hub.refuse[repo])
        new = {"url": f"{self.hub.endpoint}/{repo}"}
        if repo in self.hub.repos:
            return self.answer(409, new | {"error": "You already created this model repo"})
        self.hub.add(repo, INITIAL)
        if asked.get("visibility") == "private":
            self.hub.private.add(repo)
        return self.answer(200, new)

    def collect(self, slug: str, asked: dict) -> None:
        """A new collection, or an item for the one of this slug."""
        if slug:
            items = self.hub.collections[slug.removesuffix("/items")]
            if asked["item"] in items:
                return self.answer(409, {"error": "is in the collection"})
            items.append(asked["item"])
            return self.answer(200, self.collection(slug.removesuffix("/items")))
        slug = f"{asked['namespace']}/{asked['title'].lower().replace(' ', '-')}-64f9a55bb3115b4f513ec026"
        known = slug in self.hub.collections
        self.hub.collections.setdefault(slug, [])
        return self.answer(409 if known else 200, self.collection(slug))

    def collection(self, slug: str) -> dict:
        owner = {"name": slug.partition("/")[0], "type": "user", "fullname": "", "avatarUrl": "", "isPro": False}
        return {"slug": slug, "title": slug, "owner": owner, "items": [], "lastUpdated": "2030-01-01T00:00:00.000Z"} | {
            "position": 0,
            "private": False,
            "theme": "blue",
            "upvotes": 0,
        }

    def validate(self, card: str) -> None:
        try:
            valid = isinstance(yaml.safe_load(card.split("---")[1]), dict)
        except (IndexError, yaml.YAMLError):
            valid = False
        self.answer(200 if valid else 400, {"errors": [] if valid else [{"message": "no YAML"}], "warnings": []})

    def branch(self, repo: str, name: str, start: str) -> None:
        if name in self.hub.refs[repo]:
            return self.answer(409, {"error": "Reference already exists"})
        self.hub.refs[repo][name] = self.commit_of(repo, start)
        return self.answer(200, {})

    def preupload(self, files: Files, asked: list[dict]) -> None:
        modes = [
            {
                "path": (name := each["path"]),
                "uploadMode": "lfs" if _is_large(name) else "regular",
                "shouldIgnore": False,
                "oid": _oid(name, _content(files[name])) if name in files else None,
            }
            for each in asked
        ]
        self.answer(200, {"files": modes})

    def lfs_object(self, asked: dict) -> dict:
        if asked["oid"] in self.hub.lfs:
            return asked
        return asked | {"actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{asked['oid']}"}}}

    def commit(self, repo: str, branch: str, parent: str, lines: list[dict]) -> None:
        files = dict(self.hub.repos[repo][parent])
        for line in lines:
            key, value = line["key"], line["value"]
            if key == "header" and value.get("parentCommit", parent) != parent:
                return self.refusal(412, "", "A commit has happened since.")
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.hub.lfs:
                    return self.refusal(400, "", "LFS pointer pointed to a file that does not exist")
                files[value["path"]] = self.hub.lfs[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
            elif key != "header":
                return self.refusal(400, "", f"unknown operation {key}")
        commit = self.hub.add(repo, files, ref=branch)
        return self.answer(200, {"commitOid": commit, "commitUrl": f"{self.hub.endpoint}/{repo}/commit/{commit}"})

    # --- HTTP ---

    def begin(self) -> str | None:
        """The requested path, after logging it; None where a fault has answered."""
        path = urlsplit(self.path).path
        line = f"{self.command} {unquote(path)}"
        self.hub.log.append(line)
        for pattern, fault in self.hub.faults.items():
            if re.fullmatch(pattern, line):
                return self.refusal(*fault)
        return path

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def commit_of(self, repo: str, revision: str) -> str | None:
        commit = self.hub.refs[repo].get(revision, revision)
        return commit if commit in self.hub.repos[repo] else None

    def refusal(self, status: int, code: str, message: str = "", headers: dict[str, str] | None = None) -> None:
        self.answer(status, b"", {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})})

    def answer(self, status: int, content: bytes | dict | list, headers: dict[str, str] | None = None) -> None:
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _id(kind: str, name: str) -> str:
    return f"spaces/{name}" if kind == "spaces" else name


def _is_large(name: str) -> bool:
    return name.endswith(".safetensors")


def _oid(name: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if _is_large(name) else _blob(content)


def _content(content: bytes | Path) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
