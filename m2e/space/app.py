"""The page of the demo, made with Gradio: its components, its events and its server."""

import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from m2e.checkpoints.load import EMBEDDED
from m2e.errors import AudioError, ModelError, UsageError
from m2e.space import endpoints, results
from m2e.space.guards import check_model, uploads_only
from m2e.space.tracks import (
    EXAMPLE_WINDOW,
    KEPT_SECONDS,
    ZERO_GPU,
    Track,
    analyze,
    download,
    examples,
    opening,
    pipeline,
    temporary_folder,
)
from m2e.views.records import view
from modeling_m2e import MusicEmotion
from modeling_m2e.plot_m2e import figure, save

MAX_UPLOAD = "200mb"  # of one file
MAX_WAITING = 40  # analyses in the queue; a further visitor is told to come back later
# Keyword arguments of Gradio's event listeners
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
WINDOWS = [("as the model was trained", 0), ("10 s", 10), ("5 s", 5)]  # seconds
NO_EVENTS = None  # of gr.HTML, whose default runs a script

Page = tuple[list[Track], int, str, gr.Row]  # tracks, index of the one shown, results, downloads
Step = tuple[str, list[Track], int, str, gr.Row]  # the status, then a Page


def open_page(models: Sequence[str], any_model: bool = True) -> gr.Blocks:
    """The page with the examples that ship with it, open on one of them; the first model is loaded. As for `build`.

    Raises: ModelError.
    """
    pipeline(models[0])  # so that the first visitor need not wait
    return build(models, examples(), any_model, opening(models[0]))


def build(
    models: Sequence[str] = (EMBEDDED,),
    clips: Sequence[Path] = (),
    any_model: bool = True,
    first: Track | None = None,
) -> gr.Blocks:
    """The page.

    models: the models to choose from; the first is the default.  clips: examples to try.
    any_model: users may type any hub id. A folder of the server is offered only where it is among `models`.
    first: the track that the page shows until a visitor adds another.
    """
    check = partial(check_model, tuple(models), any_model)
    html = partial(gr.HTML, apply_default_css=False)
    gr.set_static_paths(list(clips))  # so that the player can load them
    title = "m2e: how does this music feel?"
    shown_first = [first] if first else []
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(60, int(KEPT_SECONDS))) as app:
        tracks, shown = gr.State(shown_first), gr.State(0)
        html(results.header(), js_on_load=NO_EVENTS)
        with gr.Row(elem_classes="m2e-page"):
            with gr.Column(scale=3, min_width=280, elem_classes="m2e-add"):
                with gr.Tabs():
                    with gr.Tab("Upload"):
                        upload = uploads_only(gr.File(label="Music files", file_count="multiple", height=130))
                    with gr.Tab("Record"):
                        record = uploads_only(gr.Audio(label="Microphone", sources=["microphone"], type="filepath"))
                    with gr.Tab("Link"):
                        link = gr.Textbox(label="Link to a music file", placeholder="https://…", submit_btn="Fetch")
                if clips:
                    html('<p class="m2e-label">No music at hand? Try</p>', js_on_load=NO_EVENTS)
                with gr.Row(elem_classes="m2e-examples"):
                    buttons = [gr.Button(clip.stem.replace("_", " ").title(), size="sm") for clip in clips]
                with gr.Accordion("Settings", open=False):
                    hint = "One of the list, or a hub id." if any_model else None
                    model = gr.Dropdown(list(models), label="Model", info=hint, allow_custom_value=any_model)
                    window = gr.Dropdown(WINDOWS, value=0, label="Window", info="One point of the curve per window.")
                    harmony = gr.Checkbox(True, label="Recognise key and chords")
            with gr.Column(scale=9, min_width=320):
                status = html(results.status(), js_on_load=_asset("status.js"))
                found = html(results.results(shown_first), js_on_load=_asset("results.js"))
                with gr.Row(visible=bool(first), elem_classes="m2e-downloads") as downloads:
                    forms = ("JSON", "CSV", "figure (PDF)")
                    ready = _files_of(shown_first, app)
                    saved = [
                        gr.DownloadButton(f"Download {form}", value=file, size="sm", interactive=bool(first))
                        for form, file in zip(forms, ready, strict=True)
                    ]

        # First, as Gradio's client in the browser takes the numbers of events for those of public functions
        endpoints.add(models[0], check, app.GRADIO_CACHE, **ONE_AT_A_TIME)
        page = [tracks, shown, found, downloads]
        settings = [tracks, shown, model, window, harmony]
        whole: dict[str, Any] = {"outputs": [status, *page], **QUIET, **ONE_AT_A_TIME}
        uploaded = upload.upload(partial(add, check=check), [upload, *settings], **whole)
        recorded = record.stop_recording(partial(add_recording, check=check), [record, *settings], **whole)
        linked = link.submit(partial(add_link, app.GRADIO_CACHE, check=check), [link, *settings], **whole)
        tried = [
            button.click(partial(add_example, str(clip), check), settings, **whole)
            for button, clip in zip(buttons, clips, strict=True)
        ]
        chosen = found.click(choose, [tracks, shown], page, **QUIET)
        for change in (uploaded, recorded, linked, *tried, chosen):
            change.then(partial(offer_files, app.GRADIO_CACHE), tracks, saved, **QUIET)
        for change, field in ((uploaded, upload), (recorded, record), (linked, link)):
            change.then(lambda: None, None, field, **QUIET)  # empty again
    app.queue(max_size=MAX_WAITING)
    return app


def _files_of(tracks: Sequence[Track], app: gr.Blocks) -> list[str] | list[None]:
    """The files of the tracks that the page opens on; they last as long as the page."""
    if not tracks:
        return [None, None, None]
    folder = tempfile.TemporaryDirectory(prefix="m2e-")
    weakref.finalize(app, folder.cleanup)
    gr.set_static_paths(folder.name)
    return write_files([track.record for track in tracks], folder.name)


def launch(app: gr.Blocks, **options: Any) -> str:
    """Starts the server of the page and returns its address; options: those of `gradio.Blocks.launch`."""
    font = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]  # no downloads
    theme = gr.themes.Base(primary_hue="sky", neutral_hue="gray", font=font, font_mono=["ui-monospace", "monospace"])
    # Gradio would rewrite `css`, and drop rules that it does not know.
    style = f"<style>{_asset('style.css')}</style>"
    settings: dict[str, Any] = {
        "footer_links": ["api"],
        "ssr_mode": False,
        "quiet": True,
        "prevent_thread_lock": True,
        "max_file_size": MAX_UPLOAD,
        "mcp_server": speaks_mcp(),
    }
    return app.launch(theme=theme, head=style, **settings | options)[1]


def speaks_mcp() -> bool:
    """Whether the package mcp is installed in the version that Gradio's extra "mcp" takes; Spaces have it."""
    try:
        return metadata.version("mcp").partition(".")[0] == "1"
    except metadata.PackageNotFoundError:
        return False


# --- events of the page ---


def add(
    sources: str | Sequence[str] | None,
    tracks: list[Track],
    shown: int,
    model: str,
    window: float,
    harmony: bool,
    names: Sequence[str] = (),
    check: Callable[[str], None] | None = None,
) -> Iterator[Step]:
    """Yields the page after every source; at the end its status lists those that failed.

    names: what records call the sources; by default their file names.
    check: raises ModelError for a model that visitors may not use.
    """
    sent = [sources] if isinstance(sources, str) else sources or []
    names = names or [os.path.basename(file) for file in sent]
    sentences: list[str] = []
    yield results.status(doing=f"Loading {model} …"), *show(tracks, shown)
    try:
        if check is not None:
            check(model)
        if not ZERO_GPU:  # there a model is loaded where its GPU is
            pipeline(model, window, harmony)
        for file, name in zip(sent, names, strict=True):
            yield results.status(sentences, f"Analysing {name} …"), *show(tracks, shown)
            try:
                added = analyze(model, file, name, window, harmony)
                tracks = [*(track for track in tracks if not track.opening), added]
                shown = len(tracks) - 1
            except AudioError as error:
                sentences.append(str(error))
    except ModelError as error:
        sentences.append(str(error))
    yield results.status(sentences), *show(tracks, shown)


def add_example(
    clip: str,
    check: Callable[[str], None],
    tracks: list[Track],
    shown: int,
    model: str,
    window: float,
    harmony: bool,
) -> Iterator[Step]:
    yield from add(clip, tracks, shown, model, window or EXAMPLE_WINDOW, harmony, check=check)


def add_recording(
    source: str | None,
    tracks: list[Track],
    shown: int,
    model: str,
    window: float,
    harmony: bool,
    check: Callable[[str], None] | None = None,
) -> Iterator[Step]:
    count = sum((track.record.path or "").startswith("recording") for track in tracks)
    names = [f"recording {count + 1}"] if source else ()
    yield from add(source, tracks, shown, model, window, harmony, names, check)


def add_link(
    folder: str,
    link: str,
    tracks: list[Track],
    shown: int,
    model: str,
    window: float,
    harmony: bool,
    check: Callable[[str], None] | None = None,
) -> Iterator[Step]:
    link = link.strip()
    yield results.status(doing=f"Downloading {link} …"), *show(tracks, shown)
    try:
        file = download(link, folder)
    except UsageError as error:
        yield results.status([str(error)]), *show(tracks, shown)
        return
    yield from add(file, tracks, shown, model, window, harmony, [link], check)


def choose(tracks: list[Track], shown: int, event: gr.EventData) -> Page:
    """The page after a click on a track, to show or to remove it."""
    clicked = event._data or {}
    if "remove" in clicked:
        index = int(clicked["remove"])
        tracks = tracks[:index] + tracks[index + 1 :]
        shown -= shown > index
    else:
        shown = int(clicked.get("show", shown))
    return show(tracks, shown)


def show(tracks: list[Track], shown: int) -> Page:
    """The values of the page; `shown` may be out of range."""
    shown = min(max(shown, 0), max(0, len(tracks) - 1))
    return tracks, shown, results.results(tracks, shown), gr.Row(visible=bool(tracks))


def offer_files(folder: str, tracks: list[Track]) -> list[gr.DownloadButton]:
    """The download buttons with new files; disabled without tracks."""
    if not tracks:
        return [gr.DownloadButton(value=None, interactive=False) for _ in range(3)]
    written = write_files([track.record for track in tracks], temporary_folder(folder))
    return [gr.DownloadButton(value=file, interactive=True) for file in written]


def write_files(records: Sequence[MusicEmotion], folder: str) -> list[str]:
    """Writes the records as JSON, as CSV and as a figure; returns the paths of the files in `folder`."""
    as_json, as_csv, drawn = (os.path.join(folder, f"m2e.{form}") for form in ("json", "csv", "pdf"))
    for file, shown in ((as_json, view("json")), (as_csv, view("csv"))):
        Path(file).write_text("".join([*map(shown.add, records), shown.end()]), encoding="utf-8")
    save(figure(records), drawn)
    return [as_json, as_csv, drawn]


def _asset(name: str) -> str:
    return (files("m2e.space") / name).read_text(encoding="utf-8")
