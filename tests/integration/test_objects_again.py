"""What was put is the same input in every run: a named batch goes on from where the run before it ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.integration.conftest import Server

NIGHTLY = """
import dataclasses, sys
from manycore import Cluster
from manycore.errors import BatchChanged
@dataclasses.dataclass
class Model:
    tags: set
def used(held, n):
    return n
cluster, tag = Cluster(), sys.argv[2]
ref = cluster.put(eval(sys.argv[1]))
try:
    print(cluster.batch(used, [(ref, n) for n in range(3)], star=True, id="nightly").gather())
except BatchChanged:
    print("changed")
"""


def nightly(server: Server, held: str, tag: str, seed: int) -> str:
    env = os.environ | {"MANYCORE_URL": server.url, "MANYCORE_KEY": server.key, "PYTHONHASHSEED": str(seed)}
    command = [sys.executable, "-c", NIGHTLY, held, tag]
    return subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "held", ["{'a', 'b', 'c', tag}", "Model({'a', 'b', tag})", "[cluster.put([tag]), bytes(1 << 17)]"]
)
def test_the_same_content_is_the_same_input_in_every_run(
    server: Server, start_worker: Callable[..., object], held: str
) -> None:
    start_worker()
    runs = [nightly(server, held, tag, seed) for seed, tag in enumerate(["x", "x", "y"])]
    assert runs == ["[0, 1, 2]", "[0, 1, 2]", "changed"]
