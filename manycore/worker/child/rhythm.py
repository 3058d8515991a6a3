"""When a courier turns to its run: early and often while a slot is idle, rarely where all of them have work.

To wake beside an item takes the GIL from it, and some of its core: where nobody waits for what could be told or shared
before the next report, the courier sleeps until then. What wakes it all the same: a slot that falls idle, something
that an item prints, and the next run.
"""

from __future__ import annotations

import os
from contextlib import suppress
from time import monotonic, sleep

from manycore.worker.child import splitting
from manycore.worker.child.run import ChunkRun
from manycore.worker.noticeboard import Noticeboard

FIRST_TICK_SECONDS = 0.004
"""Early, so that a chunk that one slot got whole is spread over the others at once; then twice as long each time."""
TICK_SECONDS = 0.05
"""Outcomes wait this long while a slot is idle. Shorter loads Redis: each child makes one round trip a tick."""
FOLLOWED_SECONDS = 0.2
"""How long the rest of a batch may be on its way: it is about to be sent, and idle slots wait for that."""
LATE_SECONDS = 0.1
"""Who wakes so much later than it wanted to had to wait for the GIL: an item holds it, in C code that does not let go
of it. It would hold up a slot that asks for something, too, for as long as it runs."""
CALM_TICKS = 6
"""Where every slot of this worker has work, outcomes wait for so many ticks: a report takes some of the CPU that items
could have, and nobody here is waiting for anything that it would bring."""


class Rhythm:
    """Of one courier's thread; `stir` may be called by any."""

    def __init__(self, noticeboard: Noticeboard, slots: int) -> None:
        self._noticeboard = noticeboard
        self._slots = slots
        self._looked = (0.0, 0.0)
        """When it asked last how the queue is, or began, and how long its ticks were then."""
        self._is_late = False
        """Whether it has woken late beside this run."""
        self._seen = (0, 0.0)
        """How many items were done when it last saw that more were, and when that was."""
        self._sleeps = False
        self._stirred = self._stirs = -1
        if slots <= splitting.LOOKING_SLOTS:  # of more it never sleeps, and hundreds of threads have one each
            self._stirred, self._stirs = os.pipe()
            for end in (self._stirred, self._stirs):
                os.set_blocking(end, False)

    def begin(self, run: ChunkRun, *, follows: bool) -> float:
        """The first tick of a run. Later where all neighbours have work: if they are many they may all be about to
        begin, and need the cores for that; and of a run that `follows` another one of its batch nobody waits for a
        first outcome."""
        tick = FIRST_TICK_SECONDS
        if not self.is_wanted(run):
            tick = TICK_SECONDS if follows else FIRST_TICK_SECONDS * max(1.0, self._slots / splitting.LOOKING_SLOTS)
        self._looked, self._is_late, self._seen = (run.started, tick), False, (0, run.started)
        return tick

    def looked(self, tick: float) -> None:
        """It asks how the queue is."""
        self._looked = monotonic(), tick

    def pause(self, run: ChunkRun, tick: float) -> bool:
        """Wait for the next moment to turn to `run`, a `tick` as a rule. Says whether a slot has fallen idle meanwhile,
        and this is the one to share what it has: of many neighbours none is woken for that."""
        before, seconds, woken = monotonic(), tick, False
        if self._noticeboard.any_idle or self._slots > splitting.LOOKING_SLOTS:
            sleep(tick)
        else:
            self._sleeps = True  # first: whatever comes after the look at how long stirs
            seconds = max(tick, self._until_report(run, tick))
            woken = self._sleep(seconds) if seconds > tick else self._noticeboard.wait_for_idle(tick)
            self._sleeps = False
        now = monotonic()
        self._is_late |= now - before > seconds + LATE_SECONDS
        if run.tally.done != self._seen[0]:
            self._seen = run.tally.done, now
        return woken

    def stir(self) -> None:
        """Something has come that the next report should not wait for. It waits for nothing, and raises nothing."""
        if self._sleeps:
            self._sleeps = False
            with suppress(OSError):  # nobody has read for long, or an item has closed it
                os.write(self._stirs, b"!")

    def is_wanted(self, run: ChunkRun) -> bool:
        """Whether a slot may be idle that gets nothing but what is given to it."""
        return self._noticeboard.any_idle and not (run.is_followed and run.elapsed < FOLLOWED_SECONDS)

    def must_report(self, run: ChunkRun) -> bool:
        """Whether it is time to carry away what there is."""
        looked_at, tick = self._looked
        if run.has_printed:
            return True  # what is printed last may tell why a process dies
        return run.has_something and (self.is_wanted(run) or monotonic() - looked_at >= CALM_TICKS * tick)

    def must_look(self, run: ChunkRun) -> bool:
        """Whether it is time to see if a chunk waits in the queue."""
        looked_at, tick = self._looked
        pause = splitting.seconds_to_look(tick, self._slots, idle=self.is_wanted(run))
        return monotonic() - looked_at >= pause

    def seconds_at_one(self, run: ChunkRun) -> float:
        """How long one item has been running at least; 0 if it may have begun just now."""
        done, since = self._seen
        return monotonic() - since if done == run.tally.done else 0.0

    @property
    def shares_ahead(self) -> bool:
        """Whether to share also while no slot here has asked for something: with those of other workers, which cannot
        ask, and where this might not wake in time, or is not woken."""
        board = self._noticeboard
        return board.any_idle or board.has_others or self._is_late or self._slots > splitting.LOOKING_SLOTS

    def _until_report(self, run: ChunkRun, tick: float) -> float:
        """How long nothing is to be done for this run; 0 where it may end before."""
        if tick < TICK_SECONDS or run.has_printed:
            return 0.0
        seconds = self._looked[0] + CALM_TICKS * tick - monotonic()
        return seconds if splitting.seconds_left(len(run.items), run.tally.done, run.elapsed) > seconds else 0.0

    def _sleep(self, seconds: float) -> bool:
        until = monotonic() + seconds
        woken = self._noticeboard.wait_for_idle(seconds, self._stirred)
        if not self._sleeps:
            with suppress(OSError):
                os.read(self._stirred, 64)
        if not woken and monotonic() < until:
            sleep(TICK_SECONDS)  # who prints prints more, as a rule, and all of it goes together
        return woken
