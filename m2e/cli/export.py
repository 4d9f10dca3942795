"""`m2e export`: a model as ONNX graphs."""

from pathlib import Path
from typing import Annotated

import typer

from m2e.cli.options import interrupted
from m2e.cli.output_file import writing
from m2e.errors import M2EError
from m2e.terminal import fail


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Export the model in this folder or hub repo, or m2e-small.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Write into the folder OUT/onnx.")],
) -> None:
    """Export a model as ONNX graphs that take waveforms (needs the extra onnx).

    OUT may be the folder of the model. An earlier OUT/onnx is replaced.
    """
    from m2e.checkpoints.load import load
    from m2e.export.write import export as write

    try:
        pipe = load(model, device="cpu")
        with writing(str(out)):
            files = write(pipe, out)
    except M2EError as error:
        fail(str(error))
    except KeyboardInterrupt:
        interrupted()
    for file in files:
        print(f"{file}  {file.stat().st_size / 1e6:.1f} MB")
