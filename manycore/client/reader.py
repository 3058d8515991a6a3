"""Reads outcomes: one thread waits on the streams of all lanes with one blocking XREAD, and hands on what arrives.

It only reads. It rides out a lost connection and a failover: the stream is still there, reading goes on where it was.
What an entry means is for `stream`. A thread that stands at a value, whose unpickling may never end, is relieved.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import redis

from manycore.client.lane import Lane
from manycore.client.rebuilding import Rebuilding, Shift
from manycore.client.stream import OutcomeStream, fresh, order
from manycore.errors import ConnectionFailed, ServerFull
from manycore.protocol import keys
from manycore.protocol.broker import AWAY, BRIEF_SECONDS, FULL, RECONNECT_SECONDS
from manycore.protocol.entries import Fields
from manycore.protocol.patience import Patience
from manycore.protocol.record import ENTRIES_PER_READ
from manycore.protocol.settings import Settings
from manycore.protocol.wire import Wire

logger = logging.getLogger(__name__)
BLOCK_MILLISECONDS = 1000
MOST_RELIEVED = 8
"""So many threads may stand at a value each; beyond, all waits for one of them."""
_READ = ("XREAD", "BLOCK", BLOCK_MILLISECONDS, "COUNT", ENTRIES_PER_READ, b"STREAMS")


class Reader:
    """Owns the reading thread. The control stream wakes it: a new lane need not wait for the last read's end.

    `wire` is its own; `brief` is a client that does not wait long for its answer.
    """

    def __init__(self, wire: Wire, brief: redis.Redis, stream: OutcomeStream, settings: Settings, control: str) -> None:
        self._wire = wire
        self._brief = brief
        self._stream = stream
        self._settings = settings
        self._control = keys.outcomes(control)
        self._lanes: tuple[Lane, ...] = ()
        self._ahead: dict[str, str] = {}
        """By prefix, the id that the next batch of its kind gets: its stream is read before it is begun."""
        self._asked: dict[Any, Any] = {}
        """What the read that is under way waits for."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._patience = Patience(settings, self._closed.wait)
        self._control_read = "0-0"
        self._on_read: Callable[[], object] = lambda: None
        self._left: deque[tuple[Lane, deque[Fields | Rebuilding]]] = deque()
        """What was read and is not taken in yet; the first is being taken in."""
        self._relieved: list[threading.Thread] = []
        self._stood_at: tuple[Rebuilding, int] | None = None
        self._shift, self._thread = self._next_shift(self._run)

    def _next_shift(self, run: Callable[[Shift], None]) -> tuple[Shift, threading.Thread]:
        shift = Shift()
        return shift, threading.Thread(target=run, args=(shift,), name="manycore-gather", daemon=True)

    def start(self, on_read: Callable[[], object]) -> None:
        """Begin; `on_read` is told after each read: lanes may have room again."""
        self._on_read = on_read
        self._thread.start()

    def relieve(self) -> None:
        """Have another thread read on if this one still stands at the value at which the last look found it."""
        before, self._stood_at = self._stood_at, self._shift.stands_at
        if self._stood_at is None or self._stood_at != before:
            return
        self._relieved = [thread for thread in self._relieved if thread.is_alive()]
        if len(self._relieved) >= MOST_RELIEVED:
            return
        told: SimpleQueue[bool] = SimpleQueue()
        shift, thread = self._next_shift(lambda shift: self._run(shift) if told.get() else None)
        try:
            thread.start()  # first: where none can be had, as while Python ends, this one must go on
        except RuntimeError:
            return
        relieved = self._shift.relieve(self._stood_at)
        if relieved:
            rebuilding, place = self._stood_at
            name = rebuilding.name(place)
            logger.info("The result of item %s takes long to be rebuilt; others are read meanwhile", name)
            self._relieved.append(self._thread)
            self._left[0][1].appendleft(rebuilding)
            self._shift, self._thread = shift, thread
        told.put(relieved)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def new_id(self, prefix: str) -> str:
        """The id of a batch that nobody else can want: at best, one whose stream is being read already."""
        with self._lock:
            known = self._ahead.get(prefix)
            self._ahead[prefix] = ""  # the next read takes a new one
        return known or _new_id(prefix)

    def add(self, lane: Lane) -> bool:
        """Read this lane's stream too. False if that begins with the next read only: `wake` begins one."""
        with self._lock:
            self._lanes = (*self._lanes, lane)
            return bool(self._asked.get(keys.outcomes(lane.id)) == lane.last_read)

    def remove(self, lane: Lane) -> None:
        with self._lock:
            self._lanes = tuple(other for other in self._lanes if other is not lane)

    def wake(self) -> None:
        """End the read that is under way. A server that is away or full is noticed by the reader itself."""
        if self._patience.waiting:
            return
        try:
            pipe = self._brief.pipeline(transaction=False)
            pipe.xadd(self._control, {b"w": b""}, maxlen=8, approximate=False)
            pipe.expire(self._control, self._settings.batch_ttl_seconds)
            pipe.execute()
        except (*AWAY, FULL):
            logger.debug("The reader could not be woken", exc_info=True)

    def close(self) -> None:
        self._closed.set()
        self.wake()
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._thread.join(BRIEF_SECONDS)

    def _run(self, shift: Shift) -> None:
        while not (self._closed.is_set() or shift.relieved):
            try:
                self._patience.ride_out(lambda: self._read(shift))
                self._on_read()
            except BaseException as exc:  # the boundary of the thread: no wait may go on without its reader
                if not self._closed.is_set():
                    self._give_up(exc)
        if not shift.relieved:
            with contextlib.suppress(redis.RedisError):  # then the TTL does it
                self._stream.tidy(self._brief)

    def _give_up(self, error: BaseException) -> None:
        """End all that waits here with `error`; what comes after it is read for anew."""
        if not isinstance(error, ConnectionFailed | ServerFull):
            logger.error("Reading outcomes failed", exc_info=error)
        for lane in self._lanes if not isinstance(error, ServerFull) else ():  # that one still lets itself be read
            lane.fail(error)
        self._closed.wait(RECONNECT_SECONDS)

    def _read(self, shift: Shift) -> None:
        if not self._left:  # else a relieved thread has left it, or the server went away meanwhile
            self._fetch()
        self._take_all(shift)

    def _fetch(self) -> None:
        positions = self._positions()
        for key, entries in self._wait(positions):
            stream = key.decode()
            if stream == self._control:
                self._control_read = entries[-1][0].decode()
            for lane in self._lanes:  # one that came meanwhile may have to begin further back
                if keys.outcomes(lane.id) == stream and order(positions[stream]) <= order(lane.last_read):
                    self._left.append((lane, fresh(lane, entries)))

    def _positions(self) -> dict[Any, Any]:
        """The streams to read, and from where."""
        positions: dict[Any, Any] = {}
        with self._lock:
            for lane in self._lanes:  # two can read one stream: a named batch and somebody who attached to it here
                key = keys.outcomes(lane.id)
                positions[key] = min(positions.get(key, lane.last_read), lane.last_read, key=order)
            for prefix, ahead in self._ahead.items():
                self._ahead[prefix] = ahead or _new_id(prefix)
                positions[keys.outcomes(self._ahead[prefix])] = "0-0"
            positions[self._control] = self._control_read
            self._asked = positions
        return positions

    def _take_all(self, shift: Shift) -> None:
        """Take in what was read. What a relieved thread leaves of it is the next one's."""
        while self._left and not shift.relieved:
            lane, entries = self._left[0]
            try:
                self._stream.take(lane, entries, shift)
            except (*AWAY, FULL):
                raise
            except Exception as exc:  # a boundary: what is wrong with one batch ends that one alone
                logger.exception("The outcomes of batch %s cannot be taken in", lane.id)
                lane.fail(exc)
            if not shift.relieved:
                self._left.popleft()

    def _wait(self, positions: dict[Any, Any]) -> Any:
        """The entries behind these positions, waited for; none once this is closed."""
        try:
            found = self._stream.tidy_and((*_READ, *positions, *positions.values()), self._wire)
        except redis.ResponseError as exc:
            if "UNBLOCKED" not in str(exc):
                raise
            raise redis.ConnectionError(str(exc)) from exc  # the server became a replica while we waited
        return [] if self._closed.is_set() else found


def _new_id(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(6)}"
