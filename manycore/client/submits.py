"""The stream of `submit` calls: one lane for as long as it lives, and another one after it failed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from manycore.client.future import Future
from manycore.client.lane import Lane
from manycore.client.locks import Rank, RankedLock
from manycore.client.passage import Observer
from manycore.client.shielded import shielded
from manycore.client.sinks import FutureSink
from manycore.client.waiting import Shipper, SourceClosed, SubmitSource
from manycore.errors import BatchCancelled
from manycore.protocol import keys


class Opener(Observer, Protocol):
    """Who lets lanes go."""

    def open(self, lane: Lane) -> None:
        """Let a lane's items go. Raises what keeps new work from being taken."""


class Submits:
    """Of one session."""

    def __init__(self, opener: Opener, shipper: Shipper) -> None:
        self._opener = opener
        self._shipper = shipper
        self._lock = RankedLock(Rank.SUBMITS)
        self._source: SubmitSource | None = None
        self.lane: Lane | None = None

    def add(self, function: Callable[..., Any] | str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """Queue a call. Raises what keeps new work from being taken, `RuntimeError` after a shutdown."""
        while True:
            source = self._source
            if source is None:
                source = self._open(None)
            try:
                return source.add(function, args, kwargs)
            except SourceClosed:  # its lane came to its end just now
                self._open(source)

    def end(self, *, cancel: bool) -> None:
        """Take no more calls; with `cancel`, let none start that is not running yet, here or on a worker."""
        source, lane = self._source, self.lane
        if source is None or lane is None:
            return
        if cancel:
            lane.stop(BatchCancelled(lane.id), give_up_sent=False)
        source.close()
        lane.check_finished()

    def _open(self, ended: SubmitSource | None) -> SubmitSource:
        """A new lane, unless another thread has opened one instead of the `ended` one."""
        with self._lock:
            if self._source is not None and self._source is not ended:
                return self._source
            source = SubmitSource(self._shipper)
            name = f"{keys.CALLS}{secrets.token_hex(6)}"
            lane = Lane(name, source, FutureSink(source.futures), observer=self._opener)
            self._source, self.lane = source, lane  # before: a shutdown meanwhile must find it
            try:
                self._opener.open(lane)
            except BaseException as exc:
                self._source = None
                shielded(partial(lane.fail, exc))  # other threads may have added calls
                raise
            return source
