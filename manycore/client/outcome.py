"""What became of one item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manycore.protocol.logs import LogLine


def nothing_written() -> tuple[LogLine, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one item of a batch: a value or an error, never both.

    `index` is its place in the input, `attempts` how often it was tried, `worker` the process that ran it last
    (`host/pid`, empty if none did), `seconds` how long that took.
    """

    index: int
    value: Any = None
    error: BaseException | None = None
    attempts: int = 1
    worker: str = ""
    seconds: float = 0.0
    _written: Callable[[], tuple[LogLine, ...]] = field(default=nothing_written, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        return self.error is None

    def result(self) -> Any:
        """The value; raises the error of an item that failed."""
        if self.error is not None:
            raise self.error
        return self.value

    @property
    def stdout(self) -> str:
        """What it printed, the last time it ran. Bounded (docs/logs.md), and read from the server when asked for:
        raises `ConnectionFailed` when that is away. Empty on a copy that was pickled."""
        return "".join(
            line.text
            for line in self.logs
            if line.stream in ("stdout", "dropped") and (line.attempt, line.worker) == (self.attempts, self.worker)
        )

    @property
    def logs(self) -> tuple[LogLine, ...]:
        """All lines that it printed, logged and warned, in each of its attempts; as `stdout` in all else."""
        return self._written()

    def __reduce__(self) -> tuple[Any, ...]:
        return Outcome, (self.index, self.value, self.error, self.attempts, self.worker, self.seconds)
