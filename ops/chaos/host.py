"""A worker host: a parent with its children in a session of their own, so that all of them can be killed at once.

What a container with a restart policy is in production: `tend` starts a dead one again, with the files that it had.
"""

from __future__ import annotations

import os
import resource
import subprocess
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from struct import Struct

from manycore.local.lifeline import die_with_parent
from ops.chaos.processes import children_of

CLOCK = Struct("d")
"""As `clock/sitecustomize.py` reads it: seconds ahead of the machine's clock."""


class Host:
    """Starts at construction. Signals to what is gone already are no error."""

    def __init__(self, name: str, command: list[str], env: dict[str, str], folder: Path, *, forks: bool = True) -> None:
        self.name = name
        self._forks = forks
        self.retired = False
        self.starts = 0
        self._command = command
        self._clock = folder / f"{name}.clock"
        self.set_clock(0.0)
        self._env = env | {"CHAOS_CLOCK": str(self._clock)}
        self._log = folder / f"{name}.log"
        self.start()

    def start(self) -> None:
        self.starts += 1
        own_pid = os.getpid()

        def prepare() -> None:
            die_with_parent(own_pid)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # some items crash on purpose

        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._env, stdout=log, stderr=log, start_new_session=True, preexec_fn=prepare
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def children(self) -> list[int]:
        """The processes that run items: its children, or itself if its slots are threads."""
        return children_of(self.pid) if self._forks else [self.pid]

    def processes(self) -> list[int]:
        """All of it."""
        return [self.pid, *children_of(self.pid)]

    def set_clock(self, seconds: float) -> None:
        """Put the clock of all of its processes ahead of the machine's, from now on."""
        with self._clock.open("r+b" if self._clock.exists() else "wb") as file:
            file.write(CLOCK.pack(seconds))

    def signal(self, signum: Signals) -> None:
        """To the parent alone."""
        if self.alive:
            self._process.send_signal(signum)

    def signal_all(self, signum: Signals) -> None:
        """To parent and children at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signum)

    def retire(self) -> None:
        """SIGTERM, and no restart: it gives back what it has not started."""
        self.retired = True
        self.signal(SIGTERM)

    def tend(self) -> None:
        """Start it again if it is dead, unless it was to end."""
        if not self.retired and not self.alive:
            self.start()

    def end(self) -> None:
        """SIGKILL to all of it, whatever state it is in."""
        self.retired = True
        self.signal_all(SIGKILL)
        self._process.wait()
