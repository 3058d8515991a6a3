"""Makes a worker's child an ordinary process for its items: they may use `multiprocessing` and process pools.

billiard, Celery's multiprocessing, makes its children daemonic, and tells the standard library that they are the
current process: that one then refuses to start any. Nor can it hand billiard's key to those that it does not fork
(`spawn`, or `forkserver`, Python 3.14's default). What an item leaves running ends with the child: daemons are
terminated, others are waited for, as at the end of any program.
"""

from __future__ import annotations

from multiprocessing import process

PRIVATE = "_config"
"""Where both libraries keep the flag and the key; `daemon` cannot be set any more once a process has started."""


def allow_children() -> None:
    """Let the standard library's current process have children of its own."""
    config = getattr(process.current_process(), PRIVATE)
    config["daemon"] = False
    config["authkey"] = process.AuthenticationString(config["authkey"])  # type: ignore[attr-defined]
