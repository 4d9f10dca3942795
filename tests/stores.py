"""Remote stores on this machine: an S3 server on loopback, and a store in memory that counts what is asked of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def s3() -> Iterator[str]:
    """Starts the server and sets the variables that S3 clients read; gives the name of an empty bucket."""
    import moto.server

    server = moto.server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    import fsspec

    fsspec.filesystem("s3", use_listings_cache=False).mkdir("music")
    try:
        yield "s3://music"
    finally:
        server.stop()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture(scope="session")
def s3_server():
    """The name of an empty bucket."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    with s3() as bucket:
        yield bucket


@pytest.fixture
def memory():
    """fsspec's store in memory, empty."""
    import fsspec

    store = fsspec.filesystem("memory", use_listings_cache=False)
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    return store
