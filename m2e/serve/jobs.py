"""Predictions of uploaded files, one after the other in a thread. Uploads are deleted as soon as they are predicted."""

import os
import queue
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

from m2e.errors import M2EError
from m2e.inputs import Source
from m2e.workers import predict_one

KEPT_SECONDS = 3600.0  # how long the result of a job can be fetched
KEPT_JOBS = 1000  # finished ones; the oldest make room
Status = Literal["waiting", "running", "done", "failed"]
Predict = Callable[[str], Any]


class QueueFull(M2EError):
    """No more jobs are taken now."""


@dataclass
class Job:
    """An uploaded file and what became of it.

    record: plain values, once done.  error: one sentence, once failed.  finished: monotonic time.
    """

    name: str
    file: str
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))  # unguessable: it is all one needs to read it
    status: Status = "waiting"
    record: dict[str, Any] | None = None
    error: str | None = None
    finished: float | None = None


class Jobs:
    """A bounded queue of jobs and the thread that works on it.

    load: makes the model, at the first job.  limit: how many jobs may wait.
    """

    def __init__(self, load: Callable[[], Predict], limit: int):
        self.limit = limit
        self._load = load
        self._predict: Predict | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="m2e-serve-")
        self._jobs: dict[str, Job] = {}
        self._waiting: queue.Queue[Job | None] = queue.Queue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, name: str, content: BinaryIO) -> Job:
        """The job of a file, which waits. Raises: QueueFull; OSError where the file cannot be stored."""
        with self._lock:
            self._forget()
            if self.waiting() >= self.limit:
                raise QueueFull(f"{self.limit} files are waiting already: try again later.")
            job = Job(name, os.path.join(self._folder.name, secrets.token_hex(8)))
            self._jobs[job.id] = job
        try:
            with open(job.file, "wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
        except BaseException:
            self.drop(job.id)
            raise
        self._waiting.put(job)
        return job

    def get(self, job_id: str) -> Job | None:
        """The job with this id, if it is still kept."""
        with self._lock:
            self._forget()
            return self._jobs.get(job_id)

    def drop(self, job_id: str) -> bool:
        """Forgets a job and deletes its file; whether there was one. A running prediction ends by itself."""
        with self._lock:
            job = self._jobs.pop(job_id, None)
        if job is not None:
            _delete(job.file)
        return job is not None

    def waiting(self) -> int:
        """The number of jobs that have not begun."""
        return sum(job.status == "waiting" for job in list(self._jobs.values()))

    def place(self, job: Job) -> int:
        """How many jobs come before this one."""
        jobs = list(self._jobs.values())
        before = jobs[: jobs.index(job)] if job in jobs else []
        return sum(each.status in ("waiting", "running") for each in before)

    def close(self) -> None:
        """Deletes all files. The thread ends after the prediction that it is at."""
        with self._lock:
            self._jobs.clear()
        self._waiting.put(None)
        self._folder.cleanup()

    def _forget(self) -> None:
        ended = [job for job in self._jobs.values() if job.finished is not None]
        old = time.monotonic() - KEPT_SECONDS
        for place, job in enumerate(ended):
            if job.finished is not None and (job.finished < old or place < len(ended) - KEPT_JOBS):
                del self._jobs[job.id]

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            if job.id in self._jobs:
                job.status = "running"
                self._run(job)
            _delete(job.file)

    def _run(self, job: Job) -> None:
        try:
            predict = self._predict = self._predict or self._load()
            record = predict_one(predict, Source(job.file))
        except Exception as error:  # of loading; the thread must go on
            job.error = str(error) if isinstance(error, M2EError) else f"{type(error).__name__}: {error}"
        else:
            if record.error is None:
                job.record = {**record.to_dict(), "path": job.name}
            else:
                job.error = record.error.replace(job.file, job.name)
        job.finished = time.monotonic()
        job.status = "done" if job.error is None else "failed"  # last: others read it


def _delete(file: str) -> None:
    try:
        os.remove(file)
    except OSError:
        pass  # it was never written, or has been deleted
