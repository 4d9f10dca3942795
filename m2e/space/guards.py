"""What a visitor may send: files that were uploaded, and the names of models that are offered."""

import os
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import gradio as gr

from m2e.errors import ModelError

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*(@\w+)?", re.ASCII)

Component = TypeVar("Component", gr.File, gr.Audio)


def check_model(models: Sequence[str], any_model: bool, model: str) -> None:
    """Raises ModelError for a model that visitors may not use: a folder of the server, unless it is among `models`."""
    if model in models:
        return
    if not any_model or not HUB_ID.fullmatch(model) or os.path.exists(model.partition("@")[0]):
        also = ", or give a hub id" if any_model else ""
        raise ModelError(f"{model} is not offered here: choose {', '.join(models)}{also}.")


def uploads_only(component: Component, link: str = "upload the file") -> Component:
    """The component, which refuses a link as its value: Gradio would download it without a limit of size and time.

    link: what to do instead.
    """
    move = component.async_move_resource_to_block_cache

    async def only_uploads(path: Any) -> str | None:
        if isinstance(path, str) and path.lower().startswith(("http:", "https:")):
            raise gr.Error(f"A link cannot be given as a file: {link}.")
        return await move(path)

    setattr(component, "async_move_resource_to_block_cache", only_uploads)  # noqa: B010  # mypy allows no assignment
    return component
