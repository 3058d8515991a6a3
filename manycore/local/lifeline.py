"""Ties processes together: one that dies with its parent, and one that inherits and ends whatever its children leave.

Linux only, by prctl(2); elsewhere the first does nothing, and the second ends its own children alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
"""From <linux/prctl.h>; see prctl(2)."""


def die_with_parent(parent: int, signum: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel for `signum` when the process `parent` ends."""
    if sys.platform != "linux":
        return
    _prctl(_PR_SET_PDEATHSIG, int(signum))
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), signum)


def show_as(name: str) -> None:
    """Let this process have `name`, of at most 15 characters, in `top` and `ps -o comm`; what it forks inherits it."""
    if sys.platform == "linux":
        _prctl(_PR_SET_NAME, name.encode())


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, also of one that left its session."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_descendants() -> None:
    """Kill our children, then those that they leave to us, until there are none."""
    while _kill_children():
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _kill_children() -> bool:
    """Whether there was one that we may kill: another user's (by setuid) is out of our hands."""
    killed = False
    for pid in _children():
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
            killed = True
    return killed


def _children() -> list[int]:
    """Of this process, zombies among them."""
    own = os.getpid()
    return [int(found.name) for found in Path("/proc").glob("[0-9]*") if _parent(found) == own]


def _parent(process: Path) -> int | None:
    try:
        # "pid (name) state parent ...": the name may hold anything, a ")" too.
        return int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None  # it has ended meanwhile


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
