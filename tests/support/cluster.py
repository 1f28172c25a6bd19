"""Ray's own multi-node test cluster on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import toolkit


@contextmanager
def ray_cluster() -> Iterator[str]:
    """Address of three nodes: a head without room for workers, and two with two places each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        tests = Path(__file__).parents[1]
        places = [str(tests), str(tests.parent), str(Path(toolkit.__path__[0]).parent)]
        patch.setenv("PYTHONPATH", os.pathsep.join(places))
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            found.add_node(num_cpus=2)
        found.wait_for_nodes(timeout=240)
        try:
            yield found.address
        finally:
            found.shutdown()
