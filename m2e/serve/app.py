"""The REST server: the library and predictions of uploaded files."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import FastAPI, File, HTTPException, Query, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from m2e import __version__
from m2e.errors import LibraryError, M2EError
from m2e.serve import subsonic
from m2e.serve.access import Access, Limits
from m2e.serve.catalog import Catalog, NotFound
from m2e.serve.jobs import Job, Jobs, Predict, QueueFull
from m2e.serve.models import Failure, SimilarTrack, Status, Track, TrackRecord, Tracks
from m2e.serve.models import Job as JobAnswer
from m2e.serve.plans import Plan

MAX_LIMIT = 1000  # tracks in one answer
FORM_BYTES = 1 << 20  # of a multipart request besides the file
DESCRIPTION = """Moods, valence and arousal, key and chords of a music library, predicted by m2e.

Upload a file to `/jobs` and fetch `/jobs/{id}` until its status is done or failed. The answer to a wrong request has a
`detail`: one sentence that says what to do."""
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many tracks to answer at most.")]


@dataclass(frozen=True)
class Settings:
    """What bounds the server.

    token: None lets in only this machine.  max_upload: bytes.  upload_seconds: for a request to arrive.
    """

    token: str | None = None
    max_upload: int = 200 << 20
    upload_seconds: float = 300.0
    max_waiting: int = 16


def build(catalog: Catalog, load: Callable[[], Predict], settings: Settings) -> FastAPI:
    """The server as an ASGI application.  load: makes the model, at the first upload."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.jobs = Jobs(load, settings.max_waiting)
        try:
            yield
        finally:
            app.state.jobs.close()

    # the pages of FastAPI's documentation load scripts from elsewhere
    app = FastAPI(
        title="m2e", version=__version__, description=DESCRIPTION, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.add_middleware(Limits, size=settings.max_upload + FORM_BYTES, seconds=settings.upload_seconds)
    app.add_middleware(Access, token=settings.token)  # added last, asked first
    app.add_exception_handler(M2EError, _sentence)
    _add_library(app, catalog, settings)
    _add_jobs(app, settings)
    subsonic.add(app, catalog)
    return app


def _sentence(request: Request, error: Exception) -> Response:
    """The answer to an error that a user can mend."""
    if isinstance(error, QueueFull):
        return JSONResponse({"detail": str(error)}, 503, {"Retry-After": "30"})
    status = 404 if isinstance(error, NotFound) else 503 if isinstance(error, LibraryError) else 400
    return JSONResponse({"detail": str(error)}, status)


def _add_library(app: FastAPI, catalog: Catalog, settings: Settings) -> None:
    # Plain functions: FastAPI runs them in threads, so that none holds up the others.

    @app.get("/status", tags=["library"])
    def status() -> Status:
        """The server and the size of its library."""
        jobs: Jobs = app.state.jobs
        waiting = {"waiting_jobs": jobs.waiting(), "max_waiting_jobs": jobs.limit}
        return catalog.status().model_copy(update=waiting | {"max_upload_mib": settings.max_upload >> 20})

    @app.get("/tracks", tags=["library"])
    def tracks(offset: Annotated[int, Query(ge=0)] = 0, limit: Limit = 100) -> Tracks:
        """All tracks, in the order in which they came into the library."""
        return catalog.all(offset, limit)

    @app.get("/tracks/{track_id}", tags=["library"])
    def track(track_id: int) -> TrackRecord:
        """A track with its whole record."""
        return catalog.track(track_id)

    @app.get("/tracks/{track_id}/similar", tags=["library"])
    def similar(track_id: int, limit: Limit = 20) -> list[SimilarTrack]:
        """The tracks that sound most alike, nearest first."""
        return catalog.similar(track_id, limit)

    @app.get("/query", tags=["library"])
    def query(
        q: Annotated[
            str, Query(description='Such as "calm and happy, valence > 6, year >= 1990"; see docs/library.md.')
        ],
        sort: Annotated[str | None, Query(description='Such as "arousal"; "-arousal" for the highest first.')] = None,
        limit: Limit = 100,
    ) -> Tracks:
        """The tracks that match a query."""
        return catalog.query(q, sort, limit)

    @app.post("/playlist", tags=["library"], response_model=list[Track])
    def playlist(
        plan: Plan,
        form: Annotated[Literal["json", "m3u8"], Query(alias="format", description="json: a list of tracks.")] = "json",
    ) -> Any:
        """The tracks of a playlist, in its order. The same request gives the same playlist."""
        if form == "m3u8":
            return PlainTextResponse(catalog.m3u8(plan), media_type="application/vnd.apple.mpegurl")
        return catalog.playlist(plan)

    @app.get("/failures", tags=["library"])
    def failures() -> list[Failure]:
        """The files that could not be predicted."""
        return catalog.failures()


def _add_jobs(app: FastAPI, settings: Settings) -> None:
    @app.post("/jobs", status_code=202, tags=["files"])
    def submit(file: Annotated[UploadFile, File(description="An audio file.")]) -> JobAnswer:
        """Upload an audio file. It is predicted when its turn comes, and deleted then."""
        if file.size is not None and file.size > settings.max_upload:
            raise HTTPException(413, f"The file is larger than {settings.max_upload >> 20} MiB.")
        name = os.path.basename((file.filename or "").replace("\\", "/")) or "audio"
        jobs: Jobs = app.state.jobs
        return _answer(jobs, jobs.submit(name, file.file))

    @app.get("/jobs/{job_id}", tags=["files"])
    def job(job_id: str) -> JobAnswer:
        """The state of a job, with its record once it is done. A result is kept for an hour."""
        jobs: Jobs = app.state.jobs
        return _answer(jobs, _known(jobs.get(job_id)))

    @app.delete("/jobs/{job_id}", status_code=204, tags=["files"])
    def drop(job_id: str) -> None:
        """Forget a job and its result."""
        jobs: Jobs = app.state.jobs
        _known(jobs.get(job_id))
        jobs.drop(job_id)


def _known(job: Job | None) -> Job:
    if job is None:
        raise NotFound("There is no such job: its result was fetched too late, or never existed.")
    return job


def _answer(jobs: Jobs, job: Job) -> JobAnswer:
    waits = job.status == "waiting"
    return JobAnswer(
        id=job.id,
        name=job.name,
        status=job.status,
        before=jobs.place(job) if waits else 0,
        record=job.record,
        error=job.error,
    )
