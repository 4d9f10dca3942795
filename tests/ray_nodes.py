"""A Ray cluster of several nodes on this machine."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # read when Ray is imported
ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def nodes(*cpus: int) -> "Iterator[Cluster]":
    """A node for each number of CPUs, the first is the head. `add_node(**settings())` adds another one."""
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ |= {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_worker_niceness": "0",  # else a test that runs beside goes before the actors
        "RAY_DATA_DOWNSTREAM_CAPACITY_OBJECT_STORE_BUDGET_UTIL_THRESHOLD": "0",
    }
    head = {"num_cpus": cpus[0], "include_dashboard": False} | settings()
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for count in cpus[1:]:
            cluster.add_node(num_cpus=count, **settings())
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)


def settings() -> dict[str, Any]:
    """With known ports a node does not wait some seconds for its helpers to say theirs, too few on a loaded machine."""
    agents = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in agents]
        ports = [each.getsockname()[1] for each in sockets]
    return {"object_store_memory": 100 << 20} | dict(zip(agents, ports, strict=True))
