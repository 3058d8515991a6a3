"""Sends items: one thread takes the next cut of each lane in turn and publishes it as chunks.

1. Coalesces: what was submitted while the last publish was under way leaves together; nobody waits for a timer.
2. Serves lanes round robin, each within its window of unfinished chunks: no batch starves another.
3. Rides out a lost connection and a full server, for a while; sending twice is safe, outcomes are deduplicated.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from manycore.client import chunking, heldup
from manycore.client.change import Change
from manycore.client.heldup import HeldUp
from manycore.client.lane import Lane
from manycore.client.locks import Rank, RankedLock
from manycore.client.objects import Objects
from manycore.client.passage import Cut
from manycore.client.sender import Sender
from manycore.client.sharing import Sharing
from manycore.errors import ConnectionFailed, ManycoreError, ObjectStoreFull, ServerFull
from manycore.protocol import packing
from manycore.protocol.broker import BRIEF_SECONDS, RECONNECT_SECONDS
from manycore.protocol.packing import Run
from manycore.protocol.parcel import Parcel
from manycore.protocol.patience import Patience
from manycore.protocol.record import covers
from manycore.protocol.refs import noted
from manycore.protocol.roster import Roster
from manycore.protocol.settings import Settings

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
"""How often it looks although nobody has woken it."""


class Dispatcher:
    """Owns the sending thread. `wake` after anything that may let a lane send; `close` ends it.

    `announce` tells the reader of new lanes: from this thread, for it is a round trip, and `submit` makes none.
    """

    def __init__(
        self, sender: Sender, roster: Roster, settings: Settings, objects: Objects, announce: Callable[[], object]
    ) -> None:
        self._sender = sender
        self._objects = objects
        self._sharing = Sharing(objects)
        self._held_up = HeldUp(objects, settings.connection_seconds)
        self._roster = roster
        self._settings = settings
        self._announce = announce
        self._lanes: tuple[Lane, ...] = ()
        self._has_new = False
        self._turn = 0
        self._lock = RankedLock(Rank.DISPATCHER)
        self._changed = Change()
        self._closed = False
        self._ended = threading.Event()
        self._patience = Patience(settings, self._pause)
        self._thread = threading.Thread(target=self._run, name="manycore-dispatch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def add(self, lane: Lane, *, announced: bool = False) -> None:
        """Serve a lane, too; whose stream is being read already is `announced`."""
        with self._lock:
            self._lanes = (*self._lanes, lane)
            self._has_new |= not announced
        self._changed.tell()

    def remove(self, lane: Lane) -> None:
        with self._lock:
            self._lanes = tuple(other for other in self._lanes if other is not lane)
        self._sharing.forget(lane)
        self._held_up.forget(lane)

    def wake(self) -> None:
        """Let the thread look again, if there is anything for it. Cheap while it is busy: it looks before it waits."""
        if self._changed.awaited and self._has_work():
            self._changed.tell()

    def close(self) -> None:
        self._closed = True
        self._changed.tell()
        self._ended.set()
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._thread.join(BRIEF_SECONDS)

    def _run(self) -> None:
        while not self._closed:
            try:
                if not self._serve():
                    self._changed.wait_for(self._has_work, heldup.LOOK_SECONDS if self._held_up else LOOK_SECONDS)
            except BaseException:  # the boundary of the thread: whatever it was, the lanes are still there
                logger.exception("Sending was interrupted; it goes on")
                self._ended.wait(RECONNECT_SECONDS)

    def _serve(self) -> bool:
        """Let one lane send, the next in turn that can; False if none can. New ones are announced afterwards: no
        outcome comes before that, and workers can begin meanwhile."""
        sent = self._serve_next()
        if self._has_new:
            self._has_new = False
            self._announce()
        return sent

    def _serve_next(self) -> bool:
        lanes = self._lanes
        for step in range(len(lanes)):
            lane = lanes[(self._turn + step) % len(lanes)]
            if lane.finishable:
                lane.check_finished()
            elif self._can_send(lane):
                self._turn += step + 1
                self._send_next(lane)
                return True
        return False

    def _has_work(self) -> bool:
        return self._closed or self._has_new or any(lane.finishable or self._can_send(lane) for lane in self._lanes)

    def _can_send(self, lane: Lane) -> bool:
        if lane in self._held_up:
            return self._held_up.may_go(lane)
        return lane.source.ready() and lane.ready(self._roster.last_slots(lane.queue))

    def _send_next(self, lane: Lane) -> None:
        try:
            cut = self._held_up.take(lane) or lane.next_cut(self._roster.slots(lane.queue))
            if cut is not None and not lane.pass_over(cut):
                self._send_cut(lane, cut)
        except BaseException as exc:  # the lane ends with it, the others go on; what it pickles may raise anything
            if not isinstance(exc, ConnectionFailed):
                logger.debug("Batch %s cannot be sent on", lane.id, exc_info=True)
            lane.fail(exc)

    def _send_cut(self, lane: Lane, cut: Cut) -> None:
        other = cut.program.other_python
        cut = self._sharing.shared(lane, cut)
        with noted(as_objects=True) as found:
            runs, errors = packing.pack_runs(
                cut.items,
                "The argument",
                max_bytes=chunking.MAX_CHUNK_BYTES,
                max_item_bytes=self._settings.max_item_bytes,
                rows=cut.options.form == "star",
                pickled=lambda value: self._objects.pickled(value, "The argument", other, found),
            )
        begin = {run.start: run for run in runs}
        position = 0
        while position < len(cut.items):
            run, error = begin.get(position), errors.get(position)
            if run is not None:
                self._send(lane, cut, run)
                position = run.stop
            elif isinstance(error, ObjectStoreFull):
                return self._hold_up(lane, cut, position, error)
            else:
                self._refuse(lane, cut.first + position, errors[position])
                position += 1

    def _hold_up(self, lane: Lane, cut: Cut, position: int, full: ObjectStoreFull) -> None:
        """The rest of a cut waits for room; if it has in vain, its first item is refused, and the next one tries."""
        needed_bytes: int = full.args[1]
        if self._held_up.in_vain(lane):
            self._refuse(lane, cut.first + position, full)
            position, needed_bytes = position + 1, 0
        self._held_up.hold(lane, cut, position, needed_bytes)

    def _refuse(self, lane: Lane, index: int, error: ManycoreError) -> None:
        """The item cannot be sent. Whoever else gathers a named batch must know it too."""
        record, unsent = lane.record, False
        try:
            if record is not None and lane.state == "open":
                self._patience.ride_out(lambda: record.refuse(index, error))
        except ServerFull:
            unsent = True
        lane.refuse(error, unsent=unsent)

    def _send(self, lane: Lane, cut: Cut, run: Run) -> None:
        parcel = self._sender.parcel(lane, cut, run)
        chunk = parcel.chunk
        kept = self._kept(lane, parcel)
        if not lane.sending(chunk.id, len(chunk), len(run.body) + run.held_bytes, chunk.payload_token, parcel):
            return
        self._held_up.has_sent(lane)
        try:
            if not kept:
                self._put(lane, parcel)
        except ServerFull as exc:
            lane.reject(chunk.id, exc, unsent=True)
        if lane.over and (lane.stop_error or (lane.failure and lane.ephemeral)):
            self._sender.take_back(parcel)  # given up meanwhile: nobody else would delete it; a named batch goes on
        lane.left()

    def _kept(self, lane: Lane, parcel: Parcel) -> bool:
        """Whether nothing of it has to be sent: an earlier run has. Then its arguments are there for another one,
        before this may be the end of the batch."""
        if lane.record is None or lane.gaps(covers(parcel.chunk)):
            return False
        try:
            self._put(lane, parcel)
        except ServerFull:
            return False  # it is tried once more
        return True

    def _put(self, lane: Lane, parcel: Parcel) -> None:
        if lane.record is not None:
            self._patience.ride_out(lambda: self._objects.keep_long(parcel.refs, lane.id))
        gaps = lane.gaps(covers(parcel.chunk))
        later = lane.ledger.open_chunks > self._roster.last_slots(lane.queue)  # it has had its share of every slot
        self._patience.ride_out(lambda: self._sender.send(parcel, gaps, lane, later=later))

    def _pause(self, seconds: float) -> bool:
        """Wait; True once this is closed."""
        self._sender.doubt_references()  # a server that was away may have lost what it held
        return self._ended.wait(seconds)
