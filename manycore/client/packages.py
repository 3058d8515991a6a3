"""Compares what a batch imports with what its workers have, before its first item: one error, not one an item."""

from __future__ import annotations

import logging
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import redis

from manycore.client.imports import Files, needed_by
from manycore.client.modules import gone
from manycore.errors import PackageMissing
from manycore.protocol import keys
from manycore.protocol.broker import AWAY
from manycore.protocol.inventory import Inventory, version_of
from manycore.protocol.junk import UNREADABLE
from manycore.protocol.roster import Roster, Worker

logger = logging.getLogger(__name__)
MAX_CHECKED = 256
"""How many functions are remembered as checked; another check of one costs some milliseconds."""


class Packages:
    """Of one session. Threads may share it."""

    def __init__(self, client: redis.Redis, roster: Roster) -> None:
        self._redis = client
        self._roster = roster
        self._lock = threading.Lock()
        self._inventories: dict[str, Inventory] = {}
        self._checked: OrderedDict[tuple[str, frozenset[str]], None] = OrderedDict()
        self._told: set[str] = set()

    def check(
        self, name: str, function: Callable[..., Any] | None, digest: str, blob: bytes, queue: str, files: Files
    ) -> None:
        """Raise `PackageMissing` if a worker of this queue lacks what the function is sure to import.

        Warns, once for each distribution, of another major version. Workers that have not taken stock are left out.
        """
        workers = [worker for worker in self._roster.workers() if queue in worker.queues and worker.inventory]
        key = digest, frozenset(worker.inventory for worker in workers)
        if not workers or self._was_checked(key):
            return
        needed = sorted(needed_by(function, blob, files))
        found = [(worker, held) for worker in workers if (held := self._inventory(worker.inventory)) is not None]
        for module in needed:
            lacking = [worker for worker, held in found if module not in held.modules]
            if lacking:
                raise PackageMissing(name, module, names_of(lacking), advice_for(module))
        for worker, held in found:
            self._compare(worker, held, needed)
        with self._lock:
            self._checked[key] = None
            while len(self._checked) > MAX_CHECKED:
                self._checked.popitem(last=False)

    def _was_checked(self, key: tuple[str, frozenset[str]]) -> bool:
        with self._lock:
            return key in self._checked

    def _inventory(self, digest: str) -> Inventory | None:
        """Fetched once; None if it cannot be had: then nothing is compared."""
        held = self._inventories.get(digest)
        if held is None:
            try:
                text: Any = self._redis.get(keys.inventory(digest))
                held = Inventory.read(text) if text is not None else None
            except (*AWAY, redis.RedisError, *UNREADABLE) as exc:
                logger.debug("An inventory cannot be had: %s", exc)
            if held is not None:
                self._inventories[digest] = held
        return held

    def _compare(self, worker: Worker, held: Inventory, modules: Iterable[str]) -> None:
        for module in modules:
            name, theirs = held.modules[module]
            ours = version_of(name) if name else ""
            if not ours or ours.partition(".")[0] == theirs.partition(".")[0] or name in self._told:
                continue
            self._told.add(name)
            warnings.warn(
                f"{name} is {ours} here and {theirs} on the worker {worker.name}: results may differ, and not every "
                "object that one of them pickles can be rebuilt by the other.",
                RuntimeWarning,
                stacklevel=2,
            )


def names_of(workers: list[Worker]) -> str:
    """The first few workers by name."""
    shown = sorted(worker.name for worker in workers)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} others" if len(shown) > 3 else "")


def advice_for(module: str) -> str:
    """What to do about a module that workers lack."""
    file = gone(module)
    if file is not None:
        return (
            f"It would go along, but its file {file} was deleted or moved after it was imported here. "
            "Put it back, or start the program anew."
        )
    return f"Set MANYCORE_EXTRA_PACKAGES={distribution_of(module)!r} there, or use an image FROM ours."


def distribution_of(module: str) -> str:
    """What to install: the distribution that brings this module here, in this version; else the module's own name."""
    from importlib.metadata import packages_distributions

    for name in packages_distributions().get(module, ()):
        if version := version_of(name):
            return f"{name}=={version}"
    return module
