"""Begins, goes on with, hands over and deletes the batches of `map` and `batch`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TypeVar

import redis

from manycore.client.checks import check_count, check_id_type
from manycore.client.dispatcher import Dispatcher
from manycore.client.dropped import Dropped
from manycore.client.halt import Halt
from manycore.client.housekeeper import Housekeeper, mark_complete
from manycore.client.inputs import Input
from manycore.client.lane import Lane
from manycore.client.logs import BatchLogs
from manycore.client.pace import Pace
from manycore.client.passage import Sink
from manycore.client.raised import raise_again
from manycore.client.shielded import shielded
from manycore.client.sinks import OrderedInbox
from manycore.client.sources import ReadySource, SentSource
from manycore.client.stream import OutcomeStream
from manycore.client.submits import Opener
from manycore.client.tidy import Tidier
from manycore.errors import BatchCancelled, BatchDetached, BatchIncomplete, SettingsError, UnknownBatch
from manycore.protocol import account, keys
from manycore.protocol.account import Account, Accounts
from manycore.protocol.again import Resender
from manycore.protocol.audit import Auditor
from manycore.protocol.broker import typed_errors
from manycore.protocol.custody import Custody
from manycore.protocol.message import ItemOptions
from manycore.protocol.parcel import Program
from manycore.protocol.publisher import Publisher
from manycore.protocol.record import Identity, Record
from manycore.protocol.settings import Settings
from manycore.protocol.signing import Keyring

T = TypeVar("T")
DETACH_POLL_SECONDS = 0.02
AFTER_SHUTDOWN = "cannot schedule new futures after shutdown"
"""The standard library's words."""


class Batches:
    """Of one session. Each method runs in its caller's thread."""

    def __init__(
        self,
        opener: Opener,
        client: redis.Redis,
        keyring: Keyring,
        settings: Settings,
        dispatcher: Dispatcher,
        housekeeper: Housekeeper,
        tidier: Tidier,
        publisher: Publisher,
        stream: Callable[[], OutcomeStream],
    ) -> None:
        """`stream` makes one for the thread that calls: the reader's is the reader's."""
        self._opener = opener
        self._redis = client
        self._keyring = keyring
        self._settings = settings
        self._dispatcher = dispatcher
        self._housekeeper = housekeeper
        self._tidier = tidier
        self._stream = stream
        self._pace = Pace()
        self._resender = Resender(client, publisher, keyring, settings.batch_ttl_seconds)

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
        give: Callable[[Lane], T],
    ) -> T:
        """Open the lane of a `map` (`ordered`) or a `batch`; with a `record`, of one that outlives its client.

        `give` makes of it what its caller gets.
        """

        def limit() -> int:
            return lane.window.consumed + (feed.buffersize or 0)

        source = feed.source(program, options, wake=self._dispatcher.wake, limit=limit, is_short=self._pace.is_short)
        lane = Lane(
            batch_id,
            source,
            sink,
            halt=halt,
            record=record,
            ordered=ordered,
            queue=program.queue,
            observer=self._opener,
        )
        try:
            if resumed:
                self._replay(lane)
            if not lane.over:  # what an earlier run has left may have halted it
                self._opener.open(lane)
                source.start()
            given = give(lane)
            if not (ordered or record):
                lane.reader = Dropped(given, self._housekeeper.later, partial(self.let_go, lane))
            return given
        except BaseException as exc:  # Ctrl-C: nobody has it to read, or to cancel
            shielded(partial(lane.fail, exc))
            raise

    def over(self, lane: Lane) -> None:
        """Learn from a lane that has come to its end."""
        source, seconds = lane.source, lane.ledger.seconds_per_item
        if isinstance(source, ReadySource) and lane.state == "ended" and seconds is not None:
            self._pace.note(source.program, seconds, len(lane.ledger.answered))

    def record(self, batch_id: str) -> Record:
        """The record of a named batch."""
        return Record(self._redis, self._keyring, batch_id, self._settings.batch_ttl_seconds)

    def begin(self, record: Record, identity: Identity, *, accept_changes: bool) -> bool:
        """Write down a named batch before its first item leaves; says whether it had been begun before."""
        self._housekeeper.begins(record.batch)
        with typed_errors(self._settings):
            return record.begin(identity, accept_changes=accept_changes)

    def attach(self, batch_id: str, sink: Sink) -> tuple[Lane, str]:
        """Open the lane of a batch that another client sent whole; gives it with the name of its function.

        Raises `UnknownBatch`, or `BatchIncomplete` if its client has not sent all of it.
        """
        check_id_type(batch_id)
        record = self.record(batch_id)
        with typed_errors(self._settings):
            try:
                function, parcels = record.attach()
            except BatchIncomplete:  # it may be one of ours, whose end was told before its record says so
                if not self._housekeeper.caught_up():
                    raise
                function, parcels = record.attach()
            total = record.total or 0
            custody = Custody.of(parcels, total)
            lane = Lane(batch_id, SentSource(total), sink, record=record, custody=custody, observer=self._opener)
            self._stream().replay(lane)
        lane.check_finished()
        if not lane.over:
            self._opener.open(lane)
        return lane, function

    def detach(self, lane: Lane, timeout: float | None = None) -> None:
        """Send a named batch whole, leave it to the workers, and let go of it here.

        Raises `SettingsError` for one without an id, `UnknownBatch` if it is deleted, `TimeoutError`, or why it stays.
        """
        record = lane.record
        if record is None:
            raise SettingsError("Only a batch with an id can be detached: nobody could find it again. Give it one.")
        lane.window.open_wide()
        self._dispatcher.wake()
        try:
            self._await_sent(lane, record, timeout)
        except BaseException:
            lane.window.open_wide(False)  # it goes on here, and an endless input with it
            raise
        with typed_errors(self._settings):
            record.hand_over()
        shielded(lambda: lane.fail(BatchDetached(lane.id)))

    def settle(self, lane: Lane) -> None:
        """Wait until its record says that a named batch that is done was sent whole, but not for long."""
        if lane.record is not None and lane.record.total is None and lane.sent_whole:
            self._housekeeper.later(lambda: mark_complete(lane))
            self._housekeeper.caught_up()

    def cancel(self, lane: Lane, *, terminate: bool = False) -> None:
        """Stop a lane here and, by its flag, on every worker; with `terminate`, kill what runs there."""
        held = self._hold_of(lane)
        if held is not None:
            self._cancel(held, keys.TERMINATED if terminate else keys.GIVEN_UP)

    def _cancel(self, lane: Lane, flag: bytes) -> None:
        if not lane.over:
            shielded(lambda: lane.stop(BatchCancelled(lane.id), give_up_sent=True, flag=flag))
        elif _goes_on(lane) or (flag == keys.TERMINATED and lane.stop_error is not None):  # it may still run
            self._housekeeper.later(lambda: self._tidier.flag(lane, flag))

    def let_go(self, lane: Lane) -> None:
        """End a `map` that may not be read any further, as the standard library does, or a batch that cannot.

        One that nobody has begun to read is worked through, and so is an input in memory; the results stay readable.
        What is pulled as it is read, or held back by a `buffersize`, would never end: no more of it is taken.
        """
        is_read_lazily = lane.window.has_reader and not isinstance(lane.source, ReadySource)
        if not (lane.source.held_back or is_read_lazily):
            lane.window.stop_holding()
        else:
            lane.source.cut_off(RuntimeError(AFTER_SHUTDOWN))
            lane.check_finished()

    def delete(self, lane: Lane) -> None:
        """Delete all that Redis holds of a batch; one that is not done is cancelled first."""
        held = self._hold_of(lane)
        if held is not None:
            self._delete(held)

    def _delete(self, lane: Lane) -> None:
        self._cancel(lane, keys.GIVEN_UP)
        if lane.stop_error is not None:  # its messages may still come up, and must find the flag
            self._housekeeper.later(lambda: self._tidier.drain(lane, account_too=True))
            return
        with typed_errors(self._settings):
            self.record(lane.id).erase(self._redis)
            account.remove(self._redis, lane.id)
        self._housekeeper.deleted(lane.id)
        self._housekeeper.later(lambda: account.remove(self._redis, lane.id))  # what was told meanwhile
        self._housekeeper.later(lambda: self._tidier.deleted(lane.id))

    def logs(self, lane: Lane) -> BatchLogs:
        """What the items of a batch write."""
        return BatchLogs(self._redis, self._settings, lane.id)

    def accounts(self, limit: int) -> list[Account]:
        """What is known of all batches, whoever began them; the newest first."""
        limit = check_count("limit", limit)
        with typed_errors(self._settings):
            return Accounts(self._redis).newest(limit)

    def rerun_failed(self, lane: Lane, sink: Sink) -> tuple[Lane, str]:
        """Run the failed items of a named batch again, as a new batch; gives what `attach` does.

        Raises `SettingsError` for a batch without an id, `BatchIncomplete` for one that is being sent, or
        `NotRetryable`.
        """
        if lane.record is None:
            raise SettingsError(
                "Only of a batch with an id can items run again: Redis keeps their arguments. Give it one."
            )
        with typed_errors(self._settings):
            mark_complete(lane)
            retried = self._resender.rerun_failed(lane.id)
        self._tidier.shares_objects(lane.id, retried.batch)  # before what is answered of it lets go of them again
        return self.attach(retried.batch, sink)

    def _hold_of(self, lane: Lane) -> Lane | None:
        """By what a batch can be steered that goes on without its lane: by that of one who attaches to it.

        None for one that was deleted.
        """
        if not _goes_on(lane):
            return lane
        inbox = OrderedInbox()
        inbox.close()
        try:
            return self.attach(lane.id, inbox)[0]
        except UnknownBatch:
            return None
        except BatchIncomplete:
            return lane

    def _await_sent(self, lane: Lane, record: Record, timeout: float | None) -> None:
        deadline = None if timeout is None else monotonic() + timeout
        pause = threading.Event()
        while record.total is None:
            with typed_errors(self._settings):
                mark_complete(lane)
            ended = lane.source.error or lane.failure or lane.stop_error
            if lane.unsent or lane.source.error is not None or (lane.over and not lane.sent_whole):
                raise_again(ended or BatchIncomplete(lane.id, lane.ledger.open_chunks))
            if deadline is not None and monotonic() > deadline:
                raise TimeoutError(f"The batch {lane.id!r} was not sent whole within {timeout:g} s; it goes on here.")
            pause.wait(DETACH_POLL_SECONDS)

    def _replay(self, lane: Lane) -> None:
        """Take in what an earlier run of a named batch has left: outcomes, and messages under way.

        Those for another fleet do not count: to run the batch on this one may be the cure for a fleet that is gone.
        """
        lane.ledger.expected_items = lane.source.total or sys.maxsize
        with typed_errors(self._settings):
            lane.custody.covered = Auditor(self._redis, self._keyring).in_flight([lane.id], [lane.queue])[lane.id]
            self._stream().replay(lane, again=True)


def _goes_on(lane: Lane) -> bool:
    """Whether workers may go on with it: a named batch that was handed over, or given up here."""
    return lane.state == "failed" and not lane.ephemeral
