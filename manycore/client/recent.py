"""The program that was made last: most calls of `submit`, and most small maps, are of one function again and again.

Only of a function that goes by its name, for nothing else stays as it was: what goes by value takes along what it
refers to, as that is now. And only while workers and code are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType
from typing import Any

from manycore.protocol.archive import Archive
from manycore.protocol.byvalue import importable
from manycore.protocol.parcel import Program
from manycore.protocol.roster import Worker
from manycore.task import task_info

_NAMED = (FunctionType, BuiltinFunctionType, type)
"""What is pickled as the name of a global, if it can be imported by it."""


@dataclass(slots=True)
class Recent:
    """A program, and on what it depended. Threads may share it."""

    function: Callable[..., Any]
    workers: Sequence[Worker]
    code: Archive | None
    program: Program

    @classmethod
    def of(
        cls, function: Callable[..., Any], workers: Sequence[Worker], code: Archive | None, program: Program
    ) -> Recent | None:
        """None for what may be another program the next time."""
        return cls(function, workers, code, program) if type(function) in _NAMED and importable(function) else None

    def serves(self, queue: str, workers: Sequence[Worker], code: Archive | None) -> bool:
        """Whether a call of the function would still be this program."""
        if workers is not self.workers and workers == self.workers:
            self.workers = workers  # the same, in a newer picture
        return (
            queue == self.program.queue
            and workers is self.workers
            and code is self.code
            and importable(self.function)
            and task_info(self.function) is None
        )
