"""The turn of one item: rebuilt, run, and what came of it pickled, under its own note and within its own limits.

So whatever kills a process there is that item's doing, and whatever fails there is that item's outcome. Items of plain
values need no rebuilding and plain results no pickling: for those alone, without limits, the function itself is called.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from manycore.errors import ConnectionFailed, ItemTimeout, ManycoreError, WorkerCrashed
from manycore.protocol.failure import class_name, dump_error, is_a, traceback_text
from manycore.protocol.message import CallForm, ItemOptions
from manycore.protocol.packing import ATOMIC, Pickled, rebuilt
from manycore.worker.child import copies
from manycore.worker.child.leftbehind import say_what_was_left_behind
from manycore.worker.child.limits import hard_limit, time_limit
from manycore.worker.child.memory import memory_limit
from manycore.worker.child.suspects import MAX_WAITS, alone

if TYPE_CHECKING:
    from manycore.worker.child.run import ChunkRun

OWN_FRAMES = __name__.rpartition(".")[0]
TEXTS = frozenset({str, bytes})
AS_IT_IS = (ATOMIC - TEXTS) | {Pickled}
"""Types of results that the courier packs: nobody's code runs there, and it is done at once."""
LARGE = 64 * 1024
"""A longer text is pickled in the turn of its item: it takes memory."""
Call = Callable[[Any], Any]


class Ended(BaseException):
    """Raised in a turn whose outcome is decided: carries the pickled error, and the name of its class."""

    def __init__(self, blob: bytes, name: str = WorkerCrashed.__name__) -> None:
        self.blob = blob
        self.name = name


class Doomed(Ended):
    """Stands in place of an item that must not run, and is raised for it."""


class Skipped(BaseException):
    """Stands in place of an item that is another message's to run, or has run, and is raised for it."""


class Postponed(BaseException):
    """Raised in place of an item that must not run now: it comes again as a message of its own."""


class NotBegun(BaseException):
    """Raised in place of an item that could not be claimed: nothing of it has happened, and nothing must."""


def bind(function: Callable[..., Any], kwargs: dict[str, Any], form: CallForm) -> Call:
    """Make a function of one argument, the item, out of the batch's function and its keyword arguments."""
    if form == "item":
        return (lambda item: function(item, **kwargs)) if kwargs else function
    if form == "star":
        return lambda item: function(*item, **kwargs)
    return lambda item: function(*item[0], **item[1], **kwargs)


def kept(value: Any, pickled: Callable[[Any], Pickled]) -> Any:
    """A result in the form in which it waits for the courier: later changes of the object do not reach it."""
    kind = type(value)
    if kind in AS_IT_IS or (kind in TEXTS and len(value) <= LARGE):
        return value
    return pickled(value)


def described(exc: BaseException, max_bytes: int) -> bytes:
    """The pickled error of an item that raised `exc`."""
    if is_a(exc, Ended):
        return exc.blob
    say_what_was_left_behind(exc)
    ours = is_a(exc, ManycoreError) and exc.__traceback__ is None
    return dump_error(exc, "" if ours else traceback_text(exc, OWN_FRAMES), max_bytes)


def name_of_error(exc: BaseException) -> str:
    """The name of its class, as it is counted under."""
    return exc.name if is_a(exc, Ended) else class_name(exc)


class Turn:
    """What happens to each item of a chunk, from the top to the bottom of `__call__`."""

    def __init__(self, run: ChunkRun, call: Call, *, where: str, pickled: bool, max_memory: int | None) -> None:
        """`pickled` items are rebuilt first, by `where` if an error asks."""
        options: ItemOptions = run.chunk.options
        self._run = run
        self._call = call
        self._where = where
        self._pickled = pickled
        self._retried = run.chunk.attempt <= options.retries
        self._struck: frozenset[int] = frozenset()
        self._guarded = False
        self._owner = os.getpid()
        self._shares_fate = threading.current_thread() is not threading.main_thread()
        self._time: Callable[[], AbstractContextManager[None]] = nullcontext
        if options.timeout is not None:
            self._time = partial(time_limit, options.timeout, run.box.trace)
        self._memory = partial(memory_limit, max_memory) if max_memory is not None else nullcontext
        self._limited = options.timeout is not None or max_memory is not None

    def guard(self, struck: Iterable[int]) -> None:
        """Look out for `Doomed` and `Skipped` items; those at the positions `struck` have killed a process."""
        self._struck, self._guarded = frozenset(struck), True

    def shortest(self) -> Call:
        """The call that does the same for every item from here on, with nothing around it that none needs."""
        self._guarded = self._guarded or self._run.must_claim(self._run.next)
        return self._call if not (self._pickled or self._limited or self._guarded) else self

    def __call__(self, item: Any) -> Any:
        if not self._guarded:
            return self._within(item)
        if isinstance(item, Doomed | Skipped):
            raise item
        position = self._run.box.note[0]
        if position not in self._struck and not self._run.must_claim(position):
            return self._within(item)
        hard_limit.disarm()  # others may keep us waiting, and the server
        self._run.box.end()  # until it begins, no death is this item's
        with alone(self._run.box.folder) as is_alone:
            if self._shares_fate and not is_alone and self._run.chunk.postponed < MAX_WAITS:
                raise Postponed
            return self._claimed(item, position)

    def _claimed(self, item: Any, position: int) -> Any:
        """Counted before it runs, and taken off the count if it takes no process along."""
        try:
            self._run.claim(position)
        except ConnectionFailed as exc:
            raise NotBegun from exc
        self._run.box.note[0] = position
        try:
            return self._within(item)
        finally:
            if os.getpid() == self._owner:  # a copy of the process that the item forked has claimed nothing
                hard_limit.disarm()
                self._run.box.end()
                self._run.settle(position)

    def _within(self, item: Any) -> Any:
        if not self._limited:
            return self._outcome(item)
        with self._time(), self._memory():
            try:
                return self._outcome(item)
            except (ItemTimeout, NotBegun):
                raise  # the one is the limit's to say, the other no end of the item
            except BaseException as exc:
                copies.leave_if_copy(exc)
                if self._retried:
                    raise
                raise Ended(described(exc, self._run.max_item_bytes), name_of_error(exc)) from None  # within its limits

    def _outcome(self, item: Any) -> Any:
        argument = self._rebuilt(item) if self._pickled else item
        return kept(self._call(argument), self._run.pickled)

    def _rebuilt(self, item: Any) -> Any:
        try:
            return rebuilt(item, "The argument", self._where)
        except ConnectionFailed as exc:  # what it names could not be fetched
            raise NotBegun from exc
