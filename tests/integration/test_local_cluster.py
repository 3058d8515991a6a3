"""A local cluster ends whole, whatever ends it; and a closed one leaves nothing in its client."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import wait
from pathlib import Path

import pytest

from manycore import Cluster
from manycore.errors import LocalClusterFailed
from manycore.local import logfile
from tests.probe import Probe
from tests.waiting import wait_until

ESCAPE = """
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
print(os.getpid(), flush=True)
os.close(1)
time.sleep(600)
"""


def leave_something_behind() -> int:
    """A process that has left its parent, its session and its group."""
    done = subprocess.run([sys.executable, "-c", ESCAPE], stdout=subprocess.PIPE, check=True)
    return int(done.stdout)


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def ours() -> set[int]:
    """The processes of clusters that this one has started: other tests share one."""
    return {child for child in children(os.getpid()) if b"manycore" in Path(f"/proc/{child}/cmdline").read_bytes()}


def descendants(pid: int) -> list[int]:
    below = children(pid)
    return [*below, *(found for child in below for found in descendants(child))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def keeper_of(cluster: Cluster) -> int:
    local = Probe(cluster).local
    assert local is not None
    return local.process_id


def test_what_an_item_left_behind_ends_with_the_cluster() -> None:
    with Cluster(workers=1) as cluster:
        left = cluster.submit(leave_something_behind).result(timeout=30)
        assert alive(left)
    assert not alive(left)


@pytest.mark.parametrize("victim", ["keeper", "supervisor"])
def test_a_killed_supervisor_takes_everything_along_and_every_caller_is_told(victim: str) -> None:
    with Cluster(workers=1) as cluster:
        left = cluster.submit(leave_something_behind).result(timeout=30)
        keeper = keeper_of(cluster)
        family = [keeper, *descendants(keeper)]
        assert left in family
        futures = [cluster.submit(time.sleep, 60) for _ in range(30)]
        (supervisor,) = children(keeper)
        os.kill(keeper if victim == "keeper" else supervisor, signal.SIGKILL)
        assert not wait(futures, timeout=30).not_done
        with pytest.raises(LocalClusterFailed, match="its supervisor was killed"):
            raise next(error for future in futures if (error := future.exception()))
        wait_until(lambda: not any(map(alive, family)), "its processes are gone")


def test_a_killed_server_is_said_with_its_log() -> None:
    with Cluster(workers=1) as cluster:
        assert cluster.submit(abs, -1).result(timeout=30) == 1
        (supervisor,) = children(keeper_of(cluster))
        server = next(pid for pid in children(supervisor) if b"valkey" in Path(f"/proc/{pid}/cmdline").read_bytes())
        future = cluster.submit(time.sleep, 60)
        os.kill(server, signal.SIGKILL)
        with pytest.raises(LocalClusterFailed, match=r"its server ended\n.*\n.*Ready to accept|Server initialized"):
            future.result(timeout=30)


def print_much(megabytes: int) -> None:
    for _ in range(megabytes):
        os.write(1, b"%4095d\n" % 0 * 256)


def test_what_items_print_fills_no_disk() -> None:
    with Cluster(workers=1) as cluster:
        log = Probe(cluster).local.key_file.with_name("worker.log")
        assert cluster.submit(print_much, 20).result(timeout=30) is None
        wait_until(lambda: log.stat().st_size < logfile.MAX_BYTES, "it is cut off")
        assert cluster.submit(os.write, 2, b"the last\n").result(timeout=30) == 9
        wait_until(lambda: b"the last\n" in log.read_bytes(), "who writes goes on behind that")


@pytest.mark.slow
def test_a_closed_cluster_leaves_nothing_in_its_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    counts, before = [], ours()
    for _ in range(5):
        with Cluster(workers=1) as cluster:
            assert cluster.submit(abs, -1).result(timeout=30) == 1
        del cluster
        gc.collect()
        counts.append(len(os.listdir("/proc/self/fd")))
    assert counts[1:] == counts[1:2] * 4
    assert list(tmp_path.iterdir()) == []
    assert ours() == before
