"""Processes that an item forks (`os.fork`) are copies of the worker's child: each ends where its item ends.

A copy that went on would run the rest of the chunk once more and report it, over the connections of its original. So
after a fork the copy has no items left, and once its item returns or raises it leaves, with the exit code that a
program of its own would have. `multiprocessing` and `subprocess` end their processes by themselves.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from manycore.protocol.failure import is_a
from manycore.worker.child.items import Items

T = TypeVar("T")


class _Running(threading.local):
    """What the calling thread runs. A fork copies that thread alone."""

    items: Items | None = None
    process: int = 0


_running = _Running()
"""Of this process, as its hooks at forks are."""


def stop_with(items: Items) -> None:
    """Let a copy that is made from now on find none of these."""
    _running.items, _running.process = items, os.getpid()


def leave_if_copy(exc: BaseException | None = None) -> None:
    """End this process if it is a copy; its item returned, or raised `exc`."""
    if _running.process == os.getpid():
        return
    code = 1
    with suppress(BaseException):  # it ends here, whatever an exception's text or a closed stream raises
        code = _exit_code(exc)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def alone(call: Callable[[], T]) -> T:
    """The result of `call`, in this process alone: a copy that it makes ends with it."""
    _running.items, _running.process = None, os.getpid()
    try:
        result = call()
    except BaseException as exc:
        leave_if_copy(exc)
        raise
    leave_if_copy()
    return result


def _exit_code(exc: BaseException | None) -> int:
    if exc is None or (is_a(exc, SystemExit) and exc.code is None):
        return 0
    if is_a(exc, SystemExit):
        if isinstance(exc.code, int):
            return exc.code & 0xFF
        print(exc.code, file=sys.stderr)
    else:
        traceback.print_exception(exc)
    return 1


def _forget() -> None:
    if _running.items is not None:
        _running.items.drop()


os.register_at_fork(after_in_child=_forget)
