"""A lazy or slow input, pulled by a thread of its own, as far ahead as the workers need.

The thread runs in the context of the call (context variables, and with them the decimal context), but it is another
thread: an object that is bound to its thread cannot be pulled here.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from manycore.client import chunking
from manycore.client.change import Change
from manycore.client.sources import Taken
from manycore.protocol.message import ItemOptions
from manycore.protocol.parcel import Program

BOUND_TO_ITS_THREAD = (
    "manycore pulls a lazy input in a thread of its own, where what is bound to the thread that made it (an sqlite\n"
    "cursor, a greenlet) cannot be used: pass list(...) of it, or open it inside a generator and pass that."
)


class PulledSource:
    """Pulls an iterator no further than `limit` items in all.

    Whatever is there leaves with the next publish: a slow input's items go one by one, a fast one's in chunks. An
    exception of the input ends it; it is raised where the items after it would have been.
    """

    def __init__(
        self,
        items: Iterator[Any],
        program: Program,
        options: ItemOptions,
        *,
        wake: Callable[[], None],
        chunksize: int | None = None,
        limit: Callable[[], int] | None = None,
    ) -> None:
        self.total: int | None = None
        self.error: BaseException | None = None
        self.first_call = ""
        self._program = program
        self._options = options
        self._wake = wake
        self._chunksize = chunksize
        self._limit = limit
        self._buffer: deque[Any] = deque()
        self._size = 1
        self._pulled = 0
        self._ended = False
        self._closed = False
        """Whether nobody takes anything any more: what is pulled after that, by a thread that is in the midst, does not
        count."""
        self._wanted = Change()
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._pull, items), name="manycore-input", daemon=True
        )

    def start(self) -> None:
        try:
            self._thread.start()
        except BaseException as exc:
            self._end(exc)
            if isinstance(exc.__context__, KeyboardInterrupt):
                raise exc.__context__ from None  # what `threading` makes of it is no error of the input's
            if not isinstance(exc, RuntimeError):  # else there are too many, or Python is ending: its reader gets it
                raise

    @property
    def held_back(self) -> bool:
        return self._limit is not None

    def ready(self) -> bool:
        return not self._closed and bool(self._buffer)

    def exhausted(self) -> bool:
        return self._closed or (self._ended and not self._buffer)

    def next_size(self, _slots: int, seconds_per_item: float | None, bytes_per_item: float) -> int:
        self._size = self._chunksize or chunking.pulled_items(self._size, seconds_per_item, bytes_per_item)
        return self._size

    def take(self, most: int) -> Taken:
        held = self._buffer  # who closes this meanwhile puts another one in its place
        items = [held.popleft() for _ in range(min(most, len(held)))]
        self.first_call = self.first_call or (self._program.call(self._options.form, items[0]) if items else "")
        self.more_room()
        return self._program, self._options, items

    def more_room(self) -> None:
        """Look again whether there is room: something was taken, or consumed."""
        self._wanted.tell()

    def give_back(self, error: BaseException) -> None:
        self._ended = self._closed = True
        self._buffer = deque()
        self._wanted.tell()

    def cut_off(self, error: BaseException) -> None:
        if not self.exhausted():
            self.error = error
        self.give_back(error)

    def _pull(self, items: Iterator[Any]) -> None:
        try:
            while self._pull_some(items):
                pass
        except BaseException as exc:  # an input may raise anything; its reader gets it
            _explain(exc)
            self._end(exc)
        else:
            self._end(None)

    def _pull_some(self, items: Iterator[Any]) -> bool:
        """Pull what there is room for; False at the end of the input, or once it is closed."""
        before = self._pulled
        for item in islice(items, self._await_room()):
            self._pulled += 1
            self._buffer.append(item)
            self._wake()
            if self._ended:
                return False
        return self._pulled > before

    def _end(self, error: BaseException | None) -> None:
        if error is not None:
            self.error = error
        self._ended = True
        self._wake()

    def _space(self) -> int:
        space = self._size - len(self._buffer)
        return space if self._limit is None else min(space, self._limit() - self._pulled)

    def _await_room(self) -> int:
        """How many items to pull next; 0 when this was closed. Looked at once: it may be less a moment later."""
        room = self._wanted.wait_for(lambda: self._ended or max(0, self._space()))
        return 0 if self._ended else room


def _explain(error: BaseException) -> None:
    """Say why it is raised here, if it is about threads: its own message cannot know."""
    with contextlib.suppress(BaseException):  # a user's exception may refuse to be looked at, or to take a note
        if any(isinstance(said, str) and "thread" in said for said in error.args):
            error.add_note(BOUND_TO_ITS_THREAD)
