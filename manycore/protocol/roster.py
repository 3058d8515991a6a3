"""What a client knows of the workers: how many slots there are, which tasks they know, which keys they accept."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from time import monotonic
from typing import Any, NamedTuple

import redis

from manycore.errors import SigningKeyMismatch, SigningKeyUnknown
from manycore.protocol import keys, python
from manycore.protocol.broker import AWAY
from manycore.protocol.edition import Edition
from manycore.protocol.junk import UNREADABLE, whole
from manycore.protocol.python import Python
from manycore.protocol.signing import Keyring

logger = logging.getLogger(__name__)
FRESH_SECONDS = 2.0
"""How old the picture of the workers may be: chunk sizes and task names change slowly."""
STARTING_SECONDS = 10.0
"""How long a cluster without any worker is taken for one that is still starting."""


MAX_SLOTS = 100_000
"""A worker with more than this is none."""


class Room(NamedTuple):
    """The home of a host's large objects: one for all workers there that share it."""

    home: str
    used_bytes: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker as its heartbeat described it.

    `tasks` gives the queue of each task that it knows, `editions` what it has of their modules. `version` is that of
    manycore; `busy` tells how many messages it runs, `counts` what it has counted since it began,
    `objects` how full its home of large objects is: what changes from beat to beat makes it no other worker.
    """

    slots: int
    queues: tuple[str, ...]
    tasks: dict[str, str]
    keys: tuple[str, ...]
    functions: bool
    python: Python
    version: str
    editions: dict[str, Edition]
    name: str = ""
    inventory: str = ""
    """The digest of what it can import, empty before it has taken stock."""
    busy: int = field(default=0, compare=False)
    counts: dict[str, int] = field(default_factory=dict, compare=False)
    objects: Room | None = field(default=None, compare=False)


class Roster:
    """The live workers, asked for again when the picture is older than `FRESH_SECONDS`."""

    def __init__(self, client: redis.Redis, keyring: Keyring, *, expected_slots: int | None = None) -> None:
        self._redis = client
        self._key = keyring.ids[0]
        self._known = keyring.ids
        self._expected = expected_slots
        self._lock = threading.Lock()
        self._workers: list[Worker] = []
        self._seen_at = float("-inf")
        self._last_slots: dict[str, int] = {}

    def workers(self, *, anew: bool = False) -> list[Worker]:
        """The live workers. Raises `SigningKeyMismatch` when none accepts our key, or one signs with none of ours."""
        with self._lock:
            if anew or monotonic() - self._seen_at > FRESH_SECONDS or not self._workers:
                self._look()
            found = self._workers
        if found and all(self._key not in worker.keys for worker in found):
            raise SigningKeyMismatch(self._key, ", ".join(sorted({key for worker in found for key in worker.keys})))
        for worker in found:
            if worker.keys[:1] and worker.keys[0] not in self._known:
                raise SigningKeyUnknown(worker.keys[0], ", ".join(self._known), worker.name)
        return found

    def slots(self, queue: str) -> int:
        """How many items can run at a time; what was asked for while the workers are starting."""
        found = sum(worker.slots for worker in self.workers() if queue in worker.queues)
        self._last_slots[queue] = found or self._expected or 2
        return self._last_slots[queue]

    def last_slots(self, queue: str) -> int:
        """The same as when it was last asked, without a look."""
        return self._last_slots.get(queue) or self._expected or 2

    def knows(self, task: str) -> bool:
        """Whether some worker knows this task: one that has just started may. While no worker is there, it is taken
        for known: one may come."""
        self._await_first()
        for anew in (False, True):
            found = self.workers(anew=anew)
            if any(task in worker.tasks for worker in found):
                return True
        return not found

    def all_know(self, task: str, queue: str) -> bool:
        """Whether all workers of this queue know this task."""
        return all(task in worker.tasks for worker in self.workers() if queue in worker.queues)

    def queue_of(self, task: str) -> str | None:
        """The queue of a task that was given by its name alone, None while no worker says so."""
        return next((worker.tasks[task] for worker in self.workers() if task in worker.tasks), None)

    def suggestion(self, task: str) -> str:
        close = get_close_matches(task, {name for worker in self.workers() for name in worker.tasks}, n=1)
        return f" Did you mean {close[0]!r}?" if close else ""

    @property
    def allows_functions(self) -> bool:
        found = self.workers()
        return not found or any(worker.functions for worker in found)

    def other_python(self, queue: str | None = None) -> Python | None:
        """Another minor version of Python than ours that a worker of this queue, or of any, has."""
        found = (worker.python for worker in self.workers() if queue is None or queue in worker.queues)
        return next((theirs for theirs in found if theirs != python.here()), None)

    def edition(self, module: str, *, other_than: Edition) -> Edition | None:
        """What a worker has of a task's module, if that is something else."""
        found = (worker.editions[module] for worker in self.workers() if module in worker.editions)
        return next((theirs for theirs in found if theirs.digest != other_than.digest), None)

    def _await_first(self) -> None:
        """Wait for the worker of a local cluster, which is on its way."""
        if self._expected is None:
            return
        deadline = monotonic() + STARTING_SECONDS
        pause = threading.Event()
        while not self.workers() and monotonic() < deadline:
            pause.wait(0.02)

    def _look(self) -> None:
        try:
            self._workers = live_workers(self._redis)
            self._seen_at = monotonic()
        except AWAY:
            # The last picture serves until the server is back: to ride that out is the dispatcher's and the reader's.
            logger.debug("The workers could not be asked for", exc_info=True)


def live_workers(client: redis.Redis) -> list[Worker]:
    """The workers whose record has not expired, by name: it is the server that counts. Raises redis-py's errors."""
    found: Any = sorted(client.zrange(keys.WORKERS, 0, -1))
    pipe = client.pipeline(transaction=False)
    for name in found:
        pipe.hgetall(keys.of_worker(keys.worker, name))
    records = zip(found, pipe.execute(raise_on_error=False), strict=True)
    return [worker for name, record in records if record and (worker := _read(name, record)) is not None]


def _read(name: bytes, record: Any) -> Worker | None:
    """One worker; None for a record of another version, or of nobody of ours: it must keep no client out."""
    try:
        return _parse(name, record)
    except UNREADABLE as exc:
        logger.warning("The record of the worker %.100r cannot be read (%.300r); it is left out", name, exc)
        return None


def _parse(name: bytes, fields: dict[bytes, bytes]) -> Worker:
    slots, tasks = whole(fields[b"slots"]), json.loads(fields[b"tasks"])
    if not 0 < slots <= MAX_SLOTS:
        raise ValueError(f"{slots} slots")
    return Worker(
        slots,
        _texts(json.loads(fields[b"queues"])),
        dict(zip(_texts(tasks.keys()), _texts(tasks.values()), strict=True)),
        _texts(json.loads(fields[b"keys"])),
        fields[b"functions"] == b"1",
        python.parse(fields[b"python"].decode()),
        fields[b"version"].decode(),
        {module: Edition(*held) for module, held in json.loads(fields[b"editions"]).items()},
        name.decode(errors="replace"),
        fields.get(b"inventory", b"").decode(),
        whole(fields.get(b"busy", 0)),
        {str(what): whole(count) for what, count in json.loads(fields.get(b"counts", b"{}")).items()},
        _room(json.loads(fields.get(b"objects", b"null"))),
    )


def _room(found: Any) -> Room | None:
    return None if found is None else Room(str(found[0]), whole(found[1]), whole(found[2]))


def _texts(found: Iterable[Any]) -> tuple[str, ...]:
    texts = tuple(found)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"no texts: {texts!r:.100}")
    return texts
