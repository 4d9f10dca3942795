"""The queue of predictions of uploaded files."""

import io
import os
import threading
import time

import pytest
from libraries import record

from m2e.errors import AudioError, ModelError
from m2e.serve import jobs as module
from m2e.serve.jobs import Jobs, QueueFull


class Model:
    """Waits for `go`; fails for some contents."""

    def __init__(self):
        self.go, self.seen = threading.Event(), []

    def __call__(self, path):
        assert self.go.wait(30)
        with open(path, "rb") as file:
            content = file.read()
        self.seen.append(path)
        if content == b"bad":
            raise AudioError(f"{path}: is no audio.")
        if content == b"bug":
            raise ZeroDivisionError("oops")
        return record(3, path)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def jobs(model):
    made = Jobs(lambda: model, limit=3)
    yield made
    model.go.set()
    made.close()


def ended(jobs, job):
    deadline = time.monotonic() + 30
    while (found := jobs.get(job.id)).finished is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_jobs_run_one_after_the_other_and_uploads_are_deleted(jobs, model):
    made = [jobs.submit(f"{n}.mp3", io.BytesIO(content)) for n, content in enumerate([b"good", b"bad", b"bug"])]
    model.go.set()
    good, bad, bug = [ended(jobs, job) for job in made]
    assert good.status == "done" and good.record["path"] == "0.mp3" and good.record["valence"] == 2.75
    assert bad.status == "failed" and bad.error == "1.mp3: is no audio."
    assert bug.error == "2.mp3: ZeroDivisionError: oops"
    assert not any(map(os.path.exists, model.seen)) and len(set(model.seen)) == 3


def test_the_queue_is_bounded(jobs, model):
    first = jobs.submit("first", io.BytesIO(b""))
    while first.status != "running":
        time.sleep(0.01)
    waiting = [jobs.submit(str(n), io.BytesIO(b"")) for n in range(3)]
    assert [jobs.place(job) for job in waiting] == [1, 2, 3]
    with pytest.raises(QueueFull, match="3 files are waiting already: try again later"):
        jobs.submit("more", io.BytesIO(b""))
    assert jobs.drop(waiting[0].id) and not jobs.drop(waiting[0].id)
    assert not os.path.exists(waiting[0].file)
    jobs.submit("now", io.BytesIO(b""))


def test_a_broken_upload_leaves_nothing(jobs):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError("gone")

    with pytest.raises(OSError):
        jobs.submit("x", Broken())
    assert jobs.waiting() == 0


def test_results_are_forgotten_after_a_while(jobs, model, monkeypatch):
    model.go.set()
    job = jobs.submit("x", io.BytesIO(b""))
    ended(jobs, job)
    monkeypatch.setattr(module, "KEPT_SECONDS", -1.0)
    assert jobs.get(job.id) is None


def test_only_the_latest_results_are_kept(jobs, model, monkeypatch):
    monkeypatch.setattr(module, "KEPT_JOBS", 1)
    model.go.set()
    first = jobs.submit("1", io.BytesIO(b""))
    ended(jobs, first)
    second = jobs.submit("2", io.BytesIO(b""))
    ended(jobs, second)
    assert jobs.get(first.id) is None and jobs.get(second.id) is second


def test_a_model_that_cannot_be_loaded_fails_the_job_only():
    def load():
        raise ModelError("no/model cannot be loaded.")

    jobs = Jobs(load, limit=1)
    try:
        assert ended(jobs, jobs.submit("x", io.BytesIO(b""))).error == "no/model cannot be loaded."
        assert ended(jobs, jobs.submit("x", io.BytesIO(b""))).status == "failed"
    finally:
        jobs.close()


def test_closing_deletes_everything(model):
    jobs = Jobs(lambda: model, limit=2)
    file = jobs.submit("x", io.BytesIO(b"")).file
    jobs.close()
    model.go.set()
    assert not os.path.exists(os.path.dirname(file))
