"""What is done before this process ends: by `atexit`, and in a child of `multiprocessing` by that one's finalizers.

Such a child leaves by `os._exit` if it was forked (a fork server's, too): `atexit` never hears of that, and all that
the child had submitted was lost. It runs its finalizers before that, however it was started.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

BEFORE_ITS_POOLS = 100
"""An input that is still pulled may come out of a pool of the child's own. Those end at 15, queues at -5."""


def at_end(step: Callable[[], object]) -> Callable[[], object]:
    """Have `step` done as this process ends, the last one first; gives what takes that back."""
    multiprocessing = sys.modules.get("multiprocessing.process")  # not imported for this: a child of it has it
    if multiprocessing is None or not _is_child(multiprocessing):
        atexit.register(step)
        return partial(atexit.unregister, step)
    return _Finalizer(step).cancel


def _is_child(multiprocessing: Any) -> bool:
    """Also of one that has no parent yet: it imports the program's main module before."""
    return multiprocessing.parent_process() is not None or hasattr(multiprocessing.current_process(), "_inheriting")


class _Finalizer:
    """Made at once, and anew when the main module has been imported: a child forgets then what was to be done."""

    def __init__(self, step: Callable[[], object]) -> None:
        from multiprocessing.util import Finalize, register_after_fork

        self._owner = os.getpid()
        self._make = partial(Finalize, None, step, exitpriority=BEFORE_ITS_POOLS)
        self._made = self._make()
        register_after_fork(self, _Finalizer._again)

    def _again(self) -> None:
        if os.getpid() == self._owner:  # what this child forks has nothing to finish
            self._made = self._make()

    def cancel(self) -> None:
        self._owner = 0
        self._made.cancel()
