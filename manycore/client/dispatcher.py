"""Sends items: one thread takes the next cut of each lane in turn and publishes it as chunks.

1. Coalesces: what was submitted while the last publish was under way leaves together; nobody waits for a timer.
2. Serves lanes round robin, each within its window of unfinished chunks: no batch starves another.
3. Rides out a lost connection and a full server, for a while; sending twice is safe, outcomes are deduplicated.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from time import monotonic

import redis
from kombu.exceptions import OperationalError

from manycore.client import chunking
from manycore.client.functions import DEFAULT_QUEUE
from manycore.client.lane import Cut, Lane
from manycore.errors import ConnectionFailed, ManycoreError, ServerFull
from manycore.protocol import keys, packing
from manycore.protocol.broker import AWAY, BRIEF_SECONDS, FULL, RECONNECT_SECONDS, Publisher, reason
from manycore.protocol.codec import content_digest
from manycore.protocol.message import Chunk, new_chunk_id
from manycore.protocol.packing import Run
from manycore.protocol.parcel import Parcel
from manycore.protocol.record import Record, covers
from manycore.protocol.roster import Fleet
from manycore.protocol.settings import Settings, redacted

logger = logging.getLogger(__name__)
WARNING_SECONDS = 5.0
"""How often it says that it is still waiting."""
LOST = (*AWAY, OperationalError, ConnectionError)
"""What a publish raises when the server is away, or answers too late to know whether it took the message."""


class Dispatcher:
    """Owns the sending thread. `wake` after anything that may let a lane send; `close` ends it.

    `announce` tells the reader of new lanes: from this thread, for it is a round trip, and `submit` makes none.
    """

    def __init__(
        self,
        client: redis.Redis,
        publisher: Publisher,
        fleet: Fleet,
        settings: Settings,
        announce: Callable[[], None],
    ) -> None:
        self._redis = client
        self._publisher = publisher
        self._fleet = fleet
        self._settings = settings
        self._announce = announce
        self._lanes: list[Lane] = []
        self._has_new = False
        self._shipped: dict[str, float] = {}
        self._changed = threading.Condition()
        self._waiting = False
        self._closed = False
        self._full = self._paused = False
        self._next_warning = 0.0
        self._thread = threading.Thread(target=self._loop, name="manycore-dispatch", daemon=True)
        self._thread.start()

    def add(self, lane: Lane) -> None:
        with self._changed:
            self._lanes.append(lane)
            self._has_new = True
            self._changed.notify()

    def remove(self, lane: Lane) -> None:
        with self._changed:
            self._lanes.remove(lane)

    def wake(self) -> None:
        """Let the thread look again. Cheap while it is busy: it looks before it waits anyway."""
        if self._waiting:
            with self._changed:
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(BRIEF_SECONDS)

    def _loop(self) -> None:
        for lane in self._turns():
            try:
                self._send_next(lane)
            except Exception as exc:  # the boundary of the thread: the lane ends with it, the others go on
                if not isinstance(exc, ConnectionFailed):
                    logger.debug("Batch %s cannot be sent on", lane.id, exc_info=True)
                lane.fail(exc)

    def _turns(self) -> Iterator[Lane]:
        """Lanes that can send, round robin; waits while there is none."""
        turn = 0
        while True:
            if self._has_new:
                self._has_new = False
                self._announce()
            lanes = self._lanes
            for step in range(len(lanes)):
                lane = lanes[(turn + step) % len(lanes)]
                if self._closed:
                    return
                if self._can_send(lane):
                    turn += step + 1
                    yield lane
                    break
            else:
                if not self._wait():
                    return

    def _wait(self) -> bool:
        """Wait until something changed; False when the dispatcher is closed."""
        with self._changed:
            self._waiting = True
            # Looked at once more under the lock: what came before `_waiting` was set did not notify.
            self._changed.wait_for(self._has_work, timeout=1.0)
            self._waiting = False
            return not self._closed

    def _has_work(self) -> bool:
        return self._closed or self._has_new or any(map(self._can_send, self._lanes))

    def _can_send(self, lane: Lane) -> bool:
        if lane.source.exhausted():
            lane.check_finished()
            return False
        return lane.source.ready() and lane.ready(self._fleet.last_slots)

    def _send_next(self, lane: Lane) -> None:
        cut = lane.next_cut(self._fleet.slots(DEFAULT_QUEUE))
        if cut is None or lane.pass_over(cut):
            return
        runs, errors = packing.pack_runs(
            cut.items,
            "The argument",
            max_bytes=chunking.MAX_CHUNK_BYTES,
            max_item_bytes=self._settings.max_item_bytes,
            rows=cut.options.form == "star",
        )
        begin = {run.start: run for run in runs}
        position = 0
        while position < len(cut.items):
            run = begin.get(position)
            if run is None:
                self._refuse(lane, cut.first + position, errors[position])
                position += 1
            else:
                self._send(lane, cut, run)
                position = run.stop

    def _refuse(self, lane: Lane, index: int, error: ManycoreError) -> None:
        """The item cannot be sent. Whoever else gathers a named batch must know it too."""
        record, unsent = lane.record, False
        try:
            if record is not None and lane.stop_error is None:
                self._riding_out(lambda: record.refuse(index, error))
        except ServerFull:
            unsent = True
        lane.refuse(error, unsent=unsent)

    def _send(self, lane: Lane, cut: Cut, run: Run) -> None:
        beside = lane.record is not None or len(run.body) > self._settings.inline_bytes
        chunk = Chunk(
            id=new_chunk_id(lane.id),
            batch=lane.id,
            task=cut.program.task,
            function=cut.program.digest,
            options=cut.options,
            first=cut.first + run.start,
            start=0,
            stop=run.stop - run.start,
            payload_token=secrets.token_hex(8) if beside else None,
            payload_digest=content_digest(run.body) if beside else b"",
            total=lane.source.total,
            ephemeral=lane.ephemeral,
            code=cut.program.code.digest if cut.program.code else None,
        )
        parcel = Parcel(chunk, cut.program, run.body)
        if not lane.sending(chunk.id, len(chunk), len(run.body), chunk.payload_token, parcel):
            return
        gaps = lane.gaps(covers(chunk))
        parts = [parcel] if gaps == [covers(chunk)] else [parcel.part(gap.start, gap.stop) for gap in gaps]
        try:
            self._riding_out(lambda: self._put(parcel, parts, lane.record))
        except ServerFull as exc:
            lane.reject(chunk.id, exc, unsent=True)
        if chunk.payload_token is not None and lane.ended.is_set():  # given up meanwhile: nobody else would delete it
            self._redis.delete(keys.payload(lane.id, chunk.payload_token))

    def send_again(self, parcel: Parcel, indices: range) -> None:
        """Send the items of these indices once more: their message is gone. Raises what the server's absence raises."""
        for digest in parcel.program.references:  # they may be gone too
            self._shipped.pop(digest, None)
        self._put(parcel, [parcel.again(indices.start, indices.stop)])

    def _put(self, parcel: Parcel, parts: list[Parcel], record: Record | None = None) -> None:
        """Store what travels beside the message, then publish `parts` of it: a worker must find what they name."""
        ttl = self._settings.batch_ttl_seconds
        chunk, program, body = parcel.chunk, parcel.program, parcel.body
        pipe = self._redis.pipeline(transaction=False)
        if record is not None:
            record.note(pipe, parcel)
        if chunk.payload_token is not None and body:
            pipe.set(keys.payload(chunk.batch, chunk.payload_token), body, ex=ttl)
        for digest, sealed in program.references.items():
            if monotonic() > self._shipped.get(digest, 0.0):
                pipe.set(keys.reference(digest), sealed, ex=ttl)
                self._shipped[digest] = monotonic() + ttl / 2
        if len(pipe):
            pipe.execute()
        inline = body if chunk.payload_token is None else b""
        self._publisher.publish([(part.chunk, inline) for part in parts], queue=program.queue, shadow=program.shadow)

    def _riding_out(self, step: Callable[[], None]) -> None:
        """Repeat `step` until the server took it, for `connection_seconds` at most."""
        deadline = monotonic() + self._settings.connection_seconds
        place = redacted(self._settings.url or "")
        while True:
            try:
                step()
                self._note_success()
                return
            except redis.AuthenticationError:
                raise
            except FULL as exc:
                # Once it has been waited for in vain, what comes after is refused at once: until there is room.
                if self._closed or self._full or monotonic() > deadline:
                    self._full = True
                    raise ServerFull(place, reason(exc)) from exc
                self._pause("full", exc)
            except LOST as exc:
                if self._closed or monotonic() > deadline:
                    raise ConnectionFailed(place, exc) from exc
                self._pause("away", exc)

    def _note_success(self) -> None:
        if self._paused:
            logger.warning("The server is back and takes new work")
        self._full = self._paused = False

    def _pause(self, what: str, exc: Exception) -> None:
        self._paused = True
        if monotonic() > self._next_warning:
            logger.warning("The server is %s (%s); trying again", what, reason(exc))
            self._next_warning = monotonic() + WARNING_SECONDS
        self._shipped.clear()
        with self._changed:
            self._changed.wait_for(lambda: self._closed, timeout=RECONNECT_SECONDS)
