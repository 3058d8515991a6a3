"""Where a batch's items come from: calls of `submit`, or an input that is in memory.

An input that has to be pulled is for `pulled`; which is which, `inputs` decides.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import Future as ThreadFuture
from itertools import islice
from types import BuiltinMethodType, MethodType
from typing import Any, TypeAlias

from manycore.client import chunking
from manycore.client.future import Future, settle
from manycore.client.locks import Rank, RankedLock
from manycore.protocol.message import ItemOptions
from manycore.protocol.parcel import Program
from manycore.protocol.tracing import Carried, carried

MIN_SUBMIT_ITEMS = 200
"""Fewer waiting calls than this leave as one chunk; if they are long, the workers split it at once."""

_PLACEHOLDER = getattr(functools, "Placeholder", object())
"""What an argument of a partial call is that is given later (Python 3.14)."""
SLICED = (list, tuple, range)
"""Parts of these are cut out as they are."""
Taken: TypeAlias = tuple[Program, ItemOptions, Sequence[Any]]
_Call: TypeAlias = tuple[Callable[..., Any] | str, tuple[Any, ...], dict[str, Any], Future[Any], Carried]


class ReadySource:
    """An input of known length that is in memory: cut on demand, without a thread."""

    def __init__(
        self,
        items: Iterable[Any],
        total: int,
        program: Program,
        options: ItemOptions,
        *,
        chunksize: int | None = None,
        limit: Callable[[], int] | None = None,
        is_short: bool = False,
    ) -> None:
        """`is_short` says that all of it is expected to take no longer than a message."""
        self.total: int | None = total
        self.error: BaseException | None = None
        self.first_call = ""
        self._items = items if type(items) in SLICED else iter(items)
        self._at = 0
        """Written by whoever takes alone; `_closed` by whoever ends it, which may be meanwhile."""
        self._closed = False
        self._length = total
        self.program = program
        self._options = options
        self._is_short = is_short
        self._chunksize = chunksize
        self._limit = limit

    @property
    def _left(self) -> int:
        return 0 if self._closed else self._length - self._at

    def ready(self) -> bool:
        return self._left > 0 and self._space() > 0

    def exhausted(self) -> bool:
        return self._left == 0

    def next_size(self, slots: int, _seconds: float | None, bytes_per_item: float) -> int:
        slots = 1 if self._is_short else slots
        size = self._chunksize or chunking.chunk_items(self.total or 0, slots, bytes_per_item)
        return min(size, self._space())

    def _space(self) -> int:
        return self._left if self._limit is None else min(self._left, self._limit() - self._at)

    def take(self, most: int) -> Taken:
        held = self._items
        items = held[self._at : self._at + most] if isinstance(held, SLICED) else list(islice(held, most))
        self._at += len(items)
        if self._at == self._length:
            self._items = ()  # whoever has read a map, or holds a batch, need not hold its input
        self.first_call = self.first_call or (self.program.call(self._options.form, items[0]) if items else "")
        return self.program, self._options, items

    def start(self) -> None:
        """There is nothing to start: the items are there."""

    def more_room(self) -> None:
        """There is nobody to tell: `ready` looks at the limit itself."""

    @property
    def held_back(self) -> bool:
        return self._limit is not None

    def give_back(self, error: BaseException) -> None:
        self._items, self._closed = (), True

    def cut_off(self, error: BaseException) -> None:
        if self._left:
            self.error = error
        self.total = None
        self.give_back(error)


class SourceClosed(Exception):
    """A call came after its source was closed: it belongs to the next one."""


class SubmitSource:
    """Calls of `submit`, in the order they were made; those of one function (in one span) that wait together leave
    together.

    Each call is in somebody's hands: it waits here, or it was taken (`futures`), or `add` has refused it.
    """

    total: int | None = None
    error: BaseException | None = None
    first_call = ""
    held_back = False

    def __init__(self, program: Callable[[Callable[..., Any] | str], Program]) -> None:
        self._program = program
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
        trace = carried()
        with self._lock:
            if self._closed:
                raise SourceClosed
            self._calls.append((function, args, kwargs, future, trace))
        return future

    def ready(self) -> bool:
        return bool(self._calls)

    def exhausted(self) -> bool:
        return self._closed and not self._calls

    def next_size(self, slots: int, _seconds: float | None, bytes_per_item: float) -> int:
        return max(MIN_SUBMIT_ITEMS, chunking.chunk_items(len(self._calls), slots, bytes_per_item))

    def take(self, most: int) -> Taken | None:
        calls = [call for call in self._next(most) if call[3].set_running_or_notify_cancel()]
        if not calls:
            return None
        try:
            program = self._program(calls[0][0])
        except BaseException as exc:  # the function cannot be sent: that is the result of each of its calls
            for call in calls:
                settle(call[3], exc)
            return None
        for call in calls:
            self.futures[self._taken] = call[3]
            self._taken += 1
        trace = calls[0][4]
        if any(call[2] for call in calls):
            return program, ItemOptions("call", trace=trace), [(call[1], call[2]) for call in calls]
        return program, ItemOptions("star", trace=trace), [call[1] for call in calls]

    def _next(self, most: int) -> list[_Call]:
        """Take the calls of one function, in one trace context, off the front."""
        with self._lock:
            waiting = self._calls
            function, trace = (waiting[0][0], waiting[0][4]) if waiting else (None, ())
            calls: list[_Call] = []
            while len(calls) < most and waiting and _is_same(waiting[0][0], function) and waiting[0][4] == trace:
                calls.append(waiting.popleft())
            return calls

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
            if call[3].set_running_or_notify_cancel():
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
    if one is other:
        return True
    if type(one) is BuiltinMethodType:
        return type(other) is BuiltinMethodType and one == other
    if type(one) is not MethodType or type(other) is not MethodType:
        return False
    return one.__func__ is other.__func__ and one.__self__ is other.__self__  # not `==`: that may be foreign code


class SentSource:
    """The source of a batch that another client has sent whole: nothing is left to take."""

    error: BaseException | None = None
    first_call = ""
    held_back = False

    def __init__(self, total: int) -> None:
        self.total: int | None = total

    def ready(self) -> bool:
        return False

    def exhausted(self) -> bool:
        return True

    def take(self, most: int) -> Taken | None:
        return None

    def next_size(self, slots: int, seconds_per_item: float | None, bytes_per_item: float) -> int:
        return 1

    def start(self) -> None:
        """There is nothing to start."""

    def more_room(self) -> None:
        """There is nobody to tell."""

    def give_back(self, error: BaseException) -> None:
        """Nobody waits for anything that was not sent."""

    def cut_off(self, error: BaseException) -> None:
        """There is nothing to cut off: all was sent."""
