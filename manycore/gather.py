"""Reads outcomes: one thread waits on the streams of all lanes with one blocking XREAD, and hands on what arrives.

1. Verifies each block before it reads it; what does not verify is dropped and counted.
2. Trims what an ephemeral batch has read, and deletes payloads whose items are all answered.
3. Rides out a lost connection: the stream is still there, reading goes on where it was.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, cast

import redis

from manycore import keys, packing
from manycore.broker import AWAY, RECONNECT_SECONDS
from manycore.codec import Keyring
from manycore.errors import ConnectionFailed, ManycoreError, MessageRefused, SigningKeyMismatch
from manycore.lane import Lane
from manycore.ledger import Sent
from manycore.message import open_block
from manycore.settings import Settings, redacted

logger = logging.getLogger(__name__)
BLOCK_MILLISECONDS = 1000
ENTRIES_PER_READ = 32
"""With blocks of at most 1 MiB in the stream, one read holds 32 MiB at most."""


class Reader:
    """Owns the reading thread. The control stream wakes it: a new lane need not wait for the last read's end."""

    def __init__(
        self, client: redis.Redis, keyring: Keyring, settings: Settings, control: str, look_around: Callable[[], None]
    ) -> None:
        self._redis = client
        self._keyring = keyring
        self._settings = settings
        self._control = keys.outcomes(control)
        self._look_around = look_around
        self._lanes: list[Lane] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._control_read = "0-0"
        self._lost_at: float | None = None
        self.refused = 0
        self._thread = threading.Thread(target=self._loop, name="manycore-gather", daemon=True)
        self._thread.start()

    def add(self, lane: Lane) -> None:
        with self._lock:
            self._lanes.append(lane)
        self.wake()

    def replay(self, lane: Lane) -> None:
        """Take in what is in the stream of a lane already, before it is added."""
        while entries := self._redis.xrange(keys.outcomes(lane.id), min=f"({lane.last_read}", count=ENTRIES_PER_READ):
            self._take(lane, cast(Any, entries))

    def remove(self, lane: Lane) -> None:
        with self._lock:
            self._lanes = [other for other in self._lanes if other is not lane]

    def wake(self) -> None:
        """End the read that is under way. A server that is away is noticed by the reader itself."""
        try:
            pipe = self._redis.pipeline(transaction=False)
            pipe.xadd(self._control, {b"w": b""}, maxlen=8, approximate=False)
            pipe.expire(self._control, self._settings.batch_ttl_seconds)
            pipe.execute()
        except AWAY:
            logger.debug("The reader could not be woken", exc_info=True)

    def close(self) -> None:
        self._closed.set()
        self.wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5.0)

    def _loop(self) -> None:
        while not self._closed.is_set():
            try:
                self._read()
                self._lost_at = None
                self._look_around()
            except AWAY as exc:
                self._ride_out(exc)
            except Exception as exc:  # the boundary of the thread: no wait may go on without its reader
                logger.exception("Reading outcomes failed")
                self._fail_all(exc)

    def _read(self) -> None:
        with self._lock:
            lanes = list(self._lanes)
        positions: dict[Any, Any] = {}
        for lane in lanes:  # two can read one stream: a named batch and somebody who attached to it here
            key = keys.outcomes(lane.id)
            positions[key] = min(positions.get(key, lane.last_read), lane.last_read, key=_order)
        positions[self._control] = self._control_read
        found: Any = self._redis.xread(positions, count=ENTRIES_PER_READ, block=BLOCK_MILLISECONDS)
        if self._closed.is_set():
            return
        for key, entries in found:
            stream = key.decode()
            if stream == self._control:
                self._control_read = entries[-1][0].decode()
            for lane in lanes:
                if keys.outcomes(lane.id) == stream:
                    self._take(lane, entries)

    def _take(self, lane: Lane, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        finished: list[Sent] = []
        beside: list[str] = []
        for entry_id, fields in entries:
            if _order(entry_id.decode()) <= _order(lane.last_read):
                continue
            try:
                finished += self._accept(lane, fields, beside)
            except MessageRefused as exc:
                self.refused += 1
                logger.warning("An outcome in the stream of batch %s was refused: %s", lane.id, exc)
        lane.last_read = max(lane.last_read, entries[-1][0].decode(), key=_order)
        self._tidy(lane, finished, beside)

    def _accept(self, lane: Lane, fields: dict[bytes, bytes], beside: list[str]) -> list[Sent]:
        if b"r" in fields:
            return self._refusal(lane, fields[b"r"])
        sealed: Any = fields.get(b"o")
        if b"k" in fields:
            key = keys.values(lane.id, fields[b"k"].decode())
            sealed = self._redis.get(key)
            beside.append(key)
        if sealed is None:
            raise MessageRefused("its values are no longer in Redis")
        block, body = open_block(self._keyring, sealed, lane.id)
        if block.cancelled:
            return lane.arrived(block, [], {})
        values = packing.unpack(body, "The result")
        errors = {offset: packing.load_error(blob) for offset, blob in block.errors.items()}
        if packing.may_be_broken(body):
            errors |= {at: value.error for at, value in enumerate(values) if isinstance(value, packing.Broken)}
        return lane.arrived(block, values, errors)

    def _refusal(self, lane: Lane, record: bytes) -> list[Sent]:
        """An unsigned record: believed only in that the chunk did not run."""
        try:
            said = json.loads(record)
            chunk, reason, known = str(said["chunk"]), str(said["reason"]), [str(key) for key in said["keys"]]
        except (ValueError, KeyError, TypeError) as exc:
            raise MessageRefused("it is no outcome and no refusal") from exc
        error: ManycoreError = MessageRefused(reason)
        if not set(self._keyring.ids) & set(known):
            error = SigningKeyMismatch(self._keyring.ids[0], ", ".join(known))
        return lane.reject(chunk, error)

    def _tidy(self, lane: Lane, finished: list[Sent], beside: list[str]) -> None:
        """Delete what nobody needs any more; a crash before this leaves it to the TTL."""
        gone = [keys.payload(lane.id, sent.payload_token) for sent in finished if sent.payload_token]
        if lane.ephemeral:
            gone += beside
        pipe = self._redis.pipeline(transaction=False)
        if gone:
            pipe.delete(*gone)
        if lane.ephemeral:
            pipe.xtrim(keys.outcomes(lane.id), minid=_after(lane.last_read), approximate=False)
        if len(pipe):
            pipe.execute()

    def _ride_out(self, exc: Exception) -> None:
        if self._lost_at is None:
            self._lost_at = monotonic()
            logger.warning("The server is away (%s); waiting for it", exc)
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


def _order(entry_id: str) -> tuple[int, int]:
    """How stream ids are ordered."""
    milliseconds, sequence = entry_id.split("-")
    return int(milliseconds), int(sequence)


def _after(entry_id: str) -> str:
    """The smallest stream id above this one."""
    milliseconds, sequence = entry_id.split("-")
    return f"{milliseconds}-{int(sequence) + 1}"
