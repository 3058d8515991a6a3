"""The children of a worker, and how they are handed what they run: at once, to those that are idle.

Celery's own pool asks the kernel first which of its children's pipes can be written to: it registers those of all idle
children with epoll before each turn of the event loop, and takes them out after it, also in turns without anything to
hand out. With 128 children that is 1 ms a turn, and a message takes three or four. A child that is idle has read its
pipe empty, so it can be written to; a pipe that cannot after all, Celery's writer waits for as it always does.

A signal that ends a process ends a child at once, under the note of what it runs.
"""

from __future__ import annotations

import signal
from itertools import islice
from typing import Any

from celery.concurrency.asynpool import SCHED_STRATEGY_FAIR, AsynPool
from celery.concurrency.asynpool import Worker as Main
from celery.concurrency.prefork import TaskPool

from manycore.worker import softlimit

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class ChildMain(Main):
    """What a child runs."""

    def after_fork(self) -> None:
        """billiard's handler raises `SystemExit` wherever the process is: in an item it would be what that item raised,
        and whatever catches all would swallow it. So there is none: the kernel ends the process."""
        found = {number: signal.getsignal(number) for number in ENDING}  # before Celery resets them
        super().after_fork()
        signal.signal(signal.SIGUSR1, softlimit.on_signal)
        for number, handler in found.items():
            # What is ignored, the worker's own starter wants so: nohup.
            signal.signal(number, signal.SIG_IGN if handler is signal.SIG_IGN else signal.SIG_DFL)


class Children(AsynPool):
    """Celery's pool of processes. What is overridden has public names; what is read has not: a test holds it."""

    Worker = ChildMain
    _jobs_hub: Any = None

    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        self._jobs_hub = hub
        if self.sched_strategy == SCHED_STRATEGY_FAIR:  # another one fills pipes of busy children, too
            hub.on_tick.discard(self.on_poll_start)
            hub.on_tick.add(self.hand_out)

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        """Hand out what can be, while the worker takes in the next message."""
        result = super().apply_async(*args, **kwargs)
        if self.sched_strategy == SCHED_STRATEGY_FAIR:
            self.hand_out()
        return result

    def flush(self) -> None:
        """Let go of what has not left for a child, as the worker stops or has lost its connection.

        Celery lets go of what no child has said yet that it took, too. But who has it runs it; and, since its result
        would count for nothing, waits for half a minute at its end that somebody hears of it.
        """
        sent = [job for job in self._cache.values() if job._write_to is not None and not job._accepted]
        for job in sent:
            job._accepted = True
        try:
            super().flush()
        finally:
            for job in sent:
                job._accepted = False

    def hand_out(self) -> None:
        """Write what waits to the children that are idle, each one job."""
        if not self.outbound_buffer or self._jobs_hub is None:
            return
        idle = self._all_inqueues - self._busy_workers - self._active_writes
        chosen = list(islice(idle, len(self.outbound_buffer)))
        if chosen:
            self._jobs_hub.consolidate_callback(chosen)


class Pool(TaskPool):
    """Chosen by Celery's own setting `worker_pool`."""

    Pool = Children
