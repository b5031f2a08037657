"""Several Ray nodes on one machine, as KubeRay starts them: `python -m tests.support.ray_nodes FOLDER WORKERS`.

Prints the dashboard's address, which accepts Serve configurations, and runs until its standard input ends.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

from serve_app.local.ports import free_port

WORKER_CPUS = 2
STORE_BYTES = 100_000_000


def main(folder: str, workers: int) -> None:
    """A head without CPUs, and workers of two, until standard input ends."""
    dashboard = free_port()
    head = {
        "num_cpus": 0,
        "include_dashboard": True,
        "dashboard_port": dashboard,
        "dashboard_agent_listen_port": free_port(),
        "object_store_memory": STORE_BYTES,
        "temp_dir": folder,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(workers):
            cluster.add_node(num_cpus=WORKER_CPUS, object_store_memory=STORE_BYTES)
        cluster.wait_for_nodes()
        sys.stdout.write(f"http://127.0.0.1:{dashboard}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
