"""`Future` is a thread's future that can be awaited."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import as_completed

import pytest

from manycore.client.future import Future


async def awaited(future: Future[int]) -> int:
    return await future


def test_it_is_one_of_the_standard_librarys() -> None:
    future = Future[int]()
    future.set_result(1)
    assert isinstance(future, ThreadFuture)
    assert list(as_completed([future], 0)) == [future]


def test_a_finished_one_can_be_awaited() -> None:
    future = Future[int]()
    future.set_result(1)
    assert asyncio.run(awaited(future)) == 1


def test_one_that_another_thread_finishes_can_be_awaited() -> None:
    future = Future[int]()

    async def main() -> int:
        threading.Thread(target=future.set_result, args=(2,)).start()
        return await future

    assert asyncio.run(main()) == 2


def test_an_awaited_error_is_raised() -> None:
    future = Future[int]()
    future.set_exception(KeyError("k"))
    with pytest.raises(KeyError):
        asyncio.run(awaited(future))


def test_an_awaited_cancellation_is_one() -> None:
    future = Future[int]()
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(awaited(future))


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), LookupError("k")])
def test_whatever_a_callback_raises_is_logged(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: ThreadFuture[int]) -> None:
        raise error

    future = Future[int]()
    told: list[ThreadFuture[int]] = []
    future.add_done_callback(fail)
    future.add_done_callback(told.append)
    future.set_result(1)
    assert told == [future]
    assert "exception calling callback" in caplog.text
