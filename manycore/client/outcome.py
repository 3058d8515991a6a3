"""What became of one item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from manycore.client.raised import raise_again

if TYPE_CHECKING:
    from manycore.protocol.logs import LogLine


class _Written:
    """Where what the item wrote is read from: no field, so that an outcome can be copied, compared and taken apart."""

    __slots__ = ("_lines",)


@dataclass(frozen=True, slots=True)
class Outcome(_Written):
    """The end of one item of a batch: a value or an error, never both.

    `index` is its place in the input, `attempts` its first try and `retries` (what runs again since
    its worker died counts as the same one), `worker` the process that ran it last
    (`host/pid`, empty if none did), `seconds` how long that took.
    """

    index: int
    value: Any = None
    error: BaseException | None = None
    attempts: int = 1
    worker: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.error is None

    def result(self) -> Any:
        """The value; raises the error of an item that failed."""
        if self.error is not None:
            raise_again(self.error)
        return self.value

    @property
    def stdout(self) -> str:
        """What it printed, the last time it ran. Bounded (docs/logs.md), and read from the server when asked for:
        raises `ConnectionFailed` when that is away, `ForkedCluster` in a forked child. Empty on a copy."""
        return "".join(
            line.text
            for line in self.logs
            if line.stream in ("stdout", "dropped") and (line.attempt, line.worker) == (self.attempts, self.worker)
        )

    @property
    def logs(self) -> tuple[LogLine, ...]:
        """All lines that it printed, logged and warned, in each of its attempts; as `stdout` in all else."""
        lines = getattr(self, "_lines", None)
        return lines() if lines is not None else ()

    def reading(self, lines: Callable[[], tuple[LogLine, ...]]) -> Outcome:
        """This outcome; `lines` gives what its item wrote."""
        object.__setattr__(self, "_lines", lines)  # it is frozen, but for its maker
        return self
