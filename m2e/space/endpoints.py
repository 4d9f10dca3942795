"""The API of the demo, whose functions are also the tools of its MCP server.

Gradio reads the signatures and docstrings below: programs and language models learn from them what to send.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr

from m2e.errors import M2EError
from m2e.space.facts import headline
from m2e.space.guards import uploads_only
from m2e.space.tracks import download
from m2e.space.tracks import predict as predicted
from modeling_m2e import MusicEmotion
from modeling_m2e.record_m2e import FailedTrack


def add(default: str, check: Callable[[str], None], folder: str, **limits: Any) -> None:
    """Adds the API to the page that is being built.

    default: the model of calls that name none.  check: raises ModelError for a model that callers may not use.
    folder: for downloads.  limits: keyword arguments of Gradio's event listeners.
    """

    def record_of(file: str, name: str | None, model: str) -> MusicEmotion | FailedTrack:
        try:
            check(model)
            return predicted(model, file, name)
        except M2EError as error:
            raise gr.Error(str(error)) from error

    def record_of_link(link: str, model: str) -> MusicEmotion | FailedTrack:
        link = link.strip()
        try:
            check(model)
            return record_of(download(link, folder), link, model)
        except M2EError as error:
            raise gr.Error(str(error)) from error

    def predict(audio: str | None, model: str = default) -> str:
        """Predict the emotion of an uploaded music file: valence and arousal (1 to 9), quadrant, 56 moods with their
        probabilities, key, chords, and valence and arousal over time. Takes some seconds.

        Args:
            audio: the music file, uploaded before; give a link to predict_link instead.
            model: the name of a model that the page offers.

        Returns:
            The record as JSON; its `error` is a sentence if the file cannot be analysed, and null otherwise.
        """
        if audio is None:
            raise gr.Error("No audio was sent: give a file.")
        return record_of(audio, None, model).to_json()

    def predict_link(link: str, model: str = default) -> str:
        """Predict the emotion of a music file on the web: valence and arousal (1 to 9), quadrant, 56 moods with their
        probabilities, key, chords, and valence and arousal over time. Takes some seconds.

        Args:
            link: the http or https address of the file itself, not of a page that plays it.
            model: the name of a model that the page offers.

        Returns:
            The record as JSON; its `error` is a sentence if the file cannot be analysed, and null otherwise.
        """
        return record_of_link(link, model).to_json()

    def describe_link(link: str, model: str = default) -> str:
        """Say in one short sentence how a music file on the web feels, such as "Dark and tense, F major".

        Args:
            link: the http or https address of the file itself, not of a page that plays it.
            model: the name of a model that the page offers.

        Returns:
            The sentence.
        """
        record = record_of_link(link, model)
        if record.error is not None:
            raise gr.Error(record.error)
        return headline(record)

    sent = uploads_only(gr.File(label="audio", visible=False), "upload the file, or use predict_link")
    for function, source in (
        (predict, sent),
        (predict_link, gr.Textbox(label="link", visible=False)),
        (describe_link, gr.Textbox(label="link", visible=False)),
    ):
        gr.Button(visible=False).click(
            function,
            [source, gr.Textbox(default, label="model", visible=False)],
            gr.Textbox(label="answer", visible=False),  # as JSON the client would take a record for a file
            api_name=function.__name__,
            **limits,
        )
