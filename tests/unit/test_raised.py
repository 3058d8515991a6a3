"""An error that is raised again and again tells of the last time, and of how it came to be."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from manycore.client.batch import Batch
from manycore.client.future import Future
from manycore.client.outcome import Outcome
from manycore.client.passage import Arrival
from manycore.client.raised import raise_again
from manycore.client.results import MapResults, OrderedReading
from manycore.client.session import Session
from manycore.client.sinks import FutureSink, Inbox, OrderedInbox
from tests.lanes import block_of, open_lane, send


class Odd(Exception):
    """It raises whatever is asked of it, and says that it has no traceback."""

    __traceback__ = None

    def with_traceback(self, tb: object) -> Odd:
        raise AssertionError

    def __copy__(self) -> Odd:
        raise AssertionError


def original() -> None:
    raise LookupError("came with these frames")


def made() -> BaseException:
    try:
        original()
    except LookupError as exc:
        return exc
    raise AssertionError


def frames(use: Callable[[], object]) -> list[str]:
    """Through which functions the error comes that `use` raises."""
    try:
        use()
    except BaseException as exc:
        found = [
            frame.f_code.co_name for frame, _ in traceback.walk_tb(vars(BaseException)["__traceback__"].__get__(exc))
        ]
        return found
    raise AssertionError("nothing was raised")


class Steering:
    """Of a batch that the test ends."""

    def settle(self, lane: Any) -> None: ...

    def logs(self, lane: Any) -> Any: ...


def failed_batch(error: BaseException) -> Batch:
    inbox = Inbox()
    lane = open_lane(1, inbox)
    batch = Batch(lane, inbox, "abs", Steering())  # type: ignore[arg-type]
    lane.fail(error)
    return batch


def answered_batch(error: BaseException, *, by_input: bool = False) -> Batch:
    inbox = Inbox()
    lane = open_lane(1, inbox)
    send(lane)
    lane.arrived(block_of([0]), [None], {} if by_input else {0: error})
    lane.source.error = error if by_input else None
    return Batch(lane, inbox, "abs", Steering())  # type: ignore[arg-type]


def broken_session(error: BaseException) -> Session:
    session = object.__new__(Session)
    session._owner, session._broken = os.getpid(), error
    return session


def future_of(error: BaseException) -> Future[Any]:
    future = Future[Any]()
    FutureSink({0: future}).fail(error)
    return future


def await_it(future: Future[Any]) -> None:
    async def wait() -> None:
        await future

    asyncio.run(wait())


def map_that_meets(error: BaseException, *, as_item: bool) -> MapResults[Any]:
    inbox = OrderedInbox()
    lane = open_lane(1, inbox)
    reading = OrderedReading(lane, inbox, lambda: None, lambda: None, None, wake_each=False)
    inbox.deliver([Arrival(0, [None], {0: error})]) if as_item else inbox.fail(error)
    return MapResults(reading, later=lambda job: job())


WAYS: dict[str, Callable[[BaseException], Callable[[], object]]] = {
    "outcome": lambda error: lambda: Outcome(0, error=error).result(),
    "gather": lambda error: answered_batch(error).gather,
    "gather_of_a_failed_one": lambda error: failed_batch(error).gather,
    "wait": lambda error: failed_batch(error).wait,
    "as_completed": lambda error: lambda: list(failed_batch(error).as_completed()),
    "the_input": lambda error: answered_batch(error, by_input=True).gather,
    "session": lambda error: broken_session(error).check_open,
    "future": lambda error: future_of(error).result,
    "awaited": lambda error: partial(await_it, future_of(error)),
    "map_item": lambda error: lambda: list(map_that_meets(error, as_item=True)),
    "map": lambda error: lambda: list(map_that_meets(error, as_item=False)),
}


@pytest.mark.parametrize("make", [made, Odd])
@pytest.mark.parametrize("way", WAYS)
def test_it_tells_of_the_last_time_and_of_how_it_came(way: str, make: Callable[[], BaseException]) -> None:
    error = make()
    use = WAYS[way](error)
    first = frames(use)
    assert ("original" in first) == (make is made)
    assert [frames(use) for _ in range(3)] == [first] * 3


@pytest.mark.parametrize("use", [Future.result, await_it])
def test_so_does_one_that_many_futures_share(use: Callable[[Future[Any]], object]) -> None:
    futures = [Future[Any]() for _ in range(20)]
    FutureSink(dict(enumerate(futures))).fail(made())
    assert len({len(frames(partial(use, future))) for future in futures}) == 1


def test_an_input_that_reads_another_batch_is_told_of_each_time() -> None:
    inner = answered_batch(made())

    def an_input() -> None:
        inner.gather()

    try:
        an_input()
    except LookupError as exc:
        error = exc
    outer = answered_batch(error, by_input=True)
    for _ in range(2):
        found = frames(outer.gather)
        assert [name for name in found if name in ("an_input", "original")] == ["an_input", "original"]
        assert found.count("gather") == 2


def test_the_frame_that_raises_holds_nothing() -> None:
    error, keeper = made(), object()
    with pytest.raises(LookupError) as caught:
        raise_again(error, kept_by=keeper)
    frame = next(entry.frame for entry in caught.traceback if entry.name == "raise_again")
    assert set(frame.f_locals) == {"keeper"}


def test_frames_that_somebody_has_cleared_keep_no_error_from_being_raised() -> None:
    """As Celery clears them of each task that has failed."""
    error = LookupError("kept")
    for _ in range(3):
        with pytest.raises(LookupError, match="kept") as caught:
            raise_again(error)
        traceback.clear_frames(caught.value.__traceback__)
