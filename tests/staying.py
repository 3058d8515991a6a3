"""Slots that wait for the next call, as tests see them."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future
from pathlib import Path

from manycore import Cluster
from manycore.protocol import keys
from manycore.protocol.broker import UNACKED, UNACKED_INDEX
from tests.functions import worker_pid
from tests.integration.conftest import Server
from tests.probe import Probe
from tests.waiting import wait_until


def staying(server: Server) -> list[str]:
    """Where slots wait, by program."""
    return [name.decode() for name in server.client().scan_iter("mc:*:stay:*")]


def stay_of_a_slot(server: Server, cluster: Cluster) -> int:
    """The process of a slot that waits for the next call of `worker_pid`, and cannot leave: it is stopped."""
    found: list[int] = []

    def stopped() -> bool:
        pid = int(cluster.submit(worker_pid, 0).result(timeout=20))
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it is stopped")
        for _ in range(2):
            server.client().ping()  # what it has sent before has been read since
        if staying(server):
            found.append(pid)
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    wait_until(stopped, "a slot stays")
    return found[0]


def hand_to_a_stopped_slot(server: Server, cluster: Cluster) -> tuple[int, Future[int]]:
    """The process of such a slot, and the call of `worker_pid` that it was handed."""
    pid = stay_of_a_slot(server, cluster)
    handed = cluster.submit(worker_pid, 1)
    wait_until(lambda: not staying(server), "the call was handed to it")
    return pid, handed


def nothing_is_left(server: Server, cluster: Cluster) -> None:
    client, batch = server.client(), Probe(cluster).submit_stream.split(":")[1]
    kept = (UNACKED, UNACKED_INDEX, keys.resume(batch))  # together: what comes again is in no delivery for a moment
    wait_until(lambda: not client.exists(*kept), "no delivery is left, and nothing is known of any")
    assert not [*client.scan_iter("mc:*:next:*"), *client.scan_iter("mc:*:stay:*")]
