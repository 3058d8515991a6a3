"""Keys are rotated in three steps, and between two of them nothing is refused (docs/operations.md)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from itertools import pairwise

import pytest

from manycore import Cluster
from manycore.errors import SigningKeyUnknown
from manycore.protocol.signing import generate_key
from manycore.quarantine import Quarantine
from tests.integration.conftest import Server

OLD, NEW = generate_key(), generate_key()
STEPS = {"old": OLD, "new accepted": f"{OLD},{NEW}", "new signs": f"{NEW},{OLD}", "new": NEW}


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), list(pairwise(STEPS)), ids=list(STEPS)[1:])
def test_a_step_may_reach_workers_and_clients_one_after_another(
    before: str,
    after: str,
    server: Server,
    start_worker: Callable[..., subprocess.Popen[bytes]],
    connect: Callable[..., Cluster],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start_worker(key=STEPS[before])
    start_worker(key=STEPS[after])
    for step in (before, after):
        cluster = connect(key=STEPS[step])
        outcomes = list(cluster.batch(slow_square, range(40), retries=1).as_completed())
        assert sorted(outcome.value for outcome in outcomes) == [number * number for number in range(40)]
        assert len({outcome.worker.partition("/")[2] for outcome in outcomes}) == 2, "both workers had their part"
    monkeypatch.setenv("MANYCORE_KEY", f"{OLD},{NEW}")
    with Quarantine(server.url) as quarantine:
        assert not any(quarantine.refused_counts().values())


def test_a_new_key_that_signs_too_early_is_said_at_once(
    start_worker: Callable[..., subprocess.Popen[bytes]], connect: Callable[..., Cluster]
) -> None:
    """The client's calls would run, and no result of theirs ever be read."""
    start_worker(key=STEPS["new signs"])
    with pytest.raises(SigningKeyUnknown, match="accepted everywhere before it signs"):
        connect(key=STEPS["old"])


def slow_square(number: int) -> int:
    from time import sleep

    sleep(0.02)
    return number * number
