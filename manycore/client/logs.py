"""What the items of one batch wrote, as its caller reads it: followed as a whole, or looked up by outcome."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

import redis

from manycore.protocol.broker import typed_errors
from manycore.protocol.logs import LogLine, LogReader
from manycore.protocol.settings import Settings

MAX_KEPT_BYTES = 16 * 1024 * 1024
"""Of lines that were read for outcomes; the items that wrote longest ago leave."""
WAIT_SECONDS = 0.5


class BatchLogs:
    """Of one batch. Threads may share it. Raises `ConnectionFailed` when the server is away."""

    def __init__(self, client: redis.Redis, settings: Settings, batch: str) -> None:
        self._redis = client
        self._settings = settings
        self._batch = batch
        self._lock = threading.Lock()
        self._reader = LogReader(client, batch)
        self._kept: OrderedDict[int, list[LogLine]] = OrderedDict()
        self._bytes = 0
        self._read_for = 0

    def lines(self, is_over: Callable[[], bool], *, follow: bool, index: int | None) -> Iterator[LogLine]:
        """The lines of the batch, or of one item; when they are followed, until it is over."""
        reader = LogReader(self._redis, self._batch)
        while True:
            over = is_over() or not follow  # asked before: what was written until then is read after
            with typed_errors(self._settings):
                found = list(reader.new())
            yield from found if index is None else [line for line in found if line.index == index]
            if over:
                return
            with typed_errors(self._settings):
                reader.await_new(WAIT_SECONDS)

    def of_item(self, index: int, arrival: int) -> tuple[LogLine, ...]:
        """The lines of an item whose outcome came with the arrival of this number: they were there before it."""
        with self._lock:
            if arrival >= self._read_for:
                before, self._read_for = self._read_for, arrival + 1
                try:
                    with typed_errors(self._settings):
                        self._keep(self._reader.new())
                except BaseException:
                    self._read_for = before
                    raise
            return tuple(self._kept.get(index, ()))

    def _keep(self, lines: Iterator[LogLine]) -> None:
        for line in lines:
            if line.index is None:
                continue
            self._kept.setdefault(line.index, []).append(line)
            self._bytes += len(line.text)
            while self._bytes > MAX_KEPT_BYTES and len(self._kept) > 1:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= sum(len(each.text) for each in gone)
