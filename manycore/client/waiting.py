"""The calls of `submit` that wait, and what of them leaves together."""

from __future__ import annotations

import functools
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import Future as ThreadFuture
from typing import Any, Protocol, TypeAlias

from manycore.client import chunking
from manycore.client.callables import key_of
from manycore.client.future import Future, begin, settle
from manycore.client.locks import Rank, RankedLock
from manycore.client.sources import Taken
from manycore.protocol.message import ItemOptions
from manycore.protocol.parcel import Program
from manycore.protocol.tracing import Carried, carried

MIN_SUBMIT_ITEMS = 200
"""Fewer waiting calls than this leave as one chunk; if they are long, the workers split it at once."""
LOOKED_AT = 1_000
"""So many of the calls that wait are looked at for others of the same function."""

_PLACEHOLDER = getattr(functools, "Placeholder", object())
"""What an argument of a partial call is that is given later (Python 3.14)."""
_Call: TypeAlias = tuple[Callable[..., Any] | str, tuple[Any, ...], dict[str, Any], Future[Any], Carried]


class SourceClosed(Exception):
    """A call came after its source was closed: it belongs to the next one."""


class Shipper(Protocol):
    """Says how functions reach the workers."""

    def submitted(self, function: Callable[..., Any] | str) -> Program:
        """How calls of this function run there."""

    def goes_along(self, function: object) -> bool:
        """Whether a call of this function, if it is the only one, brings it along instead. Runs nobody's code."""

    def together(
        self, functions: Sequence[Callable[..., Any]]
    ) -> tuple[Program, Sequence[tuple[Any, ...] | BaseException]]:
        """How calls of several of these run in one chunk, and for each function what its calls bring as their first
        arguments, or the error that is their outcome."""


class SubmitSource:
    """Calls of `submit`, roughly in the order they were made; those of one function (in one span) that wait together
    leave together, and so do those of functions that were made anew, each of which is called once.

    Each call is in somebody's hands: it waits here, or it was taken (`futures`), or `add` has refused it.
    """

    total: int | None = None
    error: BaseException | None = None
    first_call = ""
    held_back = False

    def __init__(self, shipper: Shipper) -> None:
        self._shipper = shipper
        self._calls: deque[_Call] = deque()
        self._lock = RankedLock(Rank.LEAF)
        self._closed = False
        self._taken = 0
        self.futures: dict[int, ThreadFuture[Any]] = {}

    def add(self, function: Callable[..., Any] | str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """Queue a call; its future is cancellable until it is taken. Raises `SourceClosed`."""
        if type(function) is functools.partial:
            function, args, kwargs = _whole(function, args, kwargs)
        future: Future[Any] = Future()
        call = (function, args, kwargs, future, carried())
        with self._lock:
            if self._closed:
                raise SourceClosed
            self._calls += (call,)  # no call: after one a signal's handler may run, which may submit, or shut down
        return future

    def ready(self) -> bool:
        return bool(self._calls)

    def exhausted(self) -> bool:
        return self._closed and not self._calls

    def next_size(self, slots: int, _seconds: float | None, bytes_per_item: float) -> int:
        return max(MIN_SUBMIT_ITEMS, chunking.chunk_items(len(self._calls), slots, bytes_per_item))

    def take(self, most: int) -> Taken | None:
        found, are_mixed = self._next(most)
        calls = [call for call in found if begin(call[3])]
        if not calls:
            return None
        try:
            if are_mixed or (len(calls) == 1 and self._shipper.goes_along(calls[0][0])):
                program, calls = self._bringing(calls)
            else:
                program = self._shipper.submitted(calls[0][0])
        except BaseException as exc:  # the function cannot be sent: that is the result of each of its calls
            for call in calls:
                settle(call[3], exc)
            return None
        if not calls:
            return None
        for call in calls:
            self.futures[self._taken] = call[3]
            self._taken += 1
        trace = calls[0][4]
        if any(call[2] for call in calls):
            return program, ItemOptions("call", trace=trace), [(call[1], call[2]) for call in calls]
        return program, ItemOptions("star", trace=trace), [call[1] for call in calls]

    def _bringing(self, calls: list[_Call]) -> tuple[Program, list[_Call]]:
        """Calls that bring their functions along; those of functions that cannot be sent get that as their outcome."""
        functions: list[Any] = [call[0] for call in calls]  # each there once
        program, found = self._shipper.together(functions)
        ready: list[_Call] = []
        for (function, args, kwargs, future, trace), first in zip(calls, found, strict=True):
            if isinstance(first, BaseException):
                settle(future, first)
            else:
                ready.append((function, first + args, kwargs, future, trace))
        return program, ready

    def _next(self, most: int) -> tuple[list[_Call], bool]:
        """Take the calls of one function, in one trace context, off the front; or those of many, each called once, and
        say so."""
        with self._lock:
            waiting = self._calls
            function, trace = (waiting[0][0], waiting[0][4]) if waiting else (None, ())
            calls: list[_Call] = []
            while len(calls) < most and waiting and _is_same(waiting[0][0], function) and waiting[0][4] == trace:
                calls.append(waiting.popleft())
            if not waiting or len(calls) == most:
                return calls, False
            looked_at = min(len(waiting), most - len(calls), LOOKED_AT)
            return self._sorted_out([*calls, *(waiting.popleft() for _ in range(looked_at))])

    def _sorted_out(self, calls: list[_Call]) -> tuple[list[_Call], bool]:
        """The same of these, the first of which goes; puts the others back in front. Under the lock."""
        function, trace = calls[0][0], calls[0][4]
        counts = Counter(key_of(call[0]) for call in calls)
        own, goes_along = key_of(function), self._shipper.goes_along

        def is_alone(call: _Call) -> bool:
            return counts[key_of(call[0])] == 1 and goes_along(call[0])

        goes = is_alone if is_alone(calls[0]) else (lambda call: key_of(call[0]) == own)
        taken, left = list[_Call](), list[_Call]()
        for call in calls:
            (taken if call[4] == trace and goes(call) else left).append(call)
        self._calls.extendleft(reversed(left))
        return taken, len(taken) > 1 and goes is is_alone

    def start(self) -> None:
        """There is nothing to start: the items come from callers."""

    def more_room(self) -> None:
        """There is nobody to tell: the calls are there."""

    def close(self) -> None:
        """Take no more calls; those that wait will still be taken."""
        with self._lock:
            self._closed = True

    def give_back(self, error: BaseException) -> None:
        """Take no more calls; those that wait are cancelled if `error` says so, else they fail with it."""
        with self._lock:
            self._closed = True
            waiting, self._calls = self._calls, deque()
        for call in waiting:
            if isinstance(error, CancelledError):
                call[3].cancel()
            if begin(call[3]):
                settle(call[3], error)

    def cut_off(self, error: BaseException) -> None:
        """Calls that wait are cancelled; their futures say so, not `error`."""
        self.give_back(CancelledError())


def _whole(
    function: functools.partial[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """The call that a partial one is, which is what `run_in_executor` needs for keyword arguments.

    Then each is no function of its own, to be sent alone, but one more call of the same.
    """
    if any(argument is _PLACEHOLDER for argument in function.args):
        return function, args, kwargs
    return function.func, function.args + args, {**function.keywords, **kwargs}


def _is_same(one: object, other: object) -> bool:
    """Whether two functions are one. A method is another object each time that it is asked for."""
    return one is other or key_of(one) == key_of(other)
