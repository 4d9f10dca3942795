"""The demo's page and its API, wired with Gradio."""

import os
import tempfile
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import gradio as gr

from m2e.checkpoints.load import EMBEDDED
from m2e.errors import AudioError, ModelError, UsageError
from m2e.space import charts
from m2e.space.tracks import Track, download, hear, pipeline, record_of
from m2e.views.records import view
from modeling_m2e import MusicEmotion
from modeling_m2e.plot_m2e import figure, save

KEPT_SECONDS = 6 * 3600  # uploads and downloads, on the server
ONE_AT_A_TIME = {"concurrency_limit": 1, "concurrency_id": "model"}
WINDOWS = [("as the model was trained", 0), ("10 s", 10), ("5 s", 5)]  # seconds
CHOOSE = """
element.addEventListener("click", ({ target }) => {
  const hit = target.closest("[data-show], [data-remove]");
  if (hit) trigger("click", { ...hit.dataset });
});
"""


def build(models: Sequence[str] = (EMBEDDED,), examples: Sequence[Path] = (), any_model: bool = True) -> gr.Blocks:
    """The page.

    models: what can be chosen, the first at the start.  any_model: others can be named, too.  examples: clips at hand.
    """
    html = partial(gr.HTML, apply_default_css=False, js_on_load=None)
    gr.set_static_paths(list(examples))  # the player may fetch them
    title = "m2e: how does this music feel?"
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(600, KEPT_SECONDS)) as app:
        tracks, shown = gr.State([]), gr.State(0)
        html(charts.header())
        with gr.Row():
            with gr.Column(scale=4, min_width=300):
                with gr.Tabs():
                    with gr.Tab("Upload"):
                        upload = gr.File(label="Music files", file_count="multiple", height=150)
                    with gr.Tab("Record"):
                        record = gr.Audio(label="Microphone", sources=["microphone"], type="filepath")
                    with gr.Tab("Link"):
                        link = gr.Textbox(label="Link to a music file", placeholder="https://…", submit_btn="Fetch")
                if examples:
                    html('<p class="m2e-label">No music at hand? Try</p>')
                with gr.Row(elem_classes="m2e-examples"):
                    clips = [(gr.Button(clip.stem.replace("_", " ").title(), size="sm"), clip) for clip in examples]
                with gr.Accordion("Settings", open=False):
                    hint = "A folder or a hub id." if any_model else None
                    model = gr.Dropdown(list(models), label="Model", info=hint, allow_custom_value=any_model)
                    window = gr.Dropdown(WINDOWS, value=0, label="Window", info="A point of the curve each.")
                    harmony = gr.Checkbox(True, label="Recognise key and chords")
            with gr.Column(scale=8, min_width=320):
                status = html(visible=False)
                compare = html(charts.compare([]), js_on_load=CHOOSE)
        details = html(js_on_load=_asset("timeline.js"))
        with gr.Row(visible=False, elem_classes="m2e-downloads") as downloads:
            forms = ("JSON", "CSV", "figure (PDF)")
            saved = [gr.DownloadButton(f"Download {form}", size="sm", interactive=False) for form in forms]

        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        page = [tracks, shown, compare, details, downloads]
        settings = [tracks, shown, model, window, harmony]
        whole = {"outputs": [status, *page], **quiet, **ONE_AT_A_TIME}
        uploaded = upload.upload(add, [upload, *settings], **whole)
        recorded = record.stop_recording(add_recording, [record, *settings], **whole)
        linked = link.submit(partial(add_link, app.GRADIO_CACHE), [link, *settings], **whole)
        tried = [button.click(partial(add, str(clip)), settings, **whole) for button, clip in clips]
        chosen = compare.click(choose, [tracks, shown], page, **quiet)
        for change in (uploaded, recorded, linked, *tried, chosen):
            change.then(partial(offer_files, app.GRADIO_CACHE), tracks, saved, **quiet)
        for change, field in ((uploaded, upload), (recorded, record), (linked, link)):
            change.then(lambda: None, None, field, **quiet)  # is free for the next

        gr.Button(visible=False).click(
            partial(predict, None if any_model else set(models)),
            [gr.File(label="audio", visible=False), gr.Textbox(models[0], label="model", visible=False)],
            gr.Textbox(label="record", visible=False),  # the client takes an object with a path for a file
            api_name="predict",
            api_description="The record of a music file as JSON, as in `m2e predict --format jsonl --key-segments`.",
            **ONE_AT_A_TIME,
        )
    return app


def launch(app: gr.Blocks, **options) -> str:
    """Starts the page's server and gives its address; options are those of `gradio.Blocks.launch`."""
    font = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]  # nothing is fetched
    theme = gr.themes.Base(primary_hue="sky", neutral_hue="gray", font=font, font_mono=["ui-monospace", "monospace"])
    # Not as `css`: Gradio rewrites that, and drops rules that it does not know.
    style = f"<style>{_asset('style.css')}</style>"
    options = {"footer_links": ["api"], "ssr_mode": False, "quiet": True, "prevent_thread_lock": True} | options
    return app.launch(theme=theme, head=style, **options)[1]


# --- what happens on the page ---


def add(sources, tracks, shown, model, window, harmony, names=None):
    """Yields the page as one source after the other is heard, and at the end sentences about those that failed."""
    sources = [sources] if isinstance(sources, str) else sources or []
    names = names or [os.path.basename(source) for source in sources]
    sentences = []
    yield report(doing=f"Loading {model} …"), *show(tracks, shown)
    try:
        pipe = pipeline(model, window or None, harmony)
    except ModelError as error:
        yield report([str(error)]), *show(tracks, shown)
        return
    for source, name in zip(sources, names, strict=True):
        yield report(sentences, f"Listening to {name} …"), *show(tracks, shown)
        try:
            tracks = [*tracks, hear(pipe, source, name)]
            shown = len(tracks) - 1
        except AudioError as error:
            sentences.append(str(error))
    yield report(sentences), *show(tracks, shown)


def add_recording(source, tracks, *settings):
    count = sum(track.record.path.startswith("recording") for track in tracks)
    yield from add(source, tracks, *settings, names=[f"recording {count + 1}"])


def add_link(folder, link, tracks, shown, *settings):
    yield report(doing=f"Fetching {link} …"), *show(tracks, shown)
    try:
        file = download(link.strip(), folder)
    except UsageError as error:
        yield report([str(error)]), *show(tracks, shown)
        return
    yield from add(file, tracks, shown, *settings, names=[link.strip()])


def report(sentences: Sequence[str] = (), doing: str = ""):
    return gr.HTML(charts.status(sentences, doing), visible=bool(sentences or doing))


def choose(tracks: list[Track], shown: int, event: gr.EventData):
    """The page once a track has been chosen or removed."""
    clicked = event._data or {}
    if "remove" in clicked:
        index = int(clicked["remove"])
        tracks = tracks[:index] + tracks[index + 1 :]
        shown -= shown > index
    else:
        shown = int(clicked.get("show", shown))
    return show(tracks, shown)


def show(tracks: list[Track], shown: int):
    """Values of the page."""
    shown = min(max(shown, 0), max(0, len(tracks) - 1))
    there = bool(tracks)
    card = charts.details(tracks[shown], shown + 1) if there else ""
    return tracks, shown, charts.compare(tracks, shown), card, gr.Row(visible=there)


def offer_files(folder: str, tracks: list[Track]) -> list[gr.DownloadButton]:
    files = write_files([track.record for track in tracks], tempfile.mkdtemp(dir=folder)) if tracks else [None] * 3
    return [gr.DownloadButton(value=file, interactive=file is not None) for file in files]


def write_files(records: Sequence[MusicEmotion], folder: str) -> list[str]:
    """The records as JSON, as CSV and drawn: files in `folder`."""
    as_json, as_csv, drawn = (os.path.join(folder, f"m2e.{form}") for form in ("json", "csv", "pdf"))
    for file, form in ((as_json, "json"), (as_csv, "csv")):
        shown = view(form)
        Path(file).write_text("".join([*map(shown.add, records), shown.end()]), encoding="utf-8")
    save(figure(records), drawn)
    return [as_json, as_csv, drawn]


def predict(known: set[str] | None, audio: str | None, model: str) -> str:
    """The record of a file as JSON; one that failed has its sentence in `error`."""
    if audio is None:
        raise gr.Error("There is no audio: give a file.")
    if known is not None and model not in known:
        raise gr.Error(f"{model} is not offered here: choose {', '.join(sorted(known))}.")
    try:
        return record_of(pipeline(model), audio).to_json()
    except ModelError as error:
        raise gr.Error(str(error)) from error


def _asset(name: str) -> str:
    return (files("m2e.space") / name).read_text(encoding="utf-8")
