"""From a network to an ONNX graph. Needs the extra `onnx`."""

import logging
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import onnxscript  # noqa: F401  # the exporter of PyTorch needs it
import torch
from onnx import numpy_helper

from m2e.export.graphs import Axes, Graph, HeadsGraph

OPSET = 18  # of all runtimes, those in browsers too; from 23 on, attention is one operation that few have
SMALL = 256  # numbers; fewer are not worth a conversion
DOMAINS = ("", "ai.onnx")


def to_onnx(part: Graph) -> onnx.ModelProto:
    """The graph of a network, whose inputs and outputs have the names and axes that it states."""
    shapes = tuple(_dynamic(axes) for axes in part.inputs.values())
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            part.eval(),
            part.example(),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            dynamic_shapes=(shapes,) if isinstance(part, HeadsGraph) else shapes,  # its forward takes *inputs
            input_names=list(part.inputs),
            output_names=list(part.outputs),
        )
    assert program is not None  # as with all that does not write to a file
    model = program.model_proto
    foreign = {opset.domain for opset in model.opset_import} - set(DOMAINS)
    if model.functions or any(node.domain in foreign for node in model.graph.node):
        raise RuntimeError(f"The graph {part.name} has operations that are not ONNX's own: {sorted(foreign)}.")
    _strip(model)
    _name_axes(model.graph.input, part.inputs)
    _name_axes(model.graph.output, part.outputs)
    onnx.checker.check_model(model)
    return model


def with_half_weights(model: onnx.ModelProto, exact: Collection[str]) -> onnx.ModelProto:
    """The graph with its weights stored in half precision; it computes in single precision as before.

    exact: names of filters of transforms, which stay as they are: spectra need more than the 66 dB of half precision.
    """
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    casts = []
    for tensor in halved.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALL or tensor.name in exact:
            continue
        stored = f"{tensor.name}.half"
        casts.append(onnx.helper.make_node("Cast", [stored], [tensor.name], to=onnx.TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
    nodes = [*casts, *halved.graph.node]
    del halved.graph.node[:]
    halved.graph.node.extend(nodes)
    onnx.checker.check_model(halved)
    return halved


def _dynamic(axes: tuple[str | int, ...]) -> dict[int, Any]:
    return {at: torch.export.Dim.DYNAMIC for at, axis in enumerate(axes) if isinstance(axis, str)}


def _name_axes(values: Any, axes: Axes) -> None:
    for value in values:
        for size, axis in zip(value.type.tensor_type.shape.dim, axes[value.name], strict=True):
            if isinstance(axis, str):
                size.dim_param = axis


def _strip(model: onnx.ModelProto) -> None:
    """Removes what the exporter notes for itself: names of files on this machine, shapes between the nodes."""
    graph = model.graph
    for owner in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del owner.metadata_props[:]
        owner.doc_string = ""
    del graph.value_info[:]
    used = {domain for domain in DOMAINS if any(opset.domain == domain for opset in model.opset_import)}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(opsets)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on libraries that are not installed, and without the fused attention of PyTorch,
    which is no operation of ONNX."""
    logger = logging.getLogger("torch.onnx")
    level, fused = logger.level, torch.backends.mha.get_fastpath_enabled()
    logger.setLevel(logging.ERROR)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch, on itself
            yield
    finally:
        logger.setLevel(level)
        torch.backends.mha.set_fastpath_enabled(fused)
