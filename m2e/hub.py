"""One door to every model: the embedded one, a folder, a hub repo, or the published checkpoints."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modeling_m2e import MusicEmotionPipeline

EMBEDDED = "m2e-small"


class ModelError(ValueError):
    """A model cannot be had; the sentence says why and what to do."""


def embedded_model() -> Path:
    """The folder of the model that ships inside the package."""
    return Path(str(files("m2e") / "models" / EMBEDDED))


def load(
    model: str | Path | None = None,
    device: str = "auto",
    window: float | None = None,
    batch_size: int | None = None,
    harmony: bool = True,
    **hub_arguments,
) -> "MusicEmotionPipeline":
    """A pipeline that turns audio into `MusicEmotion` records; none of a repo's own code is run.

    model: None for the embedded "m2e-small", a folder, or a hub id (`amaai-lab/music2emo` is converted once).
    device: "auto" (the first accelerator there is), "cpu", "cuda", "cuda:1", "mps".
    window: seconds of a window.  batch_size: windows the encoder sees at once.  harmony: recognise chords and key.
    hub_arguments: revision, token, cache_dir, local_files_only.

    Raises: ModelError.
    """
    import torch
    from transformers.utils import logging

    from modeling_m2e import MusicEmotionPipeline

    if device == "auto":
        device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
    name = embedded_model() if model in (None, EMBEDDED) else model
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # three bars for some megabytes say nothing
    try:
        pipe = MusicEmotionPipeline.from_pretrained(name, device=device, **hub_arguments)
    finally:
        if bars:
            logging.enable_progress_bar()
    if window is not None:
        pipe.processor.feature_extractor.window_seconds = float(window)
    if batch_size is not None:
        pipe.processor.windows_per_batch = batch_size
    pipe._preprocess_params["harmony"] = harmony
    return pipe
