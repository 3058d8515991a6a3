"""One client's connection to one cluster: its threads, and the batches that are under way.

`Cluster` is the public face. A session closes by itself when it was told to and its last batch has ended, so a
cluster that nobody holds any more does not lose work that is out.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import secrets
import sys
import threading
from collections.abc import Callable
from typing import Any

import redis

from manycore import keys
from manycore.audit import Auditor
from manycore.broker import Publisher, connect, create_app
from manycore.dispatch import Dispatcher
from manycore.durable import Record, covers
from manycore.errors import AuthenticationFailed, BatchCancelled, ConnectionFailed, LocalClusterFailed, ManycoreError
from manycore.fleet import Fleet
from manycore.functions import FunctionShipper, Program
from manycore.gather import Reader
from manycore.halt import Halt
from manycore.lane import Lane, Sink
from manycore.local import LocalCluster
from manycore.message import ItemOptions
from manycore.settings import Settings, redacted
from manycore.sinks import FutureSink
from manycore.sources import Input, ReadySource, SentSource, SubmitSource
from manycore.watch import Watch

logger = logging.getLogger(__name__)
AFTER_SHUTDOWN = "cannot schedule new futures after shutdown"
"""The standard library's words."""


class Session:
    """Connects at construction. Raises `ConnectionFailed`, `AuthenticationFailed` or `SigningKeyMismatch`."""

    def __init__(self, settings: Settings, local: LocalCluster | None = None) -> None:
        self.settings = settings
        self.local = local
        self._keyring = settings.keyring()
        self.redis = connect(settings)
        self._check_server()
        self.fleet = Fleet(self.redis, self._keyring, expected_slots=local.slots if local else None)
        self.fleet.workers()
        self.shipper = FunctionShipper(self._keyring, self.fleet, settings)
        self._idle = threading.Event()
        self._closed = False
        self._close_lock = threading.Lock()
        self._closing = False
        self._broken: LocalClusterFailed | None = None
        self._lanes: set[Lane] = set()
        self._lock = threading.RLock()
        self._publisher = Publisher(create_app(settings, "manycore.client"), self._keyring)
        self.id = secrets.token_hex(6)
        self.dispatcher = Dispatcher(self.redis, self._publisher, self.fleet, settings)
        self._auditor = Auditor(self.redis, self._keyring)
        self._watch = Watch(self._auditor, self.dispatcher, self.fleet, settings, local)
        self.reader = Reader(self.redis, self._keyring, settings, f"session-{self.id}", self._look_around)
        self._submits = SubmitSource(self.shipper.program)
        self._submit_lane: Lane | None = None
        # As the standard library's executors do: a program that ends finishes what it has submitted.
        atexit.register(self._finish_at_exit)

    def open(self, lane: Lane) -> None:
        """Let a lane's items go. Raises `RuntimeError` when the session is closing."""
        with self._lock:
            self.check_open()
            self._lanes.add(lane)
        self.reader.add(lane)
        self.dispatcher.add(lane)

    def check_open(self) -> None:
        """Raise what keeps new work from being taken: a shutdown, or a local cluster that is down."""
        if self._broken is not None:
            raise self._broken
        if self._closing:
            raise RuntimeError(AFTER_SHUTDOWN)

    def submits(self) -> SubmitSource:
        """The source that `submit` adds to; its lane is opened with the first call."""
        lane = self._submit_lane
        if lane is None or lane.ended.is_set():
            with self._lock:
                lane = self._submit_lane
                if lane is None or lane.ended.is_set():  # the first one, or the last one failed with its connection
                    source = SubmitSource(self.shipper.program)
                    lane = Lane(f"submit-{secrets.token_hex(6)}", source, FutureSink(source.futures))
                    self.open(lane)
                    self._submit_lane, self._submits = lane, source
        return self._submits

    def start(
        self,
        batch_id: str,
        feed: Input,
        program: Program,
        options: ItemOptions,
        sink: Sink,
        *,
        halt: Halt,
        ordered: bool,
        record: Record | None = None,
        resumed: bool = False,
    ) -> Lane:
        """Open the lane of a `map` (`ordered`) or a `batch`; with a `record`, of one that outlives its client."""
        lane: Lane

        def limit() -> int:
            return (lane.consumed or 0) + (feed.buffersize or 0)

        source = feed.source(program, options, wake=self.dispatcher.wake, limit=limit)
        lane = Lane(batch_id, source, sink, halt=halt, ephemeral=record is None)
        lane.consumed = 0 if ordered else None
        lane.record = record
        if resumed:
            self._replay(lane)
        self.open(lane)
        source.start()
        return lane

    def record(self, batch_id: str) -> Record:
        """The record of a named batch."""
        return Record(self.redis, self._keyring, batch_id, self.settings.batch_ttl_seconds)

    def attach(self, batch_id: str, sink: Sink) -> tuple[Lane, str]:
        """Open the lane of a batch that another client sent whole; gives it with the name of its function."""
        record = self.record(batch_id)
        function, parcels = record.attach()
        lane = Lane(batch_id, SentSource(record.total or 0), sink, ephemeral=False)
        lane.record = record
        for parcel in parcels:
            indices = covers(parcel.chunk)
            if indices.start >= lane.ledger.sent_items:  # a chunk sent again repeats items of another
                chunk = parcel.chunk
                lane.ledger.send(chunk.id, len(indices), 0, chunk.payload_token, parcel)
        self.reader.replay(lane)
        lane.check_finished()
        self.open(lane)
        return lane, function

    def _replay(self, lane: Lane) -> None:
        """Take in what an earlier run of a named batch has left: outcomes, and messages under way."""
        lane.ledger.expected_items = lane.source.total or sys.maxsize
        lane.covered = self._auditor.in_flight([lane.id])[lane.id]
        self.reader.replay(lane)

    def more_room(self, lane: Lane) -> None:
        """A reader has consumed: the input may be pulled further."""
        lane.source.more_room()
        self.dispatcher.wake()

    @property
    def place(self) -> str:
        return redacted(self.settings.url or "")

    def cancel(self, lane: Lane, error: ManycoreError | None = None, *, give_up_sent: bool = True) -> None:
        """Stop a lane here and, by its flag, on every worker."""
        if lane.ended.is_set():
            return
        lane.stop(error or BatchCancelled(lane.id), give_up_sent=give_up_sent)
        self._flag_cancelled(lane)

    def begin_close(self, *, cancel: bool) -> None:
        """Take no new work; close once what is out has ended, or at once with `cancel`."""
        with self._lock:
            self._closing = True
            lanes = list(self._lanes)
        for lane in lanes:
            if isinstance(lane.source, SubmitSource):
                self._end_submits(lane, lane.source, cancel=cancel)
            elif cancel:
                self.cancel(lane)
            elif lane.consumed is not None:
                self._let_go(lane)
        self.dispatcher.wake()
        self.reader.wake()

    def _end_submits(self, lane: Lane, source: SubmitSource, *, cancel: bool) -> None:
        """Take no more calls; with `cancel`, let none start that is not running yet, here or on a worker."""
        with lane.lock:  # the dispatcher takes calls under it
            if cancel:
                source.cancel_all()
            source.close()
        if cancel:
            self.cancel(lane, give_up_sent=False)
        lane.check_finished()

    def drain(self) -> None:
        """Close once what is out has ended; interrupted (Ctrl-C), give it up and close at once."""
        try:
            self._idle.wait()
        finally:
            self.close()

    def drain_in_background(self) -> None:
        threading.Thread(target=self.drain, name="manycore-close", daemon=True).start()

    def close(self) -> None:
        """Close now; whatever is still out is given up. Safe to call again, and from any thread but the reader's."""
        with self._close_lock:
            if not self._closed:
                self._closed = True
                self._close()

    def _close(self) -> None:
        atexit.unregister(self._finish_at_exit)
        with self._lock:
            self._closing = True
            lanes = list(self._lanes)
        for lane in lanes:
            if not lane.ended.is_set():
                if lane.record is None:  # a named batch goes on without us
                    lane.flag_wanted = keys.GIVEN_UP
                    self._flag_cancelled(lane)
                lane.fail(BatchCancelled(lane.id))
        self.dispatcher.close()
        self.reader.close()
        for lane in lanes:
            self._forget(lane)
        self._quietly(lambda: self.redis.delete(*keys.owned_by(f"session-{self.id}")))
        self.redis.close()
        self._publisher.close()
        if self.local is not None:
            self.local.stop()

    def _finish_at_exit(self) -> None:
        self.begin_close(cancel=False)
        with contextlib.suppress(KeyboardInterrupt):
            self.drain()

    def _let_go(self, lane: Lane) -> None:
        """End a `map` that may not be read any further, as the standard library does.

        An input in memory is worked through, and its results stay readable. One that is pulled as it is read, or that
        a `buffersize` holds back, would never end: no more of it is taken.
        """
        if isinstance(lane.source, ReadySource) and not lane.source.held_back:
            lane.bounded = False
        else:
            lane.source.cut_off(RuntimeError(AFTER_SHUTDOWN))
            lane.check_finished()

    def _look_around(self) -> None:
        """Called by the reader after every read: goes on with what can, ends what has ended, notices what is stuck."""
        self.dispatcher.wake()
        for lane in list(self._lanes):
            self._note_complete(lane)
            self._flag_cancelled(lane)
            if lane.ended.is_set():
                self._forget(lane)
        if self._closing and not self._lanes:
            self._idle.set()
            return
        self._look_after(list(self._lanes))

    def _note_complete(self, lane: Lane) -> None:
        """Once a named batch has been sent whole, others may finish it."""
        record = lane.record
        if record is not None and record.total is None and lane.sent_whole:
            record.complete(lane.ledger.sent_items)

    def _look_after(self, lanes: list[Lane]) -> None:
        try:
            self._watch.look(lanes)
        except LocalClusterFailed as exc:
            self._broken = exc
            for lane in lanes:
                lane.fail(exc)

    def _forget(self, lane: Lane) -> None:
        with self._lock:
            if lane not in self._lanes:
                return
            self._lanes.discard(lane)
        self.dispatcher.remove(lane)
        self.reader.remove(lane)
        tokens = [sent.payload_token for sent in lane.abandoned if sent.payload_token]
        if lane.record is None:  # a named batch that we leave may still need its payloads
            tokens += lane.ledger.open_payloads()
        gone = [keys.payload(lane.id, token) for token in tokens]
        if lane.ephemeral:
            gone += [key for key in keys.owned_by(lane.id) if lane.stop_error is None or key != keys.batch(lane.id)]
        if gone:
            self._quietly(lambda: self.redis.delete(*gone))

    def _flag_cancelled(self, lane: Lane) -> None:
        """Set the flag that workers look at. It stays, with a TTL, as long as a queued chunk may still come up."""
        flag, lane.flag_wanted = lane.flag_wanted, None
        if flag is None or not lane.ledger.sent_items:
            return
        pipe = self.redis.pipeline(transaction=False)
        pipe.hset(keys.batch(lane.id), "cancelled", flag)
        pipe.expire(keys.batch(lane.id), self.settings.batch_ttl_seconds)
        self._quietly(pipe.execute)

    def _quietly(self, step: Callable[[], Any]) -> None:
        """Do what only tidies up: with the server away, the TTL does it."""
        try:
            step()
        except redis.RedisError:
            logger.debug("Tidying up was left to the TTL", exc_info=True)

    def _check_server(self) -> None:
        place = self.place
        try:
            self.redis.ping()
        except redis.AuthenticationError as exc:
            raise AuthenticationFailed(place, exc) from exc
        except (redis.RedisError, OSError) as exc:
            if "NOAUTH" in str(exc) or "WRONGPASS" in str(exc):
                raise AuthenticationFailed(place, exc) from exc
            raise ConnectionFailed(place, exc) from exc
