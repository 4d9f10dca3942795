"""`m2e serve` and `m2e mcp`: a library for other programs."""

import secrets
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from m2e.cli.options import Database, Device, Model
from m2e.errors import M2EError
from m2e.terminal import fail, tell

if TYPE_CHECKING:
    from modeling_m2e import MusicEmotionPipeline

MaxDuration = Annotated[float, typer.Option(min=0.5, metavar="SECONDS", help="Refuse tracks longer than SECONDS.")]
Timeout = Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Stop a track after SECONDS.")]
CONNECTIONS = 64  # at once
CLOSING_SECONDS = 5  # for requests that are being answered at Ctrl-C


def serve(
    database: Database = None,
    model: Model = None,
    device: Device = "auto",
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Serve at ADDRESS; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="N", help="Serve at port N.")] = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            envvar="M2E_TOKEN",
            help="Answer only requests with Authorization: Bearer TEXT.",
            show_default="none; made and printed for other addresses",
        ),
    ] = None,
    max_upload: Annotated[int, typer.Option(min=1, metavar="MIB", help="Refuse files larger than MIB.")] = 200,
    max_waiting: Annotated[int, typer.Option(min=1, metavar="N", help="Let N uploads wait at most.")] = 16,
    max_duration: MaxDuration = 3600.0,
    timeout: Timeout = 600.0,
) -> None:
    """Serve the library and predictions of files over HTTP.

    GET /openapi.json describes all calls. Press Ctrl-C to stop the server.
    """
    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn
    except ImportError:
        fail('the server needs fastapi and uvicorn: install them with pip install "m2e[serve]".')
    from m2e.serve.access import is_loopback
    from m2e.serve.app import Settings, build
    from m2e.serve.catalog import Catalog

    if token is not None and not token.strip():
        fail("the token is empty: give another --token, or none.")
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
        tell(f"requests need the header Authorization: Bearer {token}")
    catalog = Catalog(database)
    try:
        tracks = catalog.status().tracks
    except M2EError as error:
        fail(str(error))
    load = partial(load_model, model, device, max_duration, timeout)
    app = build(catalog, load, Settings(token, max_upload << 20, max_waiting=max_waiting))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError:
        fail(f"port {port} of {host} cannot be used: choose another --port, or another --host.", 1)
    config = uvicorn.Config(
        app,
        log_level="warning",
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=CLOSING_SECONDS,
        server_header=False,
    )
    shown = f"[{host}]" if ":" in host else host
    tell(f"{tracks} tracks are served at http://{shown}:{port} until Ctrl-C.")
    try:
        uvicorn.Server(config).run([listener])
    except KeyboardInterrupt:  # uvicorn raises it again after it has closed everything
        pass


def mcp(
    database: Database = None,
    model: Model = None,
    device: Device = "auto",
    max_duration: MaxDuration = 3600.0,
    timeout: Timeout = 600.0,
) -> None:
    """Serve the library as tools of a language model (MCP over stdin and stdout).

    Add the command m2e mcp to the settings of your assistant; it starts the server itself.
    """
    try:
        import mcp.server.mcpserver  # noqa: F401
    except ImportError:
        fail('the MCP server needs the package mcp: install it with pip install "m2e[mcp]".')
    from m2e.serve.catalog import Catalog
    from m2e.serve.tools import build

    if sys.stdin is None or sys.stdout is None:
        fail("the MCP server talks over stdin and stdout: do not close them.")
    catalog = Catalog(database)
    try:
        catalog.status()
    except M2EError as error:
        fail(str(error))
    build(catalog, partial(load_model, model, device, max_duration, timeout)).run("stdio")


def load_model(model: str | None, device: str, max_duration: float, timeout: float) -> "MusicEmotionPipeline":
    from m2e.checkpoints.load import load

    return load(model, device=device, max_duration=max_duration, timeout=timeout)
