"""Keeps a slot that has just ended a call for the next one: its client hands that straight to it (`protocol/handing`).

The slot keeps its delivery, which is the next call's from the moment it is handed over: the parent holds its lease, and
whoever dies, it comes again. To Celery it is one task that goes on; what follows is shown by `parent/followers`.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

import redis

from manycore.errors import MessageRefused
from manycore.protocol import keys
from manycore.protocol.broker import UNACKED, UNACKED_INDEX
from manycore.protocol.handing import NOTHING, program_of
from manycore.protocol.junk import UNREADABLE
from manycore.protocol.message import Chunk, open_chunk
from manycore.protocol.priority import PRIORITY_SUFFIXES
from manycore.protocol.script import Script
from manycore.protocol.serializer import Delivery
from manycore.worker.context import WorkerContext
from manycore.worker.summary import ACKNOWLEDGED, KEPT, OPEN

if TYPE_CHECKING:
    from manycore.worker.child.run import ChunkRun

LEAVE = Script(__package__, "leave")
WAIT_SECONDS = 0.1
"""How long a slot waits, by the server's clock, which looks at it when it has something to do. Another slot of the
worker is idle meanwhile, and takes what comes from others; when there is none any more, the parent calls it off."""
STAY_TTL_SECONDS = 60
"""Of the hash of those that wait, far above that."""
LONGEST_SECONDS = 0.5
"""So long a slot is kept for the calls of one function: then it takes its place again among the others, and Flower is
told what ran."""


class Stay:
    """Of one delivery, in the thread that runs it."""

    def __init__(self, context: WorkerContext, first: Chunk, tag: str, queue: str) -> None:
        self.tag, self.queue = tag, queue
        self.was_asked = False
        """Whether the slot may stay, or have stayed: then the delivery may be another call's by now."""
        self.has_left = False
        """Whether the delivery was acknowledged after the last outcomes."""
        self._first = self._current = first.id
        self._context = context
        self._batch, self._program = first.batch, program_of(first, queue)
        self._lists = [queue + suffix for suffix in PRIORITY_SUFFIXES]
        self._until = monotonic() + LONGEST_SECONDS

    def names(self, run: ChunkRun) -> list[str]:
        """The keys of the last step of `run` (`finish.lua`): as it says, the slot stays or not."""
        handed = keys.handed(self._batch, self.tag)
        if not self._is_wanted(run):
            return [handed]
        self.was_asked = True
        return [handed, keys.stay(self._batch, self._program), *self._lists]

    def _is_wanted(self, run: ChunkRun) -> bool:
        context, board = self._context, self._context.noticeboard
        is_call = run.chunk.is_of_calls and run.cancelled is None
        settings = context.settings  # how much a process runs, or has grown, is Celery's to look at: between deliveries
        counts = settings.max_tasks_per_child is not None or settings.max_memory_per_child is not None
        return is_call and not counts and board.any_idle and not board.drains and monotonic() < self._until

    def next(self, fate: int, riding_out: Callable[[Callable[[], Any]], Any]) -> tuple[str, Delivery] | None:
        """The next call, and the run that has begun with it, if that is known; None if there was none: then the
        delivery is acknowledged, unless `fate` says that of its own call and it is the parent's to acknowledge.

        `riding_out` a server that is away, since nobody else has what was handed over: the parent may be cut off, too.
        Raises `ConnectionFailed`, or `MessageRefused` for what is no call of the same function: whatever the delivery
        is of then has to come again.
        """
        if fate == ACKNOWLEDGED or (fate == OPEN and self._current == self._first):
            return None
        handed = keys.handed(self._batch, self.tag)
        names = [keys.stay(self._batch, self._program), handed, UNACKED, UNACKED_INDEX, keys.resume(self._batch)]
        raw = self._awaited(handed) if fate == KEPT else NOTHING
        while raw == NOTHING:  # its time is over, or it was called off
            raw = riding_out(lambda: self._left(names))
        self.has_left = not raw
        return self._read(raw) if raw else None

    def _awaited(self, handed: str) -> bytes:
        """What the slot is handed in its time. It is asked for once: if the answer gets lost, who leaves is told."""
        line = self._context.line
        try:
            line.send([("BLPOP", handed, WAIT_SECONDS)])
            (found,) = line.read()
        except redis.RedisError:
            return NOTHING
        return found[1] if isinstance(found, list) else NOTHING

    def _left(self, names: list[str]) -> Any:
        """What it was handed all the same. Raises redis-py's errors."""
        pipe = self._context.line.round()
        LEAVE.queue_whole(pipe, names, [self.tag, self._current])
        (raw,) = pipe.execute()
        return raw

    def _read(self, raw: bytes) -> tuple[str, Delivery]:
        run, _, message = raw.partition(b" ") if not raw.startswith(b"[") else (b"", b"", raw)
        try:
            found = json.loads(message)
            sealed = b64decode((found if run else found[0])["body"])  # or it is a delivery, as kombu keeps it
        except UNREADABLE as exc:
            raise MessageRefused("what was handed on is no message") from exc
        chunk, payload = open_chunk(self._context.keyring, sealed, max_bytes=self._context.settings.max_message_bytes)
        if (chunk.batch, program_of(chunk, self.queue)) != (self._batch, self._program):
            raise MessageRefused("what was handed on is another function's")
        self._current = chunk.id
        return run.decode(errors="replace"), Delivery(chunk, bytes(payload))
