"""`m2e demo`: the page of the Space on this machine."""

import threading
from typing import Annotated

import typer

from m2e.cli.options import Model
from m2e.errors import M2EError
from m2e.terminal import fail, tell


def demo(
    model: Model = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Serve at ADDRESS; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="N", help="Serve at port N.")] = 7860,
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in the browser.")] = False,
) -> None:
    """Serve a web page that analyses music.

    Tracks can be uploaded, recorded or linked. Press Ctrl-C to stop the server.
    """
    try:
        import gradio  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError:
        fail('the demo needs gradio and matplotlib: install them with pip install "m2e[demo]".')
    from m2e.checkpoints.load import EMBEDDED
    from m2e.space.app import launch, open_page

    try:
        page = open_page(list(dict.fromkeys([model or EMBEDDED, EMBEDDED])))
    except M2EError as error:
        fail(str(error))
    try:
        address = launch(page, server_name=host, server_port=port, inbrowser=browser)
    except OSError:
        fail(f"port {port} of {host} cannot be used: choose another --port, or another --host.", 1)
    tell(f"the demo is at {address} until Ctrl-C.")
    try:
        wait()
    except KeyboardInterrupt:
        pass
    finally:
        page.close(verbose=False)


def wait() -> None:
    threading.Event().wait()
