"""Ctrl-C at each moment at which Python raises it: at the start of a function, after a call, at the end of a loop."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from functools import cache
from types import CodeType, FrameType
from typing import Any

HEARD_AFTER = ("RESUME", "CALL", "JUMP_BACKWARD")
WATCHED = ("manycore/", "threading.py", "concurrent/futures/", "queue.py")


def interrupted(step: Callable[[], object], at: int) -> bool:
    """Call `step`, and raise `KeyboardInterrupt` at its moment number `at`; False if it has fewer."""
    moments = 0
    last: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal moments
        if not any(part in frame.f_code.co_filename for part in WATCHED):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            before, last[frame] = last.get(frame), frame.f_lasti
            if before is not None and frame.f_lasti in _heard_after(frame.f_code).get(before, ()):
                moments += 1
                if moments > at:
                    raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        step()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
        last.clear()  # frames, and what they hold
    return moments > at


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
