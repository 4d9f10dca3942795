"""The jobs that speed.py measures, each in a process of its own, with the packages of any checkout.

    PYTHONPATH=CHECKOUT python benchmarks/speed_jobs.py JOB JSON

Prints one line of JSON. The jobs "start" and "track" run with old checkouts too: they use nothing but `m2e.load`.
"""

import json
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


def peak_mb() -> int:
    """The largest memory of this process so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


# --- start and tracks ---


def start(path: str, model: str | None = None) -> dict[str, float]:
    """Seconds of wall clock and of CPU until the first answer, step by step, as `m2e predict` does."""
    marks = [("", time.perf_counter(), 0.0)]

    def mark(name: str) -> None:
        marks.append((name, time.perf_counter(), time.process_time()))

    try:
        from m2e.checkpoints.light_imports import import_lightly as imported
    except ImportError:  # a checkout from before
        imported = import_module
    import_module("torch")
    mark("import_torch")
    imported("modeling_m2e")
    import m2e

    mark("import_m2e")
    pipe = m2e.load(model, device="cpu")
    mark("load")
    pipe(path)
    mark("first")
    steps = {
        f"{name}_{kind}": after[kind_index] - before[kind_index]
        for before, after in zip(marks[:-1], marks[1:], strict=True)
        for name in (after[0],)
        for kind, kind_index in (("s", 1), ("cpu_s", 2))
    }
    return {**steps, "all_s": marks[-1][1] - marks[0][1], "all_cpu_s": marks[-1][2], "peak_mb": peak_mb()}


def track(path: str, runs: int = 3, model: str | None = None, threads: int | None = None) -> dict[str, Any]:
    """Seconds of each prediction after the first, and peak memory."""
    pipe = loaded(model, threads)
    if runs:
        pipe(path)
    times, record = [], None
    for _ in range(max(runs, 1)):
        began = time.perf_counter()
        record = pipe(path)
        times.append(time.perf_counter() - began)
    return {"audio_s": record.duration, "runs_s": times, "median_s": statistics.median(times), "peak_mb": peak_mb()}


def chords(path: str, runs: int = 3) -> dict[str, Any]:
    """Seconds of chords and key alone."""
    import m2e

    pipe = m2e.load_chords()
    pipe(path)
    times = [timed(lambda: pipe(path)) for _ in range(runs)]
    return {"audio_s": pipe(path).duration, "runs_s": times, "median_s": statistics.median(times), "peak_mb": peak_mb()}


def timed(step: Callable[[], Any]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def loaded(model: str | None, threads: int | None = None) -> Any:
    """The pipeline of a model. "mert-95m": a network of the size of MERT-v1-95M, with random weights."""
    import torch

    import m2e

    if threads:
        torch.set_num_threads(threads)
    return mert_pipeline() if model == "mert-95m" else m2e.load(model, device="cpu")


def mert_pipeline() -> Any:
    import torch

    import m2e
    from modeling_m2e import M2EConfig, M2EForMusicEmotion, M2EProcessor, MusicEmotionPipeline

    torch.manual_seed(0)
    encoder = mert_encoder()
    processor = M2EProcessor.build(encoder, m2e.load(device="cpu").processor.chord_recognizer)
    config = M2EConfig.default(embedding_size=encoder.hidden_size)
    return MusicEmotionPipeline(model=M2EForMusicEmotion(config).eval(), processor=processor)


def mert_encoder(layers: int | None = None, size: int = 768) -> Any:
    """An encoder like MERT-v1-95M, random, with the layers that are read or with `layers`."""
    from transformers import HubertConfig, HubertModel

    from modeling_m2e.encoder_m2e import MertEncoder
    from modeling_m2e.encoder_mert_m2e import MERT_LAYERS, mert_config

    published = HubertConfig(hidden_size=size, intermediate_size=4 * size, conv_dim=[2 * size // 3] * 7).to_dict()
    config = mert_config(published, MERT_LAYERS if layers is None else (layers,))
    return MertEncoder(HubertModel(config), name="random")


# --- stages ---


class Stopwatch:
    """Seconds by stage; a stage inside of another counts for itself only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._stages: list[str] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._account()
        self._stages.append(name)
        try:
            yield
        finally:
            self._account()
            self._stages.pop()

    def _account(self) -> None:
        now = time.perf_counter()
        if self._stages:
            self.seconds[self._stages[-1]] += now - self._since
        self._since = now

    def wrap(self, owner: Any, name: str, stage: str) -> None:
        """Counts the calls of a function in its module, or of a method in its class, for a stage."""
        function = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.stage(stage):
                return function(*args, **kwargs)

        setattr(owner, name, counted)

    def wrap_iterator(self, owner: Any, name: str, stage: str) -> None:
        """The same for a function that gives an iterator: counts its steps."""
        function = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Iterator[Any]:
            items = function(*args, **kwargs)
            while True:
                with self.stage(stage):
                    item = next(items, self)
                if item is self:
                    return
                yield item

        setattr(owner, name, counted)


STAGES = ("decode", "resample", "mel", "encoder", "CQT", "chord network", "decoding", "key", "head", "record", "other")


def stages(path: str, runs: int = 5, model: str | None = None, threads: int | None = None) -> dict[str, Any]:
    """{stage: median seconds} of a prediction. "mel" is whatever comes first in the encoder: spectra, or MERT's
    convolutions. "other" is what no stage counts."""
    import soxr

    from modeling_m2e import audio_m2e, chord_logits_m2e, chords_m2e, harmony_m2e, pipeline_m2e

    pipe = loaded(model, threads)
    pipe(path)
    watch = Stopwatch()
    encoder = pipe.processor.encoder
    watch.wrap_iterator(audio_m2e, "_mono_blocks", "decode")
    _wrap_resampler(soxr, watch)
    _wrap_front_end(encoder.model, watch)
    watch.wrap(type(encoder), "__call__", "encoder")
    if encoder.seconds is not None:  # windows that slide over an embedding of each second
        watch.wrap(type(encoder), "seconds", "encoder")
    watch.wrap(chords_m2e, "cqt_features", "CQT")
    watch.wrap(chord_logits_m2e, "_block_logits", "chord network")
    watch.wrap(chords_m2e.ChordStream, "push", "decoding")
    watch.wrap(chords_m2e.ChordStream, "finish", "decoding")
    watch.wrap(harmony_m2e, "estimate_key", "key")
    watch.wrap(pipe, "_forward", "head")
    watch.wrap(pipe, "postprocess", "record")
    watch.wrap(pipeline_m2e, "compose", "record")
    found, totals, record = [], [], None
    for _ in range(runs):
        watch.seconds.clear()
        began = time.perf_counter()
        with watch.stage("other"):
            record = pipe(path)
        totals.append(time.perf_counter() - began)
        found.append(dict(watch.seconds))
    seconds = {name: statistics.median(each.get(name, 0.0) for each in found) for name in STAGES}
    return {"audio_s": record.duration, "stages_s": seconds, "all_s": statistics.median(totals), "peak_mb": peak_mb()}


def _wrap_resampler(soxr: Any, watch: Stopwatch) -> None:
    original = soxr.ResampleStream

    class Counted:
        def __init__(self, *args: Any):
            self._stream = original(*args)

        def resample_chunk(self, *args: Any, **kwargs: Any) -> Any:
            with watch.stage("resample"):
                return self._stream.resample_chunk(*args, **kwargs)

    soxr.ResampleStream = Counted


def _wrap_front_end(network: Any, watch: Stopwatch) -> None:
    if hasattr(network, "feature_extractor"):  # MERT
        watch.wrap(network.feature_extractor, "forward", "mel")
    elif hasattr(network, "mel_power"):
        watch.wrap(network, "mel_power", "mel")
    else:  # taggers
        module = import_module(type(network).__module__)
        watch.wrap(module, "power_spectrogram", "mel")


JOBS = {"start": start, "track": track, "chords": chords, "stages": stages}

if __name__ == "__main__":
    print(json.dumps(JOBS[sys.argv[1]](**json.loads(sys.argv[2]))))
