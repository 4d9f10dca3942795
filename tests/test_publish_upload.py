"""Pushes to a hub on loopback: one commit or none, and every way in which it is none."""

import errno
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from fakehub import INITIAL, TOKEN, FakeHub
from huggingface_hub import HfApi
from safetensors.numpy import save

from m2e.errors import PublishError
from m2e.publish.upload import check_name, collect, publish, sizes, write

REPO = "me/tiny"
WEIGHTS = {f"{part}model.safetensors": save({part or "w": np.ones(9)}) for part in ("", "chords/")}
FILES = {"README.md": b"---\nlicense: mit\n---\n", "config.json": b'{"model_type": "m2e"}', "x.py": b"1\n", **WEIGHTS}
COMMITS = r"POST /api/\w+/[^/]+/[^/]+/commit/.*"


@pytest.fixture
def hub():
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def api(hub, monkeypatch, tmp_path) -> HfApi:
    """Of somebody who may write and is online; the tests' own process is not otherwise."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return HfApi(endpoint=hub.endpoint, token=TOKEN)


def refusal(*args, **kwargs) -> str:
    with pytest.raises(PublishError) as error:
        publish(*args, **kwargs)
    sentence = str(error.value)
    assert "\n" not in sentence and sentence.endswith(".")
    return sentence


# --- one commit ---


def test_first_push(hub, api, tmp_path):
    (tmp_path / "x.py").write_bytes(FILES["x.py"])  # from a file or from memory
    commit = publish(api, REPO, FILES | {"x.py": tmp_path / "x.py"}, message="Hello")
    assert hub.files(REPO) == INITIAL | FILES and hub.refs[REPO]["main"] == commit
    assert len(hub.asked(COMMITS)) == 1 and len(hub.asked("PUT .*")) == 2
    assert REPO not in hub.private


def test_push_again(hub, api):
    first = publish(api, REPO, FILES)
    assert publish(api, REPO, FILES) == first and len(hub.repos[REPO]) == 2
    changed = {name: content for name, content in FILES.items() if name != "x.py"} | {"y.py": b"2\n"}
    before = len(hub.asked(COMMITS))
    assert publish(api, REPO, changed) != first
    assert hub.files(REPO) == INITIAL | changed and len(hub.asked(COMMITS)) == before + 1
    assert hub.repos[REPO][first] == INITIAL | FILES  # what was there stays reachable


@pytest.mark.parametrize("at", ["PUT /lfs/.*", COMMITS, r".*/preupload/.*", r".*/lfs/objects/batch"])
def test_interrupted_push_leaves_the_repo_as_it_was_and_can_be_repeated(hub, api, at):
    first = publish(api, REPO, FILES)
    changed = FILES | {name: content[:-1] + b"\0" for name, content in WEIGHTS.items()} | {"x.py": b"2\n"}
    hub.faults = {at: (403, "", "the cable was pulled")}
    assert "the cable was pulled" in refusal(api, REPO, changed)
    assert hub.refs[REPO]["main"] == first and hub.files(REPO) == INITIAL | FILES
    hub.faults = {}
    sent = len(hub.asked("PUT .*"))
    publish(api, REPO, changed)
    assert hub.files(REPO) == INITIAL | changed
    assert len(hub.asked("PUT .*")) - sent == (0 if at == COMMITS else 2)  # what has arrived is not sent again


def test_revisions(hub, api):
    first = publish(api, REPO, FILES)
    api.create_tag(REPO, tag="v1")
    publish(api, REPO, FILES | {"x.py": b"2\n"}, revision="next/try")
    assert hub.files(REPO) == hub.files(REPO, "v1") == INITIAL | FILES and hub.refs[REPO]["main"] == first
    assert hub.files(REPO, "next/try")["x.py"] == b"2\n"
    publish(api, REPO, FILES | {"x.py": b"3\n"}, revision="next/try")
    publish(api, REPO, FILES | {"x.py": b"4\n"}, revision="main")
    found = {name: hub.files(REPO, name)["x.py"] for name in ("main", "v1", "next/try")}
    assert found == {"main": b"4\n", "v1": b"1\n", "next/try": b"3\n"}


def test_private(hub, api):
    publish(api, REPO, FILES, private=True)
    publish(api, REPO, FILES | {"x.py": b"2\n"}, private=True)
    assert hub.private == {REPO}
    publish(api, "me/public", FILES)
    assert "me/public exists and is public: make it private" in refusal(api, "me/public", {"x.py": b""}, private=True)
    assert hub.files("me/public") == INITIAL | FILES


def test_space(hub, api):
    app = {"README.md": b"---\nsdk: gradio\ntags:\n- m2e\n---\n", "app.py": b"1\n", "m2e/x.py": b"2\n"}
    publish(api, "me/demo", app, space=True)
    publish(api, "me/demo", app | {"app.py": b"3\n"}, space=True)
    assert hub.files("spaces/me/demo") == INITIAL | app | {"app.py": b"3\n"} and "me/demo" not in hub.repos


# --- what is somebody else's ---


@pytest.mark.parametrize(
    "held",
    [
        {"config.json": b'{"model_type": "bert"}', "model.safetensors": b""},
        {"config.json": b"{", "x": b""},
        {"thesis.tex": b""},
    ],
)
def test_another_model_is_not_overwritten(hub, api, held):
    hub.add(REPO, held)
    assert (
        refusal(api, REPO, FILES)
        == "me/tiny holds files that m2e did not publish: choose another name, or delete it on the hub first."
    )
    assert hub.files(REPO) == held


@pytest.mark.parametrize("readme", [None, b"# hello", b"---\ntags: [x]\n---\n", b"---\ntags: [\n---\n"])
def test_another_space_is_not_overwritten(hub, api, readme):
    held = {"app.py": b"other"} | ({} if readme is None else {"README.md": readme})
    hub.add("spaces/me/demo", held)
    assert "holds files that m2e did not publish" in refusal(api, "me/demo", {"app.py": b""}, space=True)
    assert hub.files("spaces/me/demo") == held


def test_repo_that_was_made_by_hand(hub, api):
    hub.add(REPO, INITIAL | {"README.md": b"soon"})
    publish(api, REPO, FILES)
    assert hub.files(REPO) == INITIAL | FILES


# --- errors ---


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ((401, "", "Invalid credentials in Authorization header"), "The hub rejects your access token: run `hf auth"),
        ((402, "", "Payment required"), "The hub asks for payment for me/tiny"),
        ((403, "", "You need write rights"), "You may not write to me/tiny ("),
        ((403, "GatedRepo", "Accept the terms"), "You may not write to me/tiny ("),
        ((404, "RepoNotFound", ""), "There is no me/tiny that you may write to: check that me is you"),
        ((404, "RevisionNotFound", ""), "me/tiny has no branch of that name"),
        (
            (409, "", "conflict"),
            "Another client is changing me/tiny: me/tiny is unchanged; run the same command again.",
        ),
        ((412, "", "A commit has happened since."), "Another client has changed me/tiny in the meantime"),
        ((413, "", "too large"), "The files are too large for the hub"),
        ((418, "", "teapot"), "The hub refuses me/tiny ("),
        ((429, "", "slow down"), "The hub has had too many requests"),
        ((501, "", "out of order"), "The hub answers 501 ("),
    ],
)
def test_what_the_hub_says(hub, api, fault, sentence):
    first = publish(api, REPO, FILES)
    hub.faults = {COMMITS: fault}
    assert refusal(api, REPO, FILES | {"x.py": b"2\n"}).startswith(sentence)
    assert hub.refs[REPO] == {"main": first}


def test_nobody_or_somebody_unknown(hub, api):
    for token in (False, "hf_wrong"):
        unknown = HfApi(endpoint=hub.endpoint, token=token)
        assert refusal(unknown, REPO, FILES).startswith("The hub rejects your access token: run `hf auth login`")
    assert hub.repos == {}


def test_name_of_somebody_else(hub, api):
    hub.refuse[REPO] = (403, "", "You don't have the rights to create a model under the namespace me")
    assert refusal(api, REPO, FILES).startswith("You may not write to me/tiny (")


def test_front_matter_that_the_hub_refuses(hub, api):
    assert refusal(api, REPO, FILES | {"README.md": b"---\na: [\n---\n"}).startswith("The hub refuses the front matter")
    assert hub.files(REPO) == INITIAL


def test_offline(hub, api, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert refusal(api, REPO, FILES).startswith("HF_HUB_OFFLINE is set: unset it to publish")


def test_out_of_reach(api):
    with FakeHub() as closed:
        endpoint = closed.endpoint
    sentence = refusal(HfApi(endpoint=endpoint, token=TOKEN), REPO, FILES)
    assert sentence.startswith("The hub is out of reach (") and "run the same command again" in sentence


@pytest.mark.parametrize(
    "name", ["tiny", "", "a/b/c", "me/ti ny", "me/-tiny", "me/tiny.git", "/tiny", "me/" + "x" * 100]
)
def test_names_that_cannot_be(hub, api, name):
    sentence = refusal(api, name, FILES)
    assert sentence.startswith(f"{name!r} is not a repository name: give NAME/REPO") and hub.log == []
    check_name("me/Tiny-1_2.3")


# --- collections ---


def test_a_collection_is_made_once_and_filled(hub, api):
    items = {"me/model": "model", "me/demo": "space"}
    address = collect(api, "Music emotion", items)
    (slug,) = hub.collections
    assert address == f"{hub.endpoint}/collections/{slug}" and slug.startswith("me/music-emotion")
    assert collect(api, "Music emotion", {**items, "me/chords": "model"}) == address
    assert [item["id"] for item in hub.collections[slug]] == ["me/model", "me/demo", "me/chords"]
    assert hub.collections[slug][1]["type"] == "space"


def test_a_collection_that_cannot_be_made(hub, api):
    hub.faults = {"POST /api/collections": (403, "", "no rights")}
    with pytest.raises(PublishError, match="You may not write to Music emotion"):
        collect(api, "Music emotion", {"me/model": "model"})


# --- a dry run ---


def test_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "out" / "me--tiny"
    (tmp_path / "x.py").write_bytes(b"1\n")
    files = FILES | {"x.py": tmp_path / "x.py"}
    write({"stale.py": b""}, target)
    write(files, target)
    found = {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}
    assert found == FILES and sizes(files) == {name: len(content) for name, content in FILES.items()}

    def full(self, *args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PublishError, match=r"cannot be written \(No space left on device\): free some space"):
        write({"config.json": b"{}"}, target)
    assert sorted(path.name for path in target.parent.iterdir()) == ["me--tiny"] and (target / "x.py").is_file()
