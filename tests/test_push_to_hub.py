"""The command that publishes, and what anybody then loads: in fresh processes, with this package and without."""

import json
import os
from pathlib import Path

import huggingface_hub
import pytest
import soundfile as sf
import tiny
import torch
from fakehub import TOKEN, FakeHub
from huggingface_hub import ModelCard

import m2e
import push_to_hub
from m2e.checkpoints import music2emo as published
from m2e.datasets.registry import HUB_IDS
from m2e.errors import ModelError
from m2e.publish import space as space_module
from m2e.publish.facts import Facts
from modeling_m2e import MusicEmotionPipeline
from modeling_m2e.encoder_m2e import PINNED_REVISIONS

EMOTIONS = ("me/teacher-moods", "me/teacher-va", "me/student")
CHORDS = ("me/chords", "me/btc")
CONVERTED = "me/music2emo"
TRACK = tiny.waveform(4.0, seed=3)


@pytest.fixture
def online(monkeypatch, tmp_path):
    """A hub for commands that run in this process."""
    with FakeHub() as hub, _online(monkeypatch, hub, tmp_path):
        yield hub


class _online:
    """The libraries of this process, which were imported offline, ask this hub, as somebody who may write."""

    def __init__(self, monkeypatch, hub, folder):
        self.patch = monkeypatch
        constants = {
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_CACHE": str(folder / "pushing"),
            "ENDPOINT": hub.endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        }
        for name, value in constants.items():
            monkeypatch.setattr(huggingface_hub.constants, name, value)
        monkeypatch.setattr("transformers.utils.hub._hf_api", None)  # made once, for the endpoint of then
        monkeypatch.setenv("HF_TOKEN", TOKEN)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.patch.undo()


# --- what is published, and what it answers before ---


def answer(record) -> dict:
    """A record without the names of track and model, numbers exact, as JSON keeps it."""
    moods = [(mood.label, mood.score) for mood in record.moods]
    plain = {**record, "moods": moods, "va": (record.valence, record.arousal), "path": None, "model": None}
    return json.loads(json.dumps(plain))


def evaluate(folder: Path, dataset: str, **scores: float) -> None:
    result = {"dataset": {"name": dataset.upper(), "id": dataset}, "split": "test", "scores": scores}
    (folder / "evaluation.json").write_text(json.dumps({"results": [result]}))


def student(seed: int, **settings) -> MusicEmotionPipeline:
    """A tiny model with weights of its own."""
    pipe = tiny.pipeline(**settings)
    torch.manual_seed(seed)
    with torch.no_grad():
        for tensor in pipe.model.parameters():
            tensor += 0.05 * torch.randn_like(tensor)
    return pipe


@pytest.fixture(scope="module")
def mert() -> dict[str, bytes]:
    return tiny.published_mert()


@pytest.fixture(scope="module")
def folders(mert, fixtures, tmp_path_factory) -> tuple[dict[str, Path], dict[str, object]]:
    """(model folders, what they answer) by the repos that they go to."""
    root = tmp_path_factory.mktemp("runs")
    sf.write(root / "track.wav", TRACK, tiny.SAMPLING_RATE, subtype="FLOAT")
    track, found, answers = str(root / "track.wav"), {}, {}
    for seed, repo in enumerate(EMOTIONS):
        pipe = student(seed, chords=repo != "me/teacher-va")
        found[repo] = root / repo.partition("/")[2]
        pipe.save_pretrained(found[repo])
        Facts(repo.partition("/")[2], "cc-by-nc-sa-4.0").save(found[repo])
        evaluate(found[repo], "deam", r2_valence=0.5 + seed / 10, r2_arousal=0.6)
        answers[repo] = answer(pipe(track))
    assert len({json.dumps(each) for each in answers.values()}) == 3

    recognizer = pipe.processor.chord_recognizer
    found["me/chords"] = found["me/student"] / "chords"
    Facts("tiny-chords", "apache-2.0").save(found["me/chords"])
    evaluate(found["me/chords"], "pop909", majmin=0.9)

    checkpoint = root / "btc.pt"
    torch.save(tiny.constant_chord(fixtures / "btc" / "tiny_checkpoint.pt", "A:min"), checkpoint)
    torch.save(tiny.published_head(), root / "J_all.ckpt")
    snapshot = root / "cache" / f"models--{published.ENCODER.replace('/', '--')}" / "snapshots"
    snapshot /= PINNED_REVISIONS[published.ENCODER]
    snapshot.mkdir(parents=True)
    for name, content in mert.items():
        (snapshot / name).write_bytes(content)
    found[CONVERTED] = root / "music2emo"
    published.convert(root / "J_all.ckpt", checkpoint, found[CONVERTED], {"cache_dir": root / "cache"})
    pipe = m2e.load(found[CONVERTED], cache_dir=root / "cache", device="cpu")
    answers[CONVERTED] = answer(pipe(track))
    found["me/btc"] = root / "btc"
    pipe.processor.chord_recognizer.save_pretrained(found["me/btc"])
    for repo, each in (("me/chords", recognizer), ("me/btc", pipe.processor.chord_recognizer)):
        answers[repo] = [[chord.start, min(chord.end, 4.0), chord.label] for chord in each(TRACK)]
    assert len(answers["me/chords"]) > 2 and {label for _, _, label in answers["me/btc"]} == {"A:min"}
    return found, answers


# One interpreter that has the libraries and no model; what `apart` calls is a process of its own, forked from it.
ANYWHERE = """
import json, multiprocessing, sys, urllib.error, urllib.request
root, threads, track, converted, *repos = sys.argv[1:]
import torch
torch.set_num_threads(int(threads))
import huggingface_hub, soundfile
from transformers import AutoConfig, AutoModel, AutoProcessor, pipeline

def answer(r):
    moods = [(m.label, m.score) for m in r.moods]
    return {**r, "moods": moods, "va": (r.valence, r.arousal), "path": None, "model": None}

def listed(chords):
    return [[chord.start, min(chord.end, 4.0), chord.label] for chord in chords]  # as published, the last may be longer

def installed(repos):
    sys.path.insert(0, root)
    import m2e, modeling_m2e
    found, own = {}, []
    for repo in repos:
        if repo == converted:
            found[repo] = [answer(m2e.load(repo, device="cpu")(track))]
            continue
        model = AutoModel.from_pretrained(repo)
        own.append(model)
        if type(AutoConfig.from_pretrained(repo)) is modeling_m2e.BTCConfig:
            found[repo] = [listed(m2e.load_chords(repo)(track).chords)]
            continue
        processor = AutoProcessor.from_pretrained(repo)
        pipes = [pipeline("music-emotion", model=repo, device="cpu"), m2e.load(repo, device="cpu")]
        pipes += [modeling_m2e.MusicEmotionPipeline(model=model, processor=processor)]
        found[repo] = [answer(pipe(track)) for pipe in pipes]
        own += [processor, *pipes]
    remote = [name for name in sys.modules if name.startswith("transformers_modules")]
    return {"found": found, "classes": [type(each).__module__ for each in own], "remote": remote}

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("m2e", "modeling_m2e"):
            raise ModuleNotFoundError(name)

def alone(repos):
    from transformers.dynamic_module_utils import get_class_from_dynamic_module
    sys.meta_path.insert(0, NotInstalled())
    trust = {"trust_remote_code": True}
    found, own = {}, []
    for repo in repos:
        if repo == converted:
            found[repo] = [answer(pipeline("music-emotion", model=repo, device="cpu", **trust)(track))]
            continue
        config, model = AutoConfig.from_pretrained(repo, **trust), AutoModel.from_pretrained(repo, **trust)
        own += [config, model]
        if config.model_type == "m2e-btc":
            recognizer = get_class_from_dynamic_module("chords_m2e.ChordRecognizer", repo).from_pretrained(repo)
            found[repo] = [listed(recognizer(soundfile.read(track, dtype="float32")[0]))]
            continue
        processor = AutoProcessor.from_pretrained(repo, **trust)
        pipe = pipeline("music-emotion", model=repo, device="cpu", **trust)
        with torch.no_grad():
            va = model(**processor(track)).va[0].tolist()
        found[repo] = [answer(pipe(track))]
        assert found[repo][0]["va"] == tuple(va), (found[repo][0]["va"], va)
        own += [processor, pipe]
    return {"found": found, "classes": [type(each).__module__ for each in own], "remote": []}

def offline(task, repos):
    huggingface_hub.constants.HF_HUB_OFFLINE = True  # as the variable of that name
    return task(repos)

def apart(task, *arguments):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(task, arguments)

told = [apart(installed, [converted, *repos]), apart(alone, [converted, *repos])]
try:
    urllib.request.urlopen(huggingface_hub.constants.ENDPOINT + "/the-end")
except urllib.error.HTTPError:
    told += [apart(offline, task, [converted, *repos[-3:]]) for task in (installed, alone)]
print(json.dumps(told))
"""


def test_push_then_load_anywhere(folders, mert, tmp_path, monkeypatch):
    found, answers = folders
    repos = [CONVERTED, *EMOTIONS, *CHORDS]
    with FakeHub() as hub:
        hub.add(published.ENCODER, mert, PINNED_REVISIONS[published.ENCODER])
        hub.add(published.ENCODER, mert | {"config.json": b"{}"})  # a later push changes nothing
        with _online(monkeypatch, hub, tmp_path):
            for repo in repos:
                push_to_hub.main([str(found[repo]), "--repo", repo])
        assert len(hub.asked("POST .*/commit/.*")) == len(repos)
        track = str(found["me/student"].parent / "track.wav")
        arguments = [str(tiny.ROOT), str(torch.get_num_threads()), track, *repos]
        done = tiny.run(ANYWHERE, *arguments, HF_ENDPOINT=hub.endpoint, HF_HOME=str(tmp_path / "home"))
        assert done.returncode == 0, done.stderr
        assert hub.log[-1] == "GET /the-end"  # nothing was asked for offline
        cards = {repo: ModelCard(hub.files(repo)["README.md"].decode()).data for repo in repos}
        evaluated = {repo: json.loads(hub.files(repo).get("evaluation.json", b"{}")) for repo in repos}

    installed, alone, *offline = json.loads(done.stdout)
    for told, ways in ((installed, 3), (alone, 1), (offline[0], 3), (offline[1], 1)):
        asked = repos if told in (installed, alone) else [CONVERTED, *repos[-3:]]
        assert told["found"] == {repo: [answers[repo]] * (ways if repo in EMOTIONS else 1) for repo in asked}
        home = "modeling_m2e." if ways == 3 else "transformers_modules."
        assert told["remote"] == [] and told["classes"]
        assert all(name.startswith(home) for name in told["classes"])

    for repo, data in cards.items():  # the model-index of every card is the evaluation that went up with it
        index = {
            (each.dataset_type, each.dataset_split, each.metric_type): each.metric_value
            for each in data.eval_results or []
        }
        assert index == {
            (HUB_IDS.get(each["dataset"]["id"], each["dataset"]["id"]), each["split"], metric): value
            for each in evaluated[repo].get("results", [])
            for metric, value in each["scores"].items()
        }
        assert bool(index) == (repo in (*EMOTIONS, "me/chords")), repo

    with pytest.raises(ModelError, match="me/chords is a chord recogniser: give a model of emotions"):
        m2e.load("me/chords", cache_dir=tmp_path / "home" / "hub")  # this process knows no network


def test_published_checkpoints_are_converted_and_have_cards_of_their_own(folders, mert, online, tmp_path, monkeypatch):
    found, _ = folders
    root = found[CONVERTED].parent
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path / "home"))
    online.add(published.ENCODER, mert, PINNED_REVISIONS[published.ENCODER])
    checkpoints = {"saved_models/J_all.ckpt": root / "J_all.ckpt", published.CHORDS: root / "btc.pt"}
    online.add("lab/music2emo", checkpoints)
    push_to_hub.main(["lab/music2emo@J_all", "--repo", CONVERTED])
    push_to_hub.main([str(root / "btc.pt"), "--repo", "me/btc"])
    for repo in (CONVERTED, "me/btc"):  # what a conversion apart from publishing gives
        for name in ("model.safetensors", "chords/model.safetensors")[: 1 + (repo == CONVERTED)]:
            source = found[repo] / name if (found[repo] / name).is_file() else found[repo] / "chords" / name
            assert online.files(repo)[name] == source.read_bytes()
        assert b"Jonggwon Park" in online.files(repo)["LICENSE-btc.txt"]
        assert not [name for name in online.files(repo) if name.endswith((".pt", ".ckpt", ".bin"))]
    music2emo, btc = (online.files(repo)["README.md"].decode() for repo in (CONVERTED, "me/btc"))
    assert "license: apache-2.0" in music2emo
    assert ModelCard(music2emo).data.base_model == ["amaai-lab/music2emo", "m-a-p/MERT-v1-95M"]
    assert "not for commercial use" in music2emo and "valence and arousal are swapped" in music2emo
    assert PINNED_REVISIONS[published.ENCODER] in music2emo and "model-index:" not in music2emo
    assert "license: mit" in btc and "Isophonics" in btc


# --- save_pretrained and push_to_hub of the classes themselves ---


@pytest.mark.parametrize("way", ["save", "push"])
@pytest.mark.parametrize("part", ["pipeline", "processor"])
def test_parts_push_all_that_they_are(online, tmp_path, way, part):
    pipe = tiny.pipeline()
    pushed = pipe if part == "pipeline" else pipe.processor
    if way == "save":
        pushed.save_pretrained(tmp_path / "tiny", push_to_hub=True, repo_id="me/tiny", private=True)
        assert (tmp_path / "tiny" / "chords" / "config.json").is_file()
    else:
        pushed.push_to_hub("me/tiny", private=True)
    pushed.save_pretrained(tmp_path / "whole")
    whole = {path.relative_to(tmp_path / "whole").as_posix() for path in (tmp_path / "whole").rglob("*.*")}
    assert {"processing_m2e.py", "chords/model.safetensors", "encoder/config.json"} <= whole
    assert whole <= set(online.files("me/tiny")) and online.private == {"me/tiny"}
    assert len(online.asked("POST .*/commit/.*")) == 1


# --- the command ---


def test_dry_run(folders, tmp_path):
    script = "import runpy, sys; sys.path.insert(0, sys.argv[1]); sys.argv = sys.argv[2:]; "
    script += "runpy.run_path(sys.argv[0], run_name='__main__')"
    folder = folders[0]["me/student"]
    done = tiny.run(
        f"import os; os.chdir({str(tmp_path)!r}); {script}",
        *(str(tiny.ROOT), str(tiny.ROOT / "push_to_hub.py"), str(folder), "--repo", "me/student", "--dry-run"),
    )
    assert done.returncode == 0, done.stderr
    written = tmp_path / "build" / "hub" / "models" / "me--student"
    names = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    assert {
        "README.md",
        "config.json",
        "chords/model.safetensors",
        "pipeline_m2e.py",
        "LICENSE",
        "examples/README.md",
    } <= names
    lines = done.stdout.splitlines()
    assert [line.split()[-1] for line in lines[1 : len(names) + 1]] == sorted(names)
    size = os.path.getsize(written / "model.safetensors")
    assert f"{size / 1e3:12,.1f} kB  model.safetensors" in lines and "nothing sent" in done.stdout
    track = (TRACK, tiny.SAMPLING_RATE)
    assert answer(m2e.load(written, device="cpu")(track)) == answer(m2e.load(folder, device="cpu")(track))


def test_options_of_a_push(folders, online, capsys):
    folder = str(folders[0]["me/student"])
    push_to_hub.main([folder, "--repo", "me/student", "--private"])
    push_to_hub.main([folder, "--repo", "me/student", "--revision", "v2", "--message", "Second"])
    assert online.private == {"me/student"} and set(online.refs["me/student"]) == {"main", "v2"}
    assert f"published at {online.endpoint}/me/student/tree/v2 (" in capsys.readouterr().out


def test_a_collection_shows_what_was_published(folders, online, capsys):
    folder = str(folders[0]["me/student"])
    push_to_hub.main([folder, "--repo", "me/student", "--collection", "Music emotion"])
    ((slug, items),) = online.collections.items()
    assert items == [{"id": "me/student", "type": "model"}]
    assert f"collected at {online.endpoint}/collections/{slug}" in capsys.readouterr().out


def test_space_goes_up_too(folders, online, tmp_path, monkeypatch):
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "README.md").write_text("---\nsdk: gradio\n---\n")
    for name in ("app.py", "requirements.txt"):
        (tmp_path / "space" / name).write_text("m2e==0.1.0\n")
    monkeypatch.setattr(push_to_hub, "ROOT", tmp_path)
    folder = str(folders[0]["me/student"])
    push_to_hub.main([folder, "--repo", "me/student", "--space", "me/demo"])
    assert b"- me/student" in online.files("spaces/me/demo")["README.md"] and "me/student" in online.repos
    (tmp_path / "space" / "requirements.txt").write_text("m2e[demo]\n")
    monkeypatch.setattr(space_module, "build_wheel", lambda root, scratch: Path(__file__))  # a private Space has none
    monkeypatch.setattr(push_to_hub, "brings_wheel", lambda files: True)
    with pytest.raises(SystemExit) as error:
        push_to_hub.main(["--space", "me/secret", "--private"])
    assert "me/secret cannot be private" in str(error.value) and "spaces/me/secret" not in online.repos
    (tmp_path / "space" / "app.py").unlink()
    with pytest.raises(SystemExit) as error:  # before anything goes up
        push_to_hub.main([folder, "--repo", "me/other", "--space", "me/demo"])
    assert "is not a Space: it lacks app.py;" in str(error.value) and "me/other" not in online.repos


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["FOLDER", "--repo", "student"], "push_to_hub: 'student' is not a repository name"),
        (["missing", "--repo", "me/student"], "push_to_hub: missing holds no model of m2e"),
        (["no/model", "--repo", "me/student"], "push_to_hub: no/model is neither a folder nor a hub repo that you may"),
        (["FOLDER", "--repo", "me/student", "--license", "mit"], "omit --license mit."),
        (["FOLDER", "--repo", "me/student"], "push_to_hub: You may not write to me/student ("),
    ],
)
def test_failures_are_one_sentence(folders, online, arguments, sentence):
    online.faults = {"POST /api/repos/create": (403, "", "no rights")}
    folder = str(folders[0]["me/student"])
    with pytest.raises(SystemExit) as error:
        push_to_hub.main([folder if argument == "FOLDER" else argument for argument in arguments])
    assert sentence in str(error.value) and "\n" not in str(error.value)  # a string: status 1


@pytest.mark.parametrize("arguments", [[], ["folder"], ["--repo", "me/x"], ["folder", "--space", "me/x"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        push_to_hub.main(arguments)
    assert error.value.code == 2 and "give MODEL and --repo NAME/REPO" in capsys.readouterr().err
