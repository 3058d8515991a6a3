"""`Coroner`: a death that Celery does not report is noted all the same, once, and later."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis

from manycore.protocol.message import Chunk, ItemOptions
from manycore.worker import blackbox, strikes
from manycore.worker.blackbox import BlackBox
from manycore.worker.context import WorkerContext
from manycore.worker.parent import deaths
from manycore.worker.parent.deaths import GRACE_SECONDS, Coroner
from manycore.worker.strikes import Strike

CHUNK = Chunk("b.c", "b", "t", None, ItemOptions(), 100, 0, 9, None, b"")


class Scene:
    """A folder with the box of a child that is dead, a clock, and what is noted."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, running: int = 4) -> None:
        child = subprocess.Popen([sys.executable, "-c", ""])
        child.wait()
        self.folder, self.pid, self.now = folder, child.pid, 0.0
        self.noted: list[int] = []
        self.failures: list[Exception] = []
        monkeypatch.setattr(blackbox, "_owner", lambda: self.pid)
        box = BlackBox(folder)
        box.begin(CHUNK, "c/1")
        box.note[0] = running
        box.trace.close()
        monkeypatch.setattr(deaths, "monotonic", lambda: self.now)
        monkeypatch.setattr("manycore.worker.strikes.record", self._record)
        settings = SimpleNamespace(batch_ttl_seconds=60)
        self.context = cast(
            WorkerContext, SimpleNamespace(counts=Counter(), folder=folder, redis=None, settings=settings)
        )
        self.coroner = Coroner(self.context)

    def _record(self, _redis: Any, reading: Any, cause: str, _ttl: int) -> Strike:
        if self.failures:
            raise self.failures.pop()
        self.noted.append(reading.index)
        return Strike(1, cause)

    def look_after(self, seconds: float) -> None:
        self.now += seconds
        self.coroner.look()


def test_a_death_is_left_to_celery_for_a_while_and_then_noted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, monkeypatch)
    scene.look_after(0)
    scene.look_after(GRACE_SECONDS / 2)
    assert scene.noted == []
    scene.look_after(GRACE_SECONDS)
    scene.look_after(GRACE_SECONDS)
    assert scene.noted == [104]
    assert not list(tmp_path.iterdir())


def test_what_celery_has_noted_is_not_noted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch)
    reading = blackbox.read(tmp_path, scene.pid)
    assert reading is not None
    deaths.report(scene.context, scene.pid, reading, "signal 9 (SIGKILL)")
    for _ in range(3):
        scene.look_after(GRACE_SECONDS)
    assert scene.noted == [104]


def test_a_child_that_died_between_items_is_to_blame_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, absolved = Scene(tmp_path, monkeypatch, running=-1), []
    monkeypatch.setattr(strikes, "absolve", lambda redis, reading, ttl: absolved.append(reading.run))
    for _ in range(3):
        scene.look_after(GRACE_SECONDS)
    assert (scene.noted, absolved) == ([], ["c/1"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failures", [1, 2, 5])
def test_a_strike_that_cannot_be_written_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    scene = Scene(tmp_path, monkeypatch)
    scene.failures = [redis.ConnectionError("cut") for _ in range(failures)]
    for _ in range(6):
        scene.look_after(GRACE_SECONDS)
    assert scene.noted == [104]


def test_a_living_child_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch)
    monkeypatch.setattr(deaths, "_lives", lambda pid: True)
    for _ in range(3):
        scene.look_after(GRACE_SECONDS)
    assert scene.noted == []
    assert list(tmp_path.iterdir())
