"""Downloads from a server on loopback that misbehaves: a file or one sentence, within the limits of time and size.

python benchmarks/reliability/network.py [--no-save]
"""

import argparse
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from outcomes import Campaign, without_torch

without_torch()
from badserver import BODY, Handler, serving  # noqa: E402

from modeling_m2e.download_m2e import download  # noqa: E402
from modeling_m2e.errors_m2e import AudioError  # noqa: E402

MAX_BYTES, MAX_SECONDS = 1 << 20, 2.0
PATIENCE = 30.0  # seconds that an end within MAX_SECONDS may take on a loaded machine
MAX_MEMORY = 64 << 20  # bytes that a download may need
WHOLE = {
    "/song.wav": "a plain file",
    "/there": "a redirect",
    "/gzip": "gzip",
    "/members": "gzip of two members",
    "/deflate": "deflate",
    "/flood": "a redirect with an endless body",
}
REFUSED = {
    "/slow": "a byte at a time",
    "/drip": "a byte at a time within the headers",
    "/endless": "an endless body",
    "/bomb": "a gzip bomb",
    "/loop": "a circle of redirects",
    "/file": "a redirect to a local file",
    "/cut": "gzip that is cut off",
    "/nogzip": "no gzip, but declared as such",
    "/brotli": "an unknown encoding",
    "/missing": "status 404",
}
INSIDE = ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]"]


def failure(url: str, path: Path, expected: bytes | None, **limits: object) -> str | None:
    """Why a download fails the test; expected: the content, None where it is to be refused."""
    start, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        download(url, path, **limits)
        got = path.read_bytes()
        why = None if got == expected else f"{len(got)} bytes came"
    except AudioError as error:
        sentence = str(error)
        refused = expected is None and "\n" not in sentence and sentence.endswith(".")
        why = None if refused else f"refused: {sentence}"
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
    if time.monotonic() - start > MAX_SECONDS + PATIENCE:
        return f"took {time.monotonic() - start:.0f} s"
    if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024 > MAX_MEMORY:
        return "took more memory than the file"
    if path.exists() and path.stat().st_size > MAX_BYTES:
        return "wrote more than the limit"
    return why


def run(save: bool = True) -> int:
    campaign = Campaign("network", "downloads from servers that misbehave, and addresses inside the own network")
    os.environ["no_proxy"] = "*"
    limits = {"max_bytes": MAX_BYTES, "max_seconds": MAX_SECONDS}
    with serving() as port, tempfile.TemporaryDirectory(prefix="m2e-network-") as folder:
        path, server = Path(folder, "file"), f"http://127.0.0.1:{port}"
        cases: list[tuple[str, str, Callable[[], str | None]]] = []
        for page, what in WHOLE.items():
            cases.append(("whole", what, lambda page=page: failure(server + page, path, BODY, **limits)))
        for page, what in REFUSED.items():
            cases.append(("refused", what, lambda page=page: failure(server + page, path, None, **limits)))
        for host in INSIDE:
            url = f"http://{host}:{port}/song.wav"
            inside = limits | {"public_only": True}
            cases.append(("inside", host, lambda url=url, inside=inside: failure(url, path, None, **inside)))
        for kind, what, test in cases:
            path.unlink(missing_ok=True)
            campaign.count(kind, what, test())
        Handler.stop.set()
        left = [thread for thread in threading.enumerate() if thread.name == "m2e-download"]
        for thread in left:
            thread.join(PATIENCE)
        campaign.count("end", "no download goes on", "yes" if any(thread.is_alive() for thread in left) else None)
    return campaign.end(save)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-save", action="store_true", help="keep the result of the last run")
    sys.exit(run(save=not parser.parse_args().no_save))
