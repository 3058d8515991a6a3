"""Another project's Celery application on the same server: nothing of it is ours to touch.

In calm its tasks run exactly once each, also those that take longer than our lease. Then its worker goes, and what it
keeps on the server stays through the storm, to the byte.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from ops.chaos.foreign_worker import FOREIGN, LATER, LONG_SECONDS, QUEUE, RUNS
from ops.chaos.host import Host
from ops.chaos.processes import Expired, wait_until
from ops.chaos.rig import Rig

QUICK, LONG, WAITING = 30, 2, 5
DONE_SECONDS = 30.0


class Foreign:
    """Starts its worker and sends its tasks at construction."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._folder = rig.folder / FOREIGN
        self._folder.mkdir()
        url = rig.server.url()
        env = rig.env | {"FOREIGN_URL": url, "FOREIGN_FOLDER": str(self._folder)}
        self._host = Host(FOREIGN, _command(), env, rig.folder)
        app = Celery(FOREIGN, broker=url, set_as_current=False)
        with app.producer_pool.acquire(block=True) as producer:
            for number in range(QUICK + LONG):
                seconds = LONG_SECONDS if number < LONG else 0.0
                app.send_task(f"{FOREIGN}.note", (number, seconds), queue=QUEUE, producer=producer)
            for number in range(WAITING):
                app.send_task(f"{FOREIGN}.note", (number, 0.0), queue=LATER, producer=producer)
        app.close()
        with rig.server.client() as client:
            client.set(f"{FOREIGN}:text", "theirs")
            client.hset(f"{FOREIGN}:fields", mapping={"a": 1, "b": 2})
            client.set("mc-foreign-in-a-name-like-ours", "theirs")
        self._kept: dict[str, Any] = {}

    def stop(self) -> Iterator[str]:
        """Once its tasks are done, stop its worker; say what did not run exactly once."""
        try:
            wait_until(lambda: len(self._runs()) >= QUICK + LONG, "the foreign tasks have run", seconds=DONE_SECONDS)
            wait_until(self._acknowledged, "the foreign tasks are acknowledged", seconds=DONE_SECONDS)
        except Expired as exc:
            yield f"{exc}; {len(self._runs())} did"
        self._host.end()
        again = {number: count for number, count in self._runs().items() if count != 1}
        if again:
            yield f"tasks of the foreign application ran again: {again}"
        self._kept = self._state()

    def differences(self) -> Iterator[str]:
        """What of its keys is not as it was."""
        now = self._state()
        changed = sorted(name for name in self._kept.keys() | now.keys() if self._kept.get(name) != now.get(name))
        if changed:
            yield f"keys of the foreign application changed: {', '.join(changed)}"

    def end(self) -> None:
        self._host.end()

    def _runs(self) -> Counter[int]:
        path = Path(self._folder, RUNS)
        return Counter(map(int, path.read_text().split())) if path.exists() else Counter()

    def _acknowledged(self) -> bool:
        with self._rig.server.client() as client:
            return not client.hlen("unacked")

    def _state(self) -> dict[str, Any]:
        with self._rig.server.client() as client:
            return {name: _value(client, name) for name in _names(client)}


def _names(client: redis.Redis) -> list[str]:
    return sorted(name.decode() for name in client.scan_iter(match=f"*{FOREIGN}*", count=1000))


def _value(client: redis.Redis, name: str) -> Any:
    return client.dump(name), client.ttl(name)


def _command() -> list[str]:
    app = ["-A", "ops.chaos.foreign_worker", "worker", "--without-gossip", "--without-mingle"]
    return [sys.executable, "-m", "celery", *app, "--concurrency=2", f"--queues={QUEUE}", "--loglevel=WARNING"]
