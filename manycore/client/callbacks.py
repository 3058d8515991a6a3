"""The thread that foreign callbacks of futures run on: one for the whole process, apart from those that read outcomes.

So a callback may take any time, wait for another future, or raise anything: it holds up other callbacks only.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any

from manycore.client.locks import alone

logger = logging.getLogger("concurrent.futures")
"""Where the standard library says what a callback raised."""

Call = tuple[Callable[[Any], object], Any]


class CallbackThread:
    """Starts with the first call. A forked child begins anew: what its parent has to call is the parent's."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self.given_up = False
        """Somebody has waited for an end, and was interrupted: nobody is to wait for these callbacks again."""

    def hand(self, function: Callable[[Any], object], argument: Any) -> None:
        """Have `function(argument)` called, after all that was handed over before. Never waits, never raises."""
        self._calls.put((function, argument))
        if self._thread is None or not self._thread.is_alive():
            self._start()

    def drained(self, timeout: float | None = None) -> bool:
        """Wait until all that was handed over before has been called; False after `timeout` seconds in vain.

        A callback does not wait for itself: called from one, this returns at once.
        """
        if self._thread is None or self._thread is threading.current_thread():
            return True
        passed = threading.Event()
        with self.until_interrupted():
            self.hand(lambda _: passed.set(), None)
            return passed.wait(timeout)

    def drain_at_exit(self) -> None:
        """Wait for what is to be called as this process ends, but after Ctrl-C."""
        if not (self.given_up or getattr(sys, "last_type", None) is KeyboardInterrupt):
            self.drained()

    @contextmanager
    def until_interrupted(self) -> Iterator[None]:
        """Around each wait for the end of a cluster: Ctrl-C ends it, and the waits for callbacks that would follow."""
        try:
            yield
        except KeyboardInterrupt:
            self.given_up = True
            raise

    def _start(self) -> None:
        # Never waited for: a finalizer may come here while this thread is starting it, and then it is started for both.
        alone(self._starting, self._start_alone)

    def _start_alone(self) -> None:
        try:
            thread = threading.Thread(target=self._run, name="manycore-callbacks", daemon=True)
            thread.start()
            self._thread = thread
        except RuntimeError:  # no more threads are to be had, or Python is ending
            self._run_here()

    def _run(self) -> None:
        while True:
            _call(*self._calls.get())

    def _run_here(self) -> None:
        with suppress(Empty):
            while True:
                _call(*self._calls.get_nowait())


def _call(function: Callable[[Any], object], argument: Any) -> None:
    try:
        function(argument)
    except BaseException:  # the standard library's own guard lets SystemExit by, which would end the thread
        logger.exception("exception calling callback for %r", argument)


CALLBACKS = CallbackThread()


@atexit.register  # before any session does: so this waits after they have finished what is out
def _drain_at_exit() -> None:
    with suppress(KeyboardInterrupt):
        CALLBACKS.drain_at_exit()


os.register_at_fork(after_in_child=lambda: CallbackThread.__init__(CALLBACKS))
