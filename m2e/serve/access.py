"""Who may use the server, and how much they may send: ASGI middleware."""

import asyncio
import ipaddress
import secrets
import time
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """Lets requests pass that carry the token; without a token those that this machine addresses to itself.

    A page on the web may make a browser send requests to this machine: their Origin or their Host gives them away.
    """

    def __init__(self, app: ASGIApp, token: str | None = None):
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (why := self._refusal(scope)):
            status = 401 if self._token else 403
            challenge = {"WWW-Authenticate": "Bearer"} if self._token else None
            await JSONResponse({"detail": why}, status, challenge)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if self._token is not None:
            kind, _, text = headers.get("authorization", "").partition(" ")
            given = text.strip().encode("latin-1") if kind.lower() == "bearer" else b""
            if not given and scope["path"].startswith("/rest/"):  # as OpenSubsonic sends it
                given = parse_qs(scope["query_string"].decode("latin-1")).get("apiKey", [""])[0].encode()
            right = secrets.compare_digest(given, self._token.encode())
            return None if right else "The token is missing or wrong: send Authorization: Bearer TOKEN."
        host = urlsplit(f"//{headers.get('host', '')}")
        if host.hostname not in LOCAL_NAMES:
            return "This server answers only requests to localhost."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host.netloc:
            return "This server answers no pages of other servers."
        return None


class Limits:
    """Refuses requests whose body is larger than `size` bytes or takes longer than `seconds` to arrive."""

    def __init__(self, app: ASGIApp, size: int, seconds: float):
        self._app, self._size, self._seconds = app, size, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdecimal() and int(length) > self._size:
            await JSONResponse({"detail": self._too_large}, 413)(scope, receive, send)
            return
        deadline, left, complete = time.monotonic() + self._seconds, self._size, False

        async def limited() -> Message:
            nonlocal left, complete
            if complete:
                return await receive()  # waits until the client is gone
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
            except TimeoutError as error:
                raise HTTPException(408, f"The request took longer than {self._seconds:g} s to arrive.") from error
            left -= len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if left < 0:
                raise HTTPException(413, self._too_large)
            return message

        await self._app(scope, limited, send)

    @property
    def _too_large(self) -> str:
        return f"The request is larger than {self._size >> 20} MiB."
