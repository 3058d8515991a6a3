"""Workers whose clocks are apart: nobody vanishes, nothing is taken over, and a retry waits as long as it is to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from manycore import Backoff, Cluster
from manycore.protocol.broker import SWEEP_SECONDS, UNACKED_INDEX
from tests.functions import fail_first, note_run
from tests.integration.conftest import Server
from tests.probe import Probe
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]
LEASE_SECONDS = 2
HOUR = 3600.0


@pytest.fixture
def apart(start_worker: StartWorker, connect: Connect) -> Cluster:
    """A cluster of two workers whose clocks are off, either way."""
    for ahead in (HOUR, -10 * LEASE_SECONDS):
        start_worker(slots=2, lease_seconds=str(LEASE_SECONDS), ahead=ahead)
    return connect()


def test_nobody_vanishes_and_each_item_runs_once(apart: Cluster, server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()

    def note_and_sleep(number: int) -> None:
        note_run(number, folder=str(folder))
        sleep(SWEEP_SECONDS + 1.0)  # each worker looks for lost deliveries meanwhile

    client: Any = server.client()
    seen, apart_seconds = set(), [0.0]

    def all_ran() -> bool:
        seen.add(len(Probe(apart).workers()))
        leases = client.zrange(UNACKED_INDEX, 0, -1, withscores=True)
        apart_seconds.extend(abs(client.time()[0] - when) for _, when in leases)
        return batch.wait(timeout=0)

    batch = apart.batch(note_and_sleep, range(2))  # two slots are free for what looks lost
    wait_until(all_ran, "all ran")
    assert seen == {2}
    assert max(apart_seconds) < 10
    assert [(folder / str(number)).read_text() for number in range(2)] == ["x", "x"]


def test_a_retry_waits_as_long_as_it_is_to(apart: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "tries"
    folder.mkdir()
    wait = Backoff(0.2, jitter=False)
    batch = apart.batch(fail_first, range(40), kwargs={"folder": str(folder)}, retries=1, backoff=wait)
    assert batch.wait(timeout=15)
    assert batch.gather() == [2] * 40
