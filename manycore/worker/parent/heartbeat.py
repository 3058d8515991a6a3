"""Tells clients which workers there are: slots, tasks, keys and versions, refreshed while the worker parent lives."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery.worker import state
from redis import RedisError

from manycore import __version__
from manycore.protocol import keys, python
from manycore.protocol.broker import FULL
from manycore.protocol.edition import Edition, edition_of
from manycore.protocol.inventory import Inventory, take_stock
from manycore.protocol.script import Script
from manycore.worker.context import WorkerContext, worker_context
from manycore.worker.parent.observer import Observer
from manycore.worker.parent.others import MOST_ASKED, Others
from manycore.worker.parent.periodic import PeriodicStep

logger = logging.getLogger(__name__)
SCRIPT = Script(__package__, "heartbeat")
STOCK_SECONDS = keys.HEARTBEAT_SECONDS / 2
STOCK_PATIENCE = 12
"""So many moments it waits for one in which nothing runs, before it takes stock beside what does."""


class Heartbeat:
    """Writes `mc:worker:<name>` and the index of workers. A worker that is silent disappears by TTL."""

    def __init__(self, context: WorkerContext, name: str, slots: int, queues: list[str], observer: Observer) -> None:
        self._context = context
        self._name = name
        self._observer = observer
        self._others = Others(context, name, queues)
        own = [
            (task_name, task) for task_name, task in context.app.tasks.items() if not task_name.startswith("celery.")
        ]
        tasks = {
            task_name: getattr(task, "queue", None) or context.app.conf.task_default_queue for task_name, task in own
        }
        self._tasks = list(tasks)
        self._known_in = [] if context.is_private else [keys.tasks(queue) for queue in queues]
        self._facts: dict[Any, Any] = {
            "slots": slots,
            "queues": json.dumps(queues),
            "tasks": json.dumps(tasks),
            "keys": json.dumps(context.keyring.ids),
            "editions": json.dumps(_editions({task.__module__ for _, task in own})),
            "version": __version__,
            "python": python.written(python.here()),
            "functions": int(context.settings.allow_functions),
            "inventory": "",
        }
        self._inventory: Inventory | None = None

    def take_stock(self, patience: int = STOCK_PATIENCE) -> None:
        """Say what can be imported here, from the next beat on. On a thread of its own, for it takes a while; and after
        a moment in which nothing ran, or so many: the first items are about to come, and the cores are theirs."""
        later = threading.Timer(STOCK_SECONDS, self._take_stock, [patience, _begun()])
        later.name, later.daemon = "manycore-inventory", True
        later.start()

    def _take_stock(self, patience: int, begun: int) -> None:
        if patience and (state.active_requests or _begun() > begun):
            self.take_stock(patience - 1)
            return
        try:
            self._inventory = take_stock()
        except Exception:  # a boundary: the metadata of packages can be anything, and clients do without
            logger.exception("What can be imported here cannot be told")

    def beat(self) -> None:
        """Say that this worker lives. A server that is away is no reason to stop: the next beat tries again."""
        try:
            self._beat(self._context.clock.now())
        except RedisError as exc:
            logger.warning("The heartbeat did not reach Redis: %s", exc)
        except Exception:  # a boundary: the first beat is a step of the worker's start, which would end with it
            logger.exception("The heartbeat failed")

    def leave(self) -> None:
        """Say that this worker takes no more work."""
        pipe = self._context.redis.pipeline(transaction=False)
        pipe.delete(keys.worker(self._name), keys.activity(self._name))
        pipe.zrem(keys.WORKERS, self._name)
        try:
            pipe.execute()
        except RedisError as exc:
            logger.warning("That this worker leaves did not reach Redis: %s", exc)

    def _beat(self, now: float) -> None:
        self._publish_inventory()
        name, ttl = self._name, keys.WORKER_TTL_SECONDS
        facts = [part for fact in (self._facts | self._told()).items() for part in fact]
        named = [keys.worker(name), keys.activity(name), keys.WORKERS, *self._known_in]
        tasks = [now - keys.TASKS_SECONDS, keys.TASKS_SECONDS, len(self._tasks), *self._tasks]
        told = [name, now, now - ttl, ttl, self._observer.look(now).written(), MOST_ASKED, *tasks, *facts]
        self._others.look(SCRIPT.run(self._context.redis, named, told))

    def _told(self) -> dict[str, Any]:
        """What changes from beat to beat."""
        room = self._context.objects.room()
        counts, objects = json.dumps(self._context.counts), json.dumps(room)
        return {"busy": len(state.active_requests), "counts": counts, "objects": objects}

    def _publish_inventory(self) -> None:
        """Keep it there as long as this worker lives, and write it if it is not: it is large, and waits for room."""
        if self._inventory is None:
            return
        redis, digest = self._context.redis, self._inventory.digest
        with suppress(FULL):
            if not redis.expire(keys.inventory(digest), keys.WORKER_TTL_SECONDS):
                redis.set(keys.inventory(digest), self._inventory.written(), ex=keys.WORKER_TTL_SECONDS)
            self._facts["inventory"] = digest


def _begun() -> int:
    """How many executions this worker has begun. Its event loop counts meanwhile."""
    return sum(list(state.total_count.values()))


def _editions(modules: set[str]) -> dict[str, Edition]:
    """What this worker has of the modules of its tasks, our own left out."""
    found = {module: edition_of(module) for module in modules if not module.startswith("manycore.")}
    return {module: edition for module, edition in found.items() if edition is not None}


class HeartbeatStep(PeriodicStep):
    """Starts the heartbeat once the worker consumes, stops it when the worker does."""

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._heartbeat: Heartbeat | None = None

    def begin(self, consumer: Any) -> tuple[float, Callable[[], object]]:
        queues = [queue.name for queue in consumer.task_consumer.queues]
        context, slots = worker_context(consumer.app), consumer.controller.concurrency
        self._heartbeat = Heartbeat(context, consumer.hostname, slots, queues, Observer(consumer, queues))
        self._heartbeat.beat()
        if not context.is_private:
            self._heartbeat.take_stock()
        return keys.HEARTBEAT_SECONDS, self._heartbeat.beat

    def end(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.leave()
