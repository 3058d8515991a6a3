"""Ctrl-C at each moment at which Python raises it: at the start of a function, after a call, at the end of a loop."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import CodeType, FrameType
from typing import Any

HEARD_AFTER = ("RESUME", "CALL", "JUMP_BACKWARD")
WATCHED = ("manycore/", "threading.py", "concurrent/futures/", "queue.py")


class Striker:
    """Traces, and raises `error` once: at the moment of this number (the first is 0) in the files that are watched."""

    def __init__(self, at: int, error: type[BaseException], watched: Sequence[str]) -> None:
        self.left = at
        self._error = error
        self._watched = watched
        self._last: dict[FrameType, int] = {}

    @property
    def has_struck(self) -> bool:
        return self.left < 0

    def strike(self) -> None:
        raise self._error

    @contextmanager
    def tracing(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(None if self.has_struck else self._trace)
        try:
            yield
        finally:
            sys.settrace(before)
            self._last.clear()  # frames, and what they hold

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if not any(part in frame.f_code.co_filename for part in self._watched):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            before, self._last[frame] = self._last.get(frame), frame.f_lasti
            # The first that is traced of a function comes after its start.
            if before is None or frame.f_lasti in _heard_after(frame.f_code).get(before, ()):
                self.left -= 1
                if self.has_struck:
                    self.strike()
        return self._trace


def interrupted(step: Callable[[], object], at: int) -> bool:
    """Call `step`, and raise `KeyboardInterrupt` at its moment number `at`; False if it has fewer."""
    striker = Striker(at, KeyboardInterrupt, WATCHED)
    try:
        with striker.tracing():
            step()
    except KeyboardInterrupt:
        pass
    except RuntimeError as exc:
        if not isinstance(exc.__context__, KeyboardInterrupt):  # what `threading` makes of one in its own wait
            raise
    return striker.has_struck


@cache
def _heard_after(code: CodeType) -> dict[int, frozenset[int]]:
    """The instructions (by offset) after which an interrupt is raised that has come, each with those that may be next.

    It is raised in that instruction, here before the next one: so only where one handler takes both.
    """
    listed: Any = dis.Bytecode(code)
    offsets = [one.offset for one in listed]

    def handler(offset: int) -> Any:
        return next((entry.target for entry in listed.exception_entries if entry.start <= offset < entry.end), None)

    return {
        one.offset: frozenset(offset for offset in offsets if handler(offset) == handler(one.offset))
        for one in listed
        if one.opname.startswith(HEARD_AFTER)
    }
