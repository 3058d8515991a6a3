"""What must not be left half done by Ctrl-C is done where it cannot come: in another thread than the main one."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable


def shielded(step: Callable[[], object]) -> None:
    """Do a step, and wait for it; raises what it does. Ctrl-C ends the wait at once, and the step comes to its end."""
    if threading.current_thread() is not threading.main_thread():
        step()
        return
    raised: list[BaseException] = []
    done = threading.Lock()
    done.acquire()

    def run() -> None:
        try:
            step()
        except BaseException as exc:
            raised.append(exc)
        finally:
            done.release()

    try:
        # Not `Thread.start`, which waits for the new thread under a lock of Python's making.
        _thread.start_new_thread(run, ())
    except RuntimeError:  # there are too many threads, or Python is ending
        step()
        return
    done.acquire()
    for error in raised:
        raise error
