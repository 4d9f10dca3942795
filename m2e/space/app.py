"""The page of the demo and its API, made with Gradio."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from m2e.checkpoints.load import EMBEDDED
from m2e.errors import AudioError, ModelError, UsageError
from m2e.space import charts
from m2e.space.tracks import KEPT_SECONDS, Track, analyze, download, pipeline, record_of, temporary_folder
from m2e.views.records import view
from modeling_m2e import MusicEmotion
from modeling_m2e.plot_m2e import figure, save

MAX_UPLOAD = "200mb"  # of one file
MAX_WAITING = 40  # analyses in the queue; a further visitor is told to come back later
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*(@\w+)?", re.ASCII)
# Keyword arguments of Gradio's event listeners
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
WINDOWS = [("as the model was trained", 0), ("10 s", 10), ("5 s", 5)]  # seconds
CHOOSE = """
element.addEventListener("click", ({ target }) => {
  const hit = target.closest("[data-show], [data-remove]");
  if (hit) trigger("click", { ...hit.dataset });
});
"""

Page = tuple[list[Track], int, str, str, gr.Row]  # tracks, index of the one shown, plane, details, downloads
Step = tuple[gr.HTML, list[Track], int, str, str, gr.Row]  # the status, then a Page


def build(models: Sequence[str] = (EMBEDDED,), examples: Sequence[Path] = (), any_model: bool = True) -> gr.Blocks:
    """The page.

    models: the models to choose from; the first is the default.  examples: clips to try.
    any_model: users may type any hub id. A folder of the server is offered only where it is among `models`.
    """
    check = partial(check_model, tuple(models), any_model)
    html = partial(gr.HTML, apply_default_css=False, js_on_load=None)
    gr.set_static_paths(list(examples))  # so that the player can load them
    title = "m2e: how does this music feel?"
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(60, int(KEPT_SECONDS))) as app:
        tracks, shown = gr.State([]), gr.State(0)
        html(charts.header())
        with gr.Row():
            with gr.Column(scale=4, min_width=300):
                with gr.Tabs():
                    with gr.Tab("Upload"):
                        upload = uploads_only(gr.File(label="Music files", file_count="multiple", height=150))
                    with gr.Tab("Record"):
                        record = uploads_only(gr.Audio(label="Microphone", sources=["microphone"], type="filepath"))
                    with gr.Tab("Link"):
                        link = gr.Textbox(label="Link to a music file", placeholder="https://…", submit_btn="Fetch")
                if examples:
                    html('<p class="m2e-label">No music at hand? Try</p>')
                with gr.Row(elem_classes="m2e-examples"):
                    clips = [(gr.Button(clip.stem.replace("_", " ").title(), size="sm"), clip) for clip in examples]
                with gr.Accordion("Settings", open=False):
                    hint = "One of the list, or a hub id." if any_model else None
                    model = gr.Dropdown(list(models), label="Model", info=hint, allow_custom_value=any_model)
                    window = gr.Dropdown(WINDOWS, value=0, label="Window", info="One point of the curve per window.")
                    harmony = gr.Checkbox(True, label="Recognise key and chords")
            with gr.Column(scale=8, min_width=320):
                status = html(visible=False)
                compare = html(charts.compare([]), js_on_load=CHOOSE)
        details = html(js_on_load=_asset("timeline.js"))
        with gr.Row(visible=False, elem_classes="m2e-downloads") as downloads:
            forms = ("JSON", "CSV", "figure (PDF)")
            saved = [gr.DownloadButton(f"Download {form}", size="sm", interactive=False) for form in forms]

        page = [tracks, shown, compare, details, downloads]
        settings = [tracks, shown, model, window, harmony]
        whole: dict[str, Any] = {"outputs": [status, *page], **QUIET, **ONE_AT_A_TIME}
        uploaded = upload.upload(partial(add, check=check), [upload, *settings], **whole)
        recorded = record.stop_recording(partial(add_recording, check=check), [record, *settings], **whole)
        linked = link.submit(partial(add_link, app.GRADIO_CACHE, check=check), [link, *settings], **whole)
        tried = [button.click(partial(add, str(clip), check=check), settings, **whole) for button, clip in clips]
        chosen = compare.click(choose, [tracks, shown], page, **QUIET)
        for change in (uploaded, recorded, linked, *tried, chosen):
            change.then(partial(offer_files, app.GRADIO_CACHE), tracks, saved, **QUIET)
        for change, field in ((uploaded, upload), (recorded, record), (linked, link)):
            change.then(lambda: None, None, field, **QUIET)  # empty again

        gr.Button(visible=False).click(
            partial(predict, check),
            [uploads_only(gr.File(label="audio", visible=False)), gr.Textbox(models[0], label="model", visible=False)],
            gr.Textbox(label="record", visible=False),  # as JSON the client would take it for a file
            api_name="predict",
            api_description="The record of a music file as JSON, as in `m2e predict --format jsonl --key-segments`.",
            **ONE_AT_A_TIME,
        )
    app.queue(max_size=MAX_WAITING)
    return app


def check_model(models: Sequence[str], any_model: bool, model: str) -> None:
    """Raises ModelError for a model that visitors may not use: a folder of the server, unless it is among `models`."""
    if model in models:
        return
    if not any_model or not HUB_ID.fullmatch(model) or os.path.exists(model.partition("@")[0]):
        also = ", or give a hub id" if any_model else ""
        raise ModelError(f"{model} is not offered here: choose {', '.join(models)}{also}.")


Component = TypeVar("Component", gr.File, gr.Audio)


def uploads_only(component: Component) -> Component:
    """The component, which refuses a link as its value: Gradio would download it without a limit of size and time."""
    move = component.async_move_resource_to_block_cache

    async def only_uploads(path: Any) -> str | None:
        if isinstance(path, str) and path.lower().startswith(("http:", "https:")):
            raise gr.Error("A link cannot be given as a file: upload the file.")
        return await move(path)

    setattr(component, "async_move_resource_to_block_cache", only_uploads)  # noqa: B010  # mypy allows no assignment
    return component


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
    }
    return app.launch(theme=theme, head=style, **settings | options)[1]


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
    files = [sources] if isinstance(sources, str) else sources or []
    names = names or [os.path.basename(file) for file in files]
    sentences: list[str] = []
    yield report(doing=f"Loading {model} …"), *show(tracks, shown)
    try:
        if check is not None:
            check(model)
        pipe = pipeline(model, window, harmony)
    except ModelError as error:
        yield report([str(error)]), *show(tracks, shown)
        return
    for file, name in zip(files, names, strict=True):
        yield report(sentences, f"Analysing {name} …"), *show(tracks, shown)
        try:
            tracks = [*tracks, analyze(pipe, file, name)]
            shown = len(tracks) - 1
        except AudioError as error:
            sentences.append(str(error))
    yield report(sentences), *show(tracks, shown)


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
    yield report(doing=f"Downloading {link} …"), *show(tracks, shown)
    try:
        file = download(link, folder)
    except UsageError as error:
        yield report([str(error)]), *show(tracks, shown)
        return
    yield from add(file, tracks, shown, model, window, harmony, [link], check)


def report(sentences: Sequence[str] = (), doing: str = "") -> gr.HTML:
    """The status line: what failed, and what is being done."""
    return gr.HTML(charts.status(sentences, doing), visible=bool(sentences or doing))


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
    card = charts.details(tracks[shown], shown + 1) if tracks else ""
    return tracks, shown, charts.compare(tracks, shown), card, gr.Row(visible=bool(tracks))


def offer_files(folder: str, tracks: list[Track]) -> list[gr.DownloadButton]:
    """The download buttons with new files; disabled without tracks."""
    if not tracks:
        return [gr.DownloadButton(value=None, interactive=False) for _ in range(3)]
    files = write_files([track.record for track in tracks], temporary_folder(folder))
    return [gr.DownloadButton(value=file, interactive=True) for file in files]


def write_files(records: Sequence[MusicEmotion], folder: str) -> list[str]:
    """Writes the records as JSON, as CSV and as a figure; returns the paths of the files in `folder`."""
    as_json, as_csv, drawn = (os.path.join(folder, f"m2e.{form}") for form in ("json", "csv", "pdf"))
    for file, shown in ((as_json, view("json")), (as_csv, view("csv"))):
        Path(file).write_text("".join([*map(shown.add, records), shown.end()]), encoding="utf-8")
    save(figure(records), drawn)
    return [as_json, as_csv, drawn]


def predict(check: Callable[[str], None], audio: str | None, model: str) -> str:
    """The record of a file as JSON; its `error` says why it failed.  check: as for `add`."""
    if audio is None:
        raise gr.Error("No audio was sent: give a file.")
    try:
        check(model)
        return record_of(pipeline(model), audio).to_json()
    except ModelError as error:
        raise gr.Error(str(error)) from error


def _asset(name: str) -> str:
    return (files("m2e.space") / name).read_text(encoding="utf-8")
