"""A client's housekeeping, on a thread and a clock of its own, so that sending and reading wait for none of it.

1. Tells the workers of stopped batches, and deletes what nobody needs (`tidy`).
2. Notes named batches that were sent whole; learns of those that another client has cancelled or deleted.
3. Sends again what got lost, warns of work without workers, notices a local cluster that is down (`watch`).
4. Keeps the accounts of its batches (`bookkeeper`).
5. Gives up what nobody will answer: without workers, a batch that is being stopped would wait for ever.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Protocol

import redis

from manycore.client.bookkeeper import Bookkeeper
from manycore.client.foreignhands import ForeignHands
from manycore.client.lane import Lane
from manycore.client.lookout import Lookout
from manycore.client.tidy import Tidier
from manycore.errors import BatchCancelled, LocalClusterFailed
from manycore.protocol import keys
from manycore.protocol.broker import AWAY, BRIEF_SECONDS, FULL
from manycore.protocol.roster import Roster
from manycore.protocol.settings import Settings

logger = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
IDLE_SECONDS = 1.0
"""How often it looks around with batches under way, and without."""
LINGER_SECONDS = 0.05
"""How long what is left to do of a batch that has ended waits for others, as where one small `map` follows another."""
Job = Callable[[], object]


class Household(Protocol):
    """What is looked after."""

    def lanes(self) -> list[Lane]: ...

    def check_threads(self) -> None:
        """End what waits for a thread that is gone."""

    def break_off(self, error: BaseException) -> None:
        """Nothing can go on: `error` ends all there is, and all that comes."""


class Housekeeper:
    """Owns the thread. `later` may be called from anywhere: it only enqueues."""

    def __init__(
        self,
        household: Household,
        client: redis.Redis,
        tidier: Tidier,
        lookout: Lookout,
        roster: Roster,
        bookkeeper: Bookkeeper,
        settings: Settings,
    ) -> None:
        self._household = household
        self._foreign_hands = ForeignHands(client)
        self._tidier = tidier
        self._lookout = lookout
        self._roster = roster
        self._bookkeeper = bookkeeper
        self._settings = settings
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self.later: Callable[[Job], object] = self._jobs.put
        """Does a job soon. One step of C, for finalizers and signal handlers."""
        self._closed = False
        self._incomplete: set[Lane] = set()
        self._ended: deque[tuple[Lane, float]] = deque()
        self._settles_at = float("inf")
        self._next_look = 0.0
        self._next_question = 0.0
        self._thread = threading.Thread(target=self._run, name="manycore-housekeeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def over(self, lane: Lane) -> None:
        """A lane has come to its end: nothing of it may stay behind, and its record must say so."""
        if not lane.ephemeral or lane.state != "ended" or lane.stop_error is not None:
            self._jobs.put(lambda: self._end(lane, monotonic()))
            return
        self._ended.append((lane, monotonic()))  # nobody waits for what is left to do: several of them together
        if len(self._ended) == 1:
            self._jobs.put(self._linger)

    def catch_up(self) -> None:
        """Do soon what is left to do of batches that are over."""
        self._jobs.put(self._settle)

    def begins(self, batch: str) -> None:
        """A named batch begins, perhaps again: wait until nothing of its run before can meet it, but not for long."""
        self._jobs.put(lambda: self._tidier.spare(batch))
        self._jobs.put(lambda: self._bookkeeper.remember(batch))
        self._next_question = 0.0  # who looks knows the server that has its record, from the first look on
        self.caught_up()

    def deleted(self, batch: str) -> None:
        """A batch is deleted: the end of its lanes, which may be told after that, must not bring it back."""
        self._jobs.put(lambda: self._bookkeeper.forget(batch))

    def caught_up(self) -> bool:
        """Wait until what was asked for before is done, not for long; says whether it is."""
        done = threading.Event()
        self.catch_up()
        self.later(self._complete)
        self.later(done.set)
        return done.wait(BRIEF_SECONDS)

    def close(self) -> None:
        """Do what can still be done, and end."""
        self._closed = True
        self._jobs.put(None)
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._thread.join(3 * BRIEF_SECONDS)

    def _run(self) -> None:
        while not self._closed or not self._jobs.empty():
            self._try(self._do_next)
            if monotonic() >= self._next_look and not self._closed:
                self._try(self._look)  # whatever became of the other: who waits for a server that is gone must learn it

    def _try(self, duty: Callable[[], None]) -> None:
        try:
            duty()
        except (*AWAY, FULL):
            logger.debug("What is to be looked after waits for the server", exc_info=True)
        except BaseException:  # the boundary of the thread: one duty that fails must not end the others
            logger.exception("A duty of the housekeeper failed")

    def _linger(self) -> None:
        self._settles_at = monotonic() + LINGER_SECONDS

    def _settle(self) -> None:
        """Do what is left to do of the batches that have ended."""
        self._settles_at = float("inf")
        while self._ended:
            self._end(*self._ended.popleft())

    def _end(self, lane: Lane, ended_at: float) -> None:
        self._incomplete.add(lane)
        self._bookkeeper.over(lane, ended_at)
        self._tidier.forget(lane)

    def _do_next(self) -> None:
        """Do the jobs that are there, or come until the next look."""
        try:
            job = self._jobs.get(timeout=max(0.0, min(self._next_look, self._settles_at) - monotonic()))
            while job is not None:
                job()
                job = self._jobs.get_nowait()
        except Empty:
            return
        finally:
            if monotonic() >= self._settles_at:
                self._settle()
            self._tidier.work()
            self._complete()
            self._bookkeeper.work()

    def _complete(self) -> None:
        """Note the batches that are over as sent whole; what the server does not take now is tried again."""
        for lane in list(self._incomplete):
            mark_complete(lane)
            if lane.record is None or lane.record.total is not None or not lane.sent_whole:
                self._incomplete.discard(lane)

    def _look(self) -> None:
        self._settle()
        lanes = self._household.lanes()
        self._next_look = monotonic() + (LOOK_SECONDS if any(map(_is_under_way, lanes)) else IDLE_SECONDS)
        self._household.check_threads()
        try:
            self._lookout.check_local()
        except LocalClusterFailed as exc:
            self._household.break_off(exc)
            return
        for lane in lanes:
            mark_complete(lane)
            self._give_up_unanswerable(lane)
        self._ask_for_foreign_hands([lane for lane in lanes if not lane.over])
        self._lookout.look(lanes)
        self._tidier.refresh(lanes)
        self._bookkeeper.look(lanes)

    def _give_up_unanswerable(self, lane: Lane) -> None:
        """Without a worker, nobody says which of the items that were sent did not run."""
        if lane.state == "stopping" and lane.stop_error is not None and not self._roster.workers():
            lane.stop(lane.stop_error, give_up_sent=True)

    def _ask_for_foreign_hands(self, lanes: list[Lane]) -> None:
        """End the batches that were cancelled or deleted elsewhere: workers answer nothing more of them."""
        if not lanes or monotonic() < self._next_question:
            return
        self._next_question = monotonic() + self._settings.audit_seconds / 2
        for lane, flag in self._foreign_hands.ended(lanes):
            if flag is not None:
                self._tidier.flagged(lane)  # first: what follows may be its end
            lane.stop(BatchCancelled(lane.id), give_up_sent=flag != keys.STOPPING, flag=None)


def _is_under_way(lane: Lane) -> bool:
    """Whether there is anything to look after: the lane of `submit` stays open when all its calls are answered."""
    return lane.state != "open" or lane.total is not None or not lane.ledger.complete or lane.source.ready()


def mark_complete(lane: Lane) -> None:
    """Once a named batch has been sent whole, others may finish it."""
    record = lane.record
    if record is not None and record.total is None and lane.sent_whole:
        try:
            record.complete(lane.ledger.sent_items)
        except FULL:
            logger.debug("That batch %s was sent whole is noted once there is room", lane.id)
