"""Where a batch's items come from: calls of `submit`, an input that is there already, or one that has to be pulled."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future as ThreadFuture
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from manycore.client import chunking
from manycore.client.future import Future
from manycore.protocol.message import ItemOptions
from manycore.protocol.parcel import Program

MIN_SUBMIT_ITEMS = 200
"""Fewer waiting calls than this leave as one chunk; if they are long, the workers split it at once."""
READY_TYPES = (list, tuple, range, dict, set, frozenset, str, bytes, bytearray, deque)
"""Iterating over these cannot wait for anything; whatever else an input is, it gets a thread that pulls it."""


Taken: TypeAlias = tuple[Program, ItemOptions, Sequence[Any]]
_Call: TypeAlias = tuple[Callable[..., Any] | str, tuple[Any, ...], dict[str, Any], Future[Any]]


@dataclass(frozen=True, slots=True)
class Input:
    """What a caller passed in: items, how many if they are in memory, and how they may be cut and pulled."""

    items: Iterable[Any]
    length: int | None
    chunksize: int | None = None
    buffersize: int | None = None

    @classmethod
    def of(cls, *iterables: Iterable[Any], chunksize: int | None = None, buffersize: int | None = None) -> Input:
        """The items of one iterable, or those of several side by side."""
        items = iterables[0] if len(iterables) == 1 else zip(*iterables, strict=False)
        in_memory = all(type(iterable) in READY_TYPES for iterable in iterables)
        lengths = [len(iterable) for iterable in iterables if isinstance(iterable, Sized)]
        return cls(items, min(lengths, default=0) if in_memory else None, chunksize, buffersize)

    def source(
        self, program: Program, options: ItemOptions, *, wake: Callable[[], None], limit: Callable[[], int]
    ) -> ReadySource | PulledSource:
        """The source that feeds a lane; `limit`, how many items it may take by now, counts only with a `buffersize`."""
        bound = limit if self.buffersize is not None else None
        if self.length is None:
            return PulledSource(self.items, program, options, wake=wake, chunksize=self.chunksize, limit=bound)
        return ReadySource(iter(self.items), self.length, program, options, chunksize=self.chunksize, limit=bound)


class ReadySource:
    """An input of known length that is in memory: cut on demand, without a thread."""

    def __init__(
        self,
        items: Iterator[Any],
        total: int,
        program: Program,
        options: ItemOptions,
        *,
        chunksize: int | None = None,
        limit: Callable[[], int] | None = None,
    ) -> None:
        self.total: int | None = total
        self.error: BaseException | None = None
        self._items = items
        self._program = program
        self._options = options
        self._left = total
        self._chunksize = chunksize
        self._limit = limit

    def ready(self) -> bool:
        return self._left > 0 and self._space() > 0

    def exhausted(self) -> bool:
        return self._left == 0

    def next_size(self, slots: int, _seconds: float | None, bytes_per_item: float) -> int:
        size = self._chunksize or chunking.chunk_items(self.total or 0, slots, bytes_per_item)
        return min(size, self._space())

    def _space(self) -> int:
        return self._left if self._limit is None else self._limit() - ((self.total or 0) - self._left)

    def take(self, most: int) -> Taken:
        items = list(islice(self._items, most))
        # A container that lost items while it was read ends here, as a plain loop over it would.
        self._left = self._left - len(items) if len(items) == min(most, self._left) else 0
        return self._program, self._options, items

    def start(self) -> None:
        """There is nothing to start: the items are there."""

    def more_room(self) -> None:
        """There is nobody to tell: `ready` looks at the limit itself."""

    @property
    def held_back(self) -> bool:
        """Whether a `buffersize` bounds how far it is taken."""
        return self._limit is not None

    def close(self) -> None:
        self._items, self._left = iter(()), 0

    def cut_off(self, error: BaseException) -> None:
        if self._left:
            self.error = error
        self.total = None
        self.close()


class PulledSource:
    """A lazy or slow input, pulled by a thread of its own, and no further than `limit` items in all.

    Whatever is there leaves with the next publish: a slow input's items go one by one, a fast one's in chunks. An
    exception of the input ends it; it is raised where the items after it would have been.
    """

    def __init__(
        self,
        items: Iterable[Any],
        program: Program,
        options: ItemOptions,
        *,
        wake: Callable[[], None],
        chunksize: int | None = None,
        limit: Callable[[], int] | None = None,
    ) -> None:
        self.total: int | None = None
        self.error: BaseException | None = None
        self._program = program
        self._options = options
        self._wake = wake
        self._chunksize = chunksize
        self._limit = limit
        self._buffer: deque[Any] = deque()
        self._size = 1
        self._pulled = 0
        self._ended = False
        self._wanted = threading.Condition()
        self._thread = threading.Thread(target=self._pull, args=(items,), name="manycore-input", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ready(self) -> bool:
        return bool(self._buffer)

    def exhausted(self) -> bool:
        return self._ended and not self._buffer

    def next_size(self, _slots: int, seconds_per_item: float | None, bytes_per_item: float) -> int:
        self._size = self._chunksize or chunking.pulled_items(self._size, seconds_per_item, bytes_per_item)
        return self._size

    def take(self, most: int) -> Taken:
        items = [self._buffer.popleft() for _ in range(min(most, len(self._buffer)))]
        self.more_room()
        return self._program, self._options, items

    def more_room(self) -> None:
        """Look again whether there is room: something was taken, or consumed."""
        with self._wanted:
            self._wanted.notify()

    def close(self) -> None:
        with self._wanted:
            self._ended = True
            self._wanted.notify()
        self._buffer.clear()

    def cut_off(self, error: BaseException) -> None:
        if not self.exhausted():
            self.error = error
        self.close()

    def _pull(self, items: Iterable[Any]) -> None:
        try:
            iterator = iter(items)
            while space := self._await_room():
                before = self._pulled
                for item in islice(iterator, space):
                    self._pulled += 1
                    self._buffer.append(item)
                    self._wake()
                    if self._ended:
                        return
                if self._pulled == before:
                    return
        except BaseException as exc:  # an input may raise anything; its reader gets it
            self.error = exc
        finally:
            self._ended = True
            self._wake()

    def _space(self) -> int:
        space = self._size - len(self._buffer)
        return space if self._limit is None else min(space, self._limit() - self._pulled)

    def _await_room(self) -> int:
        """How many items to pull next; 0 when this was closed. Looked at once: it may be less a moment later."""
        with self._wanted:
            space = self._wanted.wait_for(lambda: self._ended or max(0, self._space()))
        return 0 if self._ended else int(space)


class SubmitSource:
    """Calls of `submit`, in the order they were made; those of one function that wait together leave together."""

    total: int | None = None
    error: BaseException | None = None

    def __init__(self, program: Callable[[Callable[..., Any] | str], Program]) -> None:
        self._program = program
        self._calls: deque[_Call] = deque()
        self._closed = False
        self._taken = 0
        self.futures: dict[int, ThreadFuture[Any]] = {}

    def add(self, function: Callable[..., Any] | str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """Queue a call; its future is cancellable until it is taken."""
        future: Future[Any] = Future()
        self._calls.append((function, args, kwargs, future))
        return future

    def ready(self) -> bool:
        return bool(self._calls)

    def exhausted(self) -> bool:
        return self._closed and not self._calls

    def next_size(self, slots: int, _seconds: float | None, bytes_per_item: float) -> int:
        return max(MIN_SUBMIT_ITEMS, chunking.chunk_items(len(self._calls), slots, bytes_per_item))

    def take(self, most: int) -> Taken | None:
        function = self._calls[0][0]
        calls: list[_Call] = []
        while len(calls) < most and self._calls and self._calls[0][0] is function:
            call = self._calls.popleft()
            if call[3].set_running_or_notify_cancel():
                calls.append(call)
        try:
            program = self._program(function)
        except Exception as exc:  # the function cannot be sent: that is the result of each of its calls
            for call in calls:
                call[3].set_exception(exc)
            return None
        for call in calls:
            self.futures[self._taken] = call[3]
            self._taken += 1
        if any(call[2] for call in calls):
            return program, ItemOptions("call"), [(call[1], call[2]) for call in calls]
        return program, ItemOptions("star"), [call[1] for call in calls]

    def cancel_all(self) -> None:
        """Cancel every call that was not taken yet."""
        while self._calls:
            future = self._calls.popleft()[3]
            future.cancel()
            future.set_running_or_notify_cancel()

    def start(self) -> None:
        """There is nothing to start: the items come from callers."""

    def more_room(self) -> None:
        """There is nobody to tell: the calls are there."""

    def close(self) -> None:
        self._closed = True

    def cut_off(self, error: BaseException) -> None:
        """Calls that wait are cancelled; their futures say so, not `error`."""
        self.cancel_all()
        self.close()


class SentSource:
    """The source of a batch that another client has sent whole: nothing is left to take."""

    error: BaseException | None = None

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

    def close(self) -> None:
        """There is nothing to close."""

    def cut_off(self, error: BaseException) -> None:
        """There is nothing to cut off: all was sent."""
