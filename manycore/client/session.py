"""One client's connection to one cluster: its threads, and the batches that are under way.

`Cluster` is the public face. A session closes by itself when it was told to and its last batch has ended, so a
cluster that nobody holds any more does not lose work that is out.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import sys
import threading
from time import monotonic

from manycore.client.attached import attached_lane
from manycore.client.code import Code, CodeShipper
from manycore.client.dispatcher import Dispatcher
from manycore.client.functions import FunctionShipper
from manycore.client.halt import Halt
from manycore.client.inputs import Input
from manycore.client.lane import Lane, Sink
from manycore.client.reader import Reader
from manycore.client.sinks import FutureSink
from manycore.client.sources import ReadySource, SubmitSource
from manycore.client.stream import OutcomeStream
from manycore.client.tidy import Tidier
from manycore.client.watch import Watch
from manycore.errors import (
    BatchCancelled,
    BatchDetached,
    BatchIncomplete,
    ForkedCluster,
    LocalClusterFailed,
    SettingsError,
)
from manycore.local.cluster import LocalCluster
from manycore.protocol import keys
from manycore.protocol.audit import Auditor
from manycore.protocol.broker import (
    BRIEF_SECONDS,
    FULL,
    QUEUES,
    Publisher,
    check_server_kind,
    connect,
    create_app,
    typed_errors,
)
from manycore.protocol.message import ItemOptions
from manycore.protocol.parcel import Program
from manycore.protocol.record import Identity, Record
from manycore.protocol.roster import Fleet
from manycore.protocol.settings import Settings, redacted

logger = logging.getLogger(__name__)
DETACH_POLL_SECONDS = 0.02
AFTER_SHUTDOWN = "cannot schedule new futures after shutdown"
"""The standard library's words."""


class Session:
    """Connects at construction. Raises `ConnectionFailed`, `AuthenticationFailed` or `SigningKeyMismatch`."""

    def __init__(self, settings: Settings, local: LocalCluster | None = None, code: Code | None = None) -> None:
        self.settings = settings
        self.local = local
        self._keyring = settings.keyring()
        self.redis = connect(settings)
        with typed_errors(settings):
            self.redis.ping()
            if local is None:
                check_server_kind(self.redis, settings)
        self.fleet = Fleet(self.redis, self._keyring, expected_slots=local.slots if local else None)
        self.fleet.workers()
        only = QUEUES[0] if local else None
        self.shipper = FunctionShipper(
            self._keyring, self.fleet, settings, CodeShipper(self._keyring, code), only_fleet=only
        )
        self._idle = threading.Event()
        self._owner = os.getpid()
        self._closed = False
        self._close_lock = threading.Lock()
        self._closing = False
        self._broken: LocalClusterFailed | None = None
        self._lanes: set[Lane] = set()
        self._lock = threading.RLock()
        self._publisher = Publisher(create_app(settings, "manycore.client"), self._keyring)
        self.id = secrets.token_hex(6)
        self.dispatcher = Dispatcher(self.redis, self._publisher, self.fleet, settings, lambda: self.reader.wake())
        self._auditor = Auditor(self.redis, self._keyring)
        self._brief = connect(settings, BRIEF_SECONDS)
        self._tidier = Tidier(self._brief, self._auditor, self.record, settings)
        self._watch = Watch(self._auditor, self.dispatcher, self.fleet, settings, local)
        self.stream = OutcomeStream(self.redis, self._keyring)
        self.reader = Reader(self.redis, self._brief, self.stream, settings, f"session-{self.id}", self._look_around)
        self._submits = SubmitSource(self.shipper.submitted)
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
        """Raise what keeps new work from being taken: a fork, a shutdown, or a local cluster that is down."""
        if self._forked():
            raise ForkedCluster(self._owner)
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
                    source = SubmitSource(self.shipper.submitted)
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
            self._replay(lane, program.queue)
        self.open(lane)
        source.start()
        return lane

    def record(self, batch_id: str) -> Record:
        """The record of a named batch."""
        return Record(self.redis, self._keyring, batch_id, self.settings.batch_ttl_seconds)

    def attach(self, batch_id: str, sink: Sink) -> tuple[Lane, str]:
        """Open the lane of a batch that another client sent whole; gives it with the name of its function."""
        with typed_errors(self.settings):
            lane, function = attached_lane(self.record(batch_id), sink)
            self.stream.replay(lane)
        lane.check_finished()
        self.open(lane)
        return lane, function

    def begin(self, record: Record, identity: Identity, *, accept_changes: bool) -> bool:
        """Write down a named batch before its first item leaves; says whether it had been begun before."""
        with typed_errors(self.settings):
            return record.begin(identity, accept_changes=accept_changes)

    def detach(self, lane: Lane, timeout: float | None = None) -> None:
        """Send a named batch whole, leave it to the workers, and let go of it here.

        Raises `SettingsError` for a batch without an id, `TimeoutError`, or what keeps it from being sent.
        """
        record = lane.record
        if record is None:
            raise SettingsError("Only a batch with an id can be detached: nobody could find it again. Give it one.")
        lane.handed_over = True
        self.dispatcher.wake()
        self._await_sent(lane, record, timeout)
        with typed_errors(self.settings):
            record.hand_over()
        lane.fail(BatchDetached(lane.id))

    def _await_sent(self, lane: Lane, record: Record, timeout: float | None) -> None:
        deadline = None if timeout is None else monotonic() + timeout
        pause = threading.Event()
        while record.total is None:
            self._note_complete(lane)
            if lane.unsent or (lane.ended.is_set() and not lane.sent_whole):
                raise lane.failure or lane.stop_error or BatchIncomplete(lane.id, lane.ledger.open_chunks)
            if deadline is not None and monotonic() > deadline:
                raise TimeoutError(f"The batch {lane.id!r} was not sent whole within {timeout:g} s; it goes on here.")
            pause.wait(DETACH_POLL_SECONDS)

    def delete(self, lane: Lane) -> None:
        """Delete all that Redis holds of a batch; one that is not done is cancelled first."""
        if not lane.ended.is_set():
            self.cancel(lane)
        with typed_errors(self.settings):
            self._tidier.delete(lane)

    def _replay(self, lane: Lane, queue: str) -> None:
        """Take in what an earlier run of a named batch has left: outcomes, and messages under way.

        Those for another fleet do not count: to run the batch on this one may be the cure for a fleet that is gone.
        """
        lane.ledger.expected_items = lane.source.total or sys.maxsize
        with typed_errors(self.settings):
            lane.covered = self._auditor.in_flight([lane.id], [queue])[lane.id]
            self.stream.replay(lane)

    def more_room(self, lane: Lane) -> None:
        """A reader has consumed: the input may be pulled further."""
        lane.source.more_room()
        self.dispatcher.wake()

    @property
    def place(self) -> str:
        return redacted(self.settings.url or "")

    def cancel(self, lane: Lane, *, give_up_sent: bool = True, terminate: bool = False) -> None:
        """Stop a lane here and, by its flag, on every worker; with `terminate`, kill what runs there."""
        ended = lane.ended.is_set()
        if ended and not (terminate and lane.stop_error is not None):  # what was cancelled may still run
            return
        lane.stop(BatchCancelled(lane.id), give_up_sent=give_up_sent)
        if terminate:
            lane.flag_wanted = keys.TERMINATED
        self._tidier.note(lane)
        if ended:
            self._tidier.forget(lane)
        self._tidier.work()

    def _forked(self) -> bool:
        """Whether this is a child that the session's process forked: its threads are not here, nothing here is ours."""
        return os.getpid() != self._owner

    def begin_close(self, *, cancel: bool) -> None:
        """Take no new work; close once what is out has ended, or at once with `cancel`."""
        if self._forked():
            return
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
        if all(lane.ended.is_set() for lane in lanes):
            self._idle.set()  # the reader would say so, but a server that hangs holds it up
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
        if self._forked():
            return
        try:
            self._idle.wait()
        finally:
            self.close()

    def drain_in_background(self) -> None:
        threading.Thread(target=self.drain, name="manycore-close", daemon=True).start()

    def close(self) -> None:
        """Close now; whatever is still out is given up. Safe to call again, and from any thread but the reader's."""
        if self._forked():
            return
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
                    self._tidier.note(lane)
                lane.fail(BatchCancelled(lane.id))
        self.dispatcher.close()
        self.reader.close()
        for lane in lanes:
            self._forget(lane)
        self._tidier.close(keys.owned_by(f"session-{self.id}"))
        self.redis.close()
        self._brief.close()
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
            self._tidier.note(lane)
            if lane.ended.is_set():
                self._forget(lane)
        self._tidier.work()
        if self._closing and not self._lanes:
            self._idle.set()
            return
        self._look_after(list(self._lanes))

    def _note_complete(self, lane: Lane) -> None:
        """Once a named batch has been sent whole, others may finish it."""
        record = lane.record
        if record is not None and record.total is None and lane.sent_whole:
            try:
                record.complete(lane.ledger.sent_items)
            except FULL:
                logger.debug("That batch %s was sent whole is noted once there is room", lane.id)

    def _look_after(self, lanes: list[Lane]) -> None:
        try:
            self._watch.look(lanes)
            self._tidier.refresh(lanes)
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
        self._tidier.forget(lane)
