"""Reads outcomes: one thread waits on the streams of all lanes with one blocking XREAD, and hands on what arrives.

It rides out a lost connection, a failover and a full server: the stream is still there, reading goes on where it was.
What an entry means is for `stream`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import redis

from manycore.client.lane import Lane
from manycore.client.stream import OutcomeStream, order
from manycore.errors import ConnectionFailed
from manycore.protocol import keys
from manycore.protocol.broker import AWAY, BRIEF_SECONDS, FULL, RECONNECT_SECONDS, reason
from manycore.protocol.record import ENTRIES_PER_READ
from manycore.protocol.settings import Settings, redacted

logger = logging.getLogger(__name__)
BLOCK_MILLISECONDS = 1000


class Reader:
    """Owns the reading thread. The control stream wakes it: a new lane need not wait for the last read's end.

    `brief` is a client that does not wait long for its answer.
    """

    def __init__(
        self,
        client: redis.Redis,
        brief: redis.Redis,
        stream: OutcomeStream,
        settings: Settings,
        control: str,
        look_around: Callable[[], None],
    ) -> None:
        self._redis = client
        self._brief = brief
        self._stream = stream
        self._settings = settings
        self._control = keys.outcomes(control)
        self._look_around = look_around
        self._lanes: list[Lane] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._control_read = "0-0"
        self._lost_at: float | None = None
        self._thread = threading.Thread(target=self._loop, name="manycore-gather", daemon=True)
        self._thread.start()

    def add(self, lane: Lane) -> None:
        """Read this lane's stream too, from the next read on: `wake` begins one."""
        with self._lock:
            self._lanes.append(lane)

    def remove(self, lane: Lane) -> None:
        with self._lock:
            self._lanes = [other for other in self._lanes if other is not lane]

    def wake(self) -> None:
        """End the read that is under way. A server that is away or full is noticed by the reader itself."""
        if self._lost_at is not None:
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
        if threading.current_thread() is not self._thread:
            self._thread.join(BRIEF_SECONDS)

    def _loop(self) -> None:
        while not self._closed.is_set():
            try:
                self._read()
                self._note_return()
                self._look_around()
            except AWAY as exc:
                self._ride_out(exc)
            except FULL:
                logger.debug("The server is full; what was to be written will be", exc_info=True)
                self._closed.wait(RECONNECT_SECONDS)
            except Exception as exc:  # the boundary of the thread: no wait may go on without its reader
                logger.exception("Reading outcomes failed")
                self._fail_all(exc)

    def _read(self) -> None:
        with self._lock:
            lanes = list(self._lanes)
        positions: dict[Any, Any] = {}
        for lane in lanes:  # two can read one stream: a named batch and somebody who attached to it here
            key = keys.outcomes(lane.id)
            positions[key] = min(positions.get(key, lane.last_read), lane.last_read, key=order)
        positions[self._control] = self._control_read
        for key, entries in self._wait(positions):
            stream = key.decode()
            if stream == self._control:
                self._control_read = entries[-1][0].decode()
            for lane in lanes:
                if keys.outcomes(lane.id) == stream:
                    self._stream.take(lane, entries)

    def _wait(self, positions: dict[Any, Any]) -> Any:
        """The entries behind these positions, waited for; none once this is closed."""
        try:
            found = self._redis.xread(positions, count=ENTRIES_PER_READ, block=BLOCK_MILLISECONDS)
        except redis.ResponseError as exc:
            if "UNBLOCKED" not in str(exc):
                raise
            raise redis.ConnectionError(str(exc)) from exc  # the server became a replica while we waited
        return [] if self._closed.is_set() else found

    def _note_return(self) -> None:
        if self._lost_at is not None:
            logger.warning("The server is back after %.1f s", monotonic() - self._lost_at)
            self._lost_at = None

    def _ride_out(self, exc: Exception) -> None:
        if self._lost_at is None:
            self._lost_at = monotonic()
            logger.warning("The server is away (%s); waiting for it", reason(exc))
        if monotonic() - self._lost_at > self._settings.connection_seconds:
            self._fail_all(ConnectionFailed(redacted(self._settings.url or ""), exc))
        try:
            self._look_around()  # a local cluster that is down for good is known at once
        except AWAY:
            logger.debug("Still away", exc_info=True)
        self._closed.wait(RECONNECT_SECONDS)

    def _fail_all(self, error: BaseException) -> None:
        with self._lock:
            lanes = list(self._lanes)
        for lane in lanes:
            lane.fail(error)
        self._closed.wait(RECONNECT_SECONDS)
