"""What is done before this process ends: by `atexit`, and in a child of `multiprocessing` by that one's finalizers.

Such a child leaves by `os._exit` if it was forked (a fork server's, too): `atexit` never hears of that, and all that
the child had submitted was lost. It runs its finalizers before that, however it was started.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from functools import partial

BEFORE_ITS_POOLS = 100
"""An input that is still pulled may come out of a pool of the child's own. Those end at 15, queues at -5."""


def at_end(step: Callable[[], object]) -> Callable[[], object]:
    """Have `step` done as this process ends, the last one first; gives what takes that back."""
    multiprocessing = sys.modules.get("multiprocessing.process")  # not imported for this: a child of it has it
    if multiprocessing is None or multiprocessing.parent_process() is None:
        atexit.register(step)
        return partial(atexit.unregister, step)
    from multiprocessing.util import Finalize

    return Finalize(None, step, exitpriority=BEFORE_ITS_POOLS).cancel
