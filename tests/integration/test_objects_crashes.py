"""Whoever is killed, nothing stays in shared memory, and what others hold stays whole."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manycore import Cluster
from manycore.errors import ObjectStoreFull
from tests.probe import Probe
from tests.waiting import wait_until

MIB = 1 << 20
CLIENT = """
import os, sys
import numpy as np
from manycore import Cluster
from manycore.protocol import flat

def work(array, n):
    return array + n

if __name__ == "__main__":
    cluster = Cluster(workers=1)
    home = cluster._session.local.home
    ref = cluster.put(np.arange(1 << 18))
    results = cluster.map(work, [ref] * 50, range(50))
    next(iter(results))
    write = home.write
    def halfway(name, content):
        class Slow:
            size = content.size
            def write_to(self, descriptor):
                os.write(descriptor, b"half")
                print(home.path, cluster._session.local.process_id, flush=True)
                sys.stdin.read()
        write(name, Slow())
    home.write = halfway
    cluster.put(np.zeros(1 << 18))
"""


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def supervisor_under(keeper: int) -> int:
    found = [int(path.name) for path in Path("/proc").glob("[0-9]*") if int(path.name) != keeper]
    for process in found:
        try:
            if parent_of(process) == keeper:
                return process
        except OSError:
            continue
    raise AssertionError("the keeper has no child")


@pytest.mark.parametrize(
    "victims",
    ["client", *(pytest.param(f"client and {other}", marks=pytest.mark.slow) for other in ("keeper", "supervisor"))],
)
def test_a_client_that_is_killed_while_it_puts_leaves_nothing(victims: str) -> None:
    with subprocess.Popen([sys.executable, "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        path, keeper = client.stdout.readline().decode().split()
        assert Path(path).exists()
        also = {"keeper": int(keeper), "supervisor": supervisor_under(int(keeper))}.get(victims.split()[-1])
        if also:
            os.kill(also, signal.SIGKILL)
        client.send_signal(signal.SIGKILL)
    wait_until(lambda: not Path(path).exists(), "shared memory is free")


def die_once(array: Any, marker: Path) -> float:
    """Kills its process the first time, with a large result on the way."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return float(array.sum())


def test_a_worker_that_dies_with_an_object_mapped_costs_nothing(tmp_path: Path) -> None:
    big = np.arange(MIB, dtype=np.float64)
    with Cluster(workers=2) as cluster:
        home = Probe(cluster).local.home.path
        ref = cluster.put(big)
        results = cluster.batch(die_once, [(ref, tmp_path / f"{n}") for n in range(4)], star=True).gather()
        assert results == [big.sum()] * 4
        echoed = cluster.batch(die_once, [(big, tmp_path / f"x{n}") for n in range(2)], star=True).gather()
        assert echoed == [big.sum()] * 2
        del ref
        gc.collect()
        wait_until(lambda: [name for name in os.listdir(home) if name != ".alive"] == [], "all of it is freed")


@pytest.mark.slow
def test_a_full_store_makes_a_put_wait_and_then_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYCORE_OBJECTS_BYTES", str(4 * MIB))
    monkeypatch.setenv("MANYCORE_CONNECTION_SECONDS", "3")
    with Cluster(workers=1) as cluster:
        refs = [cluster.put(np.full(MIB // 8, n)) for n in range(3)]  # of 1 MiB each
        with pytest.raises(ObjectStoreFull, match="let go of refs"):
            cluster.put(np.zeros(MIB))  # more than there can be: at once
        with pytest.raises(ObjectStoreFull):
            cluster.put(np.zeros(MIB // 4))
        # What goes this way unasked goes as everything else does.
        assert cluster.submit(np.sum, np.ones(MIB // 4)).result(timeout=20) == MIB / 4
        assert cluster.submit(np.ones, MIB // 4).result(timeout=20).sum() == MIB / 4
        finished = cluster.submit(abs, -1)
        finished.add_done_callback(lambda _: refs.clear())  # on another thread, while the next line waits
        assert cluster.put(np.zeros(MIB // 4)).get().sum() == 0
