"""What became of one item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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

    @property
    def ok(self) -> bool:
        return self.error is None

    def result(self) -> Any:
        """The value; raises the error of an item that failed."""
        if self.error is not None:
            raise self.error
        return self.value
