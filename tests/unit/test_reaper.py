"""`Sentinels`: told by the kernel of each child that ends, whatever has ended before."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from kombu.asynchronous import Hub

from manycore.worker.parent.reaper import Sentinels


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    with ExitStack() as stack:
        found = [stack.enter_context(subprocess.Popen(["sleep", "600"])) for _ in range(3)]
        for child in found:
            stack.callback(child.kill)
        yield found


@pytest.fixture
def hub() -> Iterator[Any]:
    hub = Hub()
    yield hub
    hub.close()


def test_each_death_is_told_also_after_another_and_of_a_later_child(
    children: list[subprocess.Popen[bytes]], hub: Any
) -> None:
    first, second, later = children
    deaths: list[int] = []
    sentinels = Sentinels(hub, lambda: deaths.append(1))
    sentinels.watch([first.pid, second.pid])
    for child in (first, second, later):
        before = len(deaths)
        child.kill()
        while len(deaths) == before:
            hub.run_once()
        child.wait()
        sentinels.watch([each.pid for each in children if each.poll() is None])
    sentinels.close()


def test_who_is_watched_no_more_leaves_nothing_open(children: list[subprocess.Popen[bytes]], hub: Any) -> None:
    before = set(os.listdir("/proc/self/fd"))
    sentinels = Sentinels(hub, lambda: None)
    sentinels.watch([child.pid for child in children])
    assert len(set(os.listdir("/proc/self/fd")) - before) >= len(children)
    sentinels.close()
    assert not hub.readers
    left = set(os.listdir("/proc/self/fd")) - before
    assert not [name for name in left if "pidfd" in os.readlink(Path("/proc/self/fd", name))]


def test_who_is_gone_already_and_a_pool_without_event_loop_raise_nothing(hub: Any) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    Sentinels(hub, lambda: None).watch([gone.pid])
    Sentinels(None, lambda: None).watch([os.getpid()])
