"""How far a batch is: as numbers, and as a bar in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import TaskID


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a batch. `total` is None while a lazy input is still being pulled.

    `seconds` is the time since this process began the batch, or attached to it; of what is done, `before` items were
    so already then.
    """

    total: int | None
    done: int
    failed: int
    seconds: float
    before: int = 0

    @property
    def rate(self) -> float:
        """Items a second, since this process began the batch, or attached to it."""
        return (self.done - self.before) / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """How long it will still take at this rate, None while that cannot be said."""
        if self.done == self.total:
            return 0.0
        return (self.total - self.done) / self.rate if self.total is not None and self.rate else None


class ProgressBar:
    """A bar with rate and ETA on stderr, while it is entered. Quiet when that is not a terminal."""

    def __init__(self, name: str, look: Callable[[], Progress], *, enabled: bool) -> None:
        self.enabled = enabled and is_terminal(sys.stderr)
        self._name = name
        self._look = look
        self._bar: Any = None
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressBar:
        if self.enabled:
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self.draw()
            self._bar.stop()
            self._bar = None

    def draw(self) -> None:
        """Show how far it is now."""
        if self._bar is None:
            return
        now = self._look()
        failed = f"[red]{now.failed:,} failed[/]" if now.failed else ""
        self._bar.update(self._task, completed=now.done, total=now.total, failed=failed, rate=f"{now.rate:,.0f}/s")

    def _start(self) -> None:
        from rich.console import Console  # here, because a client without a bar should not pay for rich
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[failed]}"),
        )
        self._bar = RichProgress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task(self._name[-28:], total=None, failed="", rate="")
        self._bar.start()


def is_terminal(stream: Any) -> bool:
    """Whether somebody looks at what is written there. It may be None, as where a program has no console, or closed, or
    be anything that somebody has put there."""
    try:
        return bool(stream.isatty())
    except Exception:
        return False
