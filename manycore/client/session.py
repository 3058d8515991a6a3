"""One client's connection to one cluster: its threads, and the batches that are under way.

`Cluster` is the public face. Sending (`dispatcher`), reading (`reader`) and looking after things (`housekeeper`) have a
thread each. A session closes by itself when it was told to and its last batch has ended, so a cluster that nobody holds
any more does not lose work that is out.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import redis

from manycore.client.batches import AFTER_SHUTDOWN, Batches
from manycore.client.bookkeeper import Bookkeeper
from manycore.client.callbacks import CALLBACKS
from manycore.client.change import Change
from manycore.client.code import Code, CodeShipper
from manycore.client.dispatcher import Dispatcher
from manycore.client.ending import at_end
from manycore.client.functions import FunctionShipper
from manycore.client.housekeeper import Housekeeper
from manycore.client.initializer import Initializer
from manycore.client.lane import Lane
from manycore.client.locks import Rank, RankedLock
from manycore.client.lookout import Lookout
from manycore.client.objects import Objects
from manycore.client.packages import Packages
from manycore.client.raised import raise_again
from manycore.client.reader import Reader
from manycore.client.sender import Sender
from manycore.client.shielded import shielded
from manycore.client.stream import OutcomeStream
from manycore.client.submits import Submits
from manycore.client.tidy import Tidier
from manycore.client.waiting import SubmitSource
from manycore.errors import BatchCancelled, ClientBroken, ForkedCluster
from manycore.local.cluster import LocalCluster
from manycore.protocol import keys
from manycore.protocol.audit import Auditor
from manycore.protocol.broker import BRIEF_SECONDS, QUEUES, check_server_kind, connect, typed_errors
from manycore.protocol.ledger import Sent
from manycore.protocol.publisher import Publisher
from manycore.protocol.references import References
from manycore.protocol.refs import Ref
from manycore.protocol.roster import Roster
from manycore.protocol.settings import Settings, redacted
from manycore.protocol.wire import Wire

T = TypeVar("T")


class Session:
    """Connects at construction. Raises `ConnectionFailed`, `AuthenticationFailed` or `SigningKeyMismatch`."""

    def __init__(
        self,
        settings: Settings,
        local: LocalCluster | None = None,
        code: Code | None = None,
        initializer: Initializer | None = None,
    ) -> None:
        self.settings = settings
        self.initializer = initializer
        self.local = local
        self.id = secrets.token_hex(6)
        self._control = f"session-{self.id}"
        self._owner = os.getpid()
        self._ended = Change()
        self._idle = self._closing = self._closed = False
        self._close_lock = threading.Lock()
        self._broken: BaseException | None = None
        self._lanes: set[Lane] = set()
        self._lock = RankedLock(Rank.SESSION)
        self._connect(local)
        self._compose(code)
        # As the standard library's executors do: a program that ends finishes what it has submitted.
        self._ended_already = at_end(self._finish_at_exit)
        self.dispatcher.start()
        self.reader.start(self.dispatcher.wake)
        self.housekeeper.start()  # last: it looks whether the others live

    def _connect(self, local: LocalCluster | None) -> None:
        settings = self.settings
        self._keyring = settings.keyring()
        self.redis = connect(settings)
        with typed_errors(settings):
            self.redis.ping()
            if local is None:
                check_server_kind(self.redis, settings)
        self._brief = connect(settings, BRIEF_SECONDS)
        self.objects = Objects(local.home if local else None, self.redis, self._keyring, settings, self._control)
        self.roster = Roster(self.redis, self._keyring, expected_slots=local.slots if local else None)
        self.roster.workers()
        self._publisher = Publisher(self.redis, self._keyring, Wire(self.redis), ttl_seconds=settings.batch_ttl_seconds)

    def _compose(self, code: Code | None) -> None:
        settings, keyring = self.settings, self._keyring
        compared = settings.check_packages and self.local is None  # that one has our own packages
        self.shipper = FunctionShipper(
            keyring,
            self.roster,
            settings,
            CodeShipper(keyring, code),
            self.objects,
            only_fleet=QUEUES[0] if self.local is not None else None,
            initializer=self.initializer,
            packages=Packages(self.redis, self.roster) if compared else None,
        )
        stream = partial(OutcomeStream, self.redis, keyring, self.objects)
        self.stream = stream()
        self.reader = Reader(Wire(self.redis), self._brief, self.stream, settings, self._control)
        references = References(self.redis, settings.batch_ttl_seconds, keeper=self._control)
        sender = Sender(self.redis, self._publisher, references, settings, self.local.home.id if self.local else None)
        self.dispatcher = Dispatcher(sender, self.roster, settings, self.objects, self.reader.wake)
        auditor = Auditor(self._brief, keyring)
        lookout = Lookout(auditor, sender, self.roster, settings, self.local)
        self._tidier = tidier = Tidier(
            self._brief, auditor, lambda batch: self.batches.record(batch), references, self.objects, settings
        )
        self.housekeeper = Housekeeper(
            self, self._brief, self._tidier, lookout, self.roster, Bookkeeper(self._brief, settings), settings
        )
        self.submits = Submits(self, self.shipper)
        self.batches = Batches(
            self, self.redis, keyring, settings, self.dispatcher, self.housekeeper, tidier, self._publisher, stream
        )

    def check_open(self) -> None:
        """Raise what keeps new work from being taken: a fork, a shutdown, or a client or local cluster that is down."""
        self.check_owner()
        if self._broken is not None:
            raise_again(self._broken)
        if self._closing:
            raise RuntimeError(AFTER_SHUTDOWN)

    def put(self, value: T) -> Ref[T]:
        """Keep a large object."""
        self.check_open()
        return self.objects.put(value, self.roster.other_python())

    def check_owner(self) -> None:
        """Raise `ForkedCluster` in a child that this process has forked: nobody there reads outcomes."""
        if self._forked():
            raise ForkedCluster(self._owner)

    def open(self, lane: Lane) -> None:
        """Let a lane's items go. Raises `RuntimeError` when the session is closing."""
        self.check_owner()
        try:
            with self._lock:
                self.check_open()
                self._lanes.add(lane)
            self.dispatcher.add(lane, announced=self.reader.add(lane))
        except BaseException as exc:  # Ctrl-C: it would be in nobody's hands, and be waited for
            shielded(partial(lane.fail, exc))
            raise
        if lane.over:  # already: who ended it could not let go of what it was not yet in
            self.dispatcher.remove(lane)
            self.reader.remove(lane)

    def lanes(self) -> list[Lane]:
        """Those that are not over."""
        with self._lock:
            return list(self._lanes)

    def stopped(self, lane: Lane, flag: bytes, abandoned: Sequence[Sent]) -> None:
        """A lane was stopped: its workers have to know."""
        self.housekeeper.later(lambda: self._tidier.flag(lane, flag, abandoned))

    def over(self, lane: Lane) -> None:
        """A lane has come to its end: nothing of it is looked after any more."""
        lane.reader = None  # which knows the lane: a circle would keep its large arguments until it is collected
        self.dispatcher.remove(lane)
        self.reader.remove(lane)
        if lane.failure is not None and lane.ephemeral:
            self.housekeeper.later(lambda: self._tidier.flag(lane, keys.GIVEN_UP))
        self.housekeeper.over(lane)
        self.batches.over(lane)
        with self._lock:
            self._lanes.discard(lane)
            self._idle |= self._closing and not self._lanes
        self._ended.tell()

    def check_threads(self) -> None:
        """End what waits for a thread that is gone, by an exception raised in it from outside; relieve one held up."""
        self.reader.relieve()
        for thread, duty in ((self.dispatcher, "sends"), (self.reader, "reads")):
            if not thread.alive and not self._closed:
                self.break_off(ClientBroken(f"the thread that {duty} has ended"))

    def break_off(self, error: BaseException) -> None:
        """Nothing can go on: `error` ends all there is, and all that comes."""
        self._broken = self._broken or error
        for lane in self.lanes():
            lane.fail(error)

    def more_room(self, lane: Lane) -> None:
        """A reader has consumed: the input may be pulled further."""
        lane.source.more_room()
        self.dispatcher.wake()

    @property
    def place(self) -> str:
        return redacted(self.settings.url or "")

    def _forked(self) -> bool:
        """Whether this is a child that the session's process forked: its threads are not here, nothing here is ours."""
        return os.getpid() != self._owner

    def release(self) -> None:
        """Nobody holds the cluster any more: finish what is out, then close. From a finalizer, so it only enqueues."""
        if not self._forked():
            self.housekeeper.later(self._release)

    def _release(self) -> None:
        self.begin_close(cancel=False)
        self.drain_in_background()

    def begin_close(self, *, cancel: bool) -> None:
        """Take no new work; close once what is out has ended, or at once with `cancel`."""
        if not self._forked():
            shielded(lambda: self._begin_close(cancel=cancel))

    def _begin_close(self, *, cancel: bool) -> None:
        with self._lock:
            self._closing = True
            lanes = list(self._lanes)
        self.submits.end(cancel=cancel)
        for lane in lanes:
            if isinstance(lane.source, SubmitSource):
                continue
            if cancel:
                self.batches.cancel(lane)
            elif lane.ephemeral:
                self.batches.let_go(lane)
        if all(lane.over for lane in lanes):
            self._idle = True
            self._ended.tell()
        self.dispatcher.wake()

    def drain(self) -> None:
        """Close once what is out has ended; interrupted (Ctrl-C), give it up and close at once."""
        if self._forked():
            return
        try:
            while not self._ended.wait_for(lambda: self._idle, 1.0):
                self._check_housekeeper()
        finally:
            self.close()

    def drain_in_background(self) -> None:
        with contextlib.suppress(RuntimeError):  # Python ends: whatever is out is waited for then
            threading.Thread(target=self.drain, name="manycore-close", daemon=True).start()

    def close(self) -> None:
        """Close now; whatever is still out is given up. Safe to call again, and from any thread but our own."""
        if not self._forked():
            shielded(self._close)

    def _close(self) -> None:
        with self._close_lock:
            if not self._closed:
                self._closed = True
                self._close_all()

    def _close_all(self) -> None:
        self._ended_already()
        self._closing = True
        for lane in self.lanes():
            lane.fail(BatchCancelled(lane.id))
        self.dispatcher.close()
        self.reader.close()
        self.housekeeper.catch_up()
        self.housekeeper.later(lambda: self._tidier.end(self._control))
        self.housekeeper.close()
        self.shipper.close()
        with contextlib.suppress(redis.RedisError):  # then the TTL does it
            self.objects.close()
        self.redis.close()
        self._brief.close()
        if self.local is not None:
            self.local.stop()

    def _check_housekeeper(self) -> None:
        """The housekeeper looks after the other threads; who waits looks after the housekeeper."""
        if not self.housekeeper.alive and not self._closed:
            self.break_off(ClientBroken("the thread that looks after lost work has ended"))

    def _finish_at_exit(self) -> None:
        with contextlib.suppress(KeyboardInterrupt), CALLBACKS.until_interrupted():
            self.begin_close(cancel=False)
            self.drain()
            CALLBACKS.drain_at_exit()
