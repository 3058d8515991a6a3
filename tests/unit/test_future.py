"""`Future` is a thread's future that can be awaited."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import as_completed

import pytest

from manycore.client.callbacks import CALLBACKS, CallbackThread
from manycore.client.future import Future
from tests.waiting import wait_until


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
    assert CALLBACKS.drained(20)
    assert told == [future]
    assert "exception calling callback" in caplog.text


def test_a_callback_runs_on_a_thread_of_its_own_or_at_once() -> None:
    future = Future[int]()
    threads: list[str] = []
    future.add_done_callback(lambda _: threads.append(threading.current_thread().name))
    future.set_result(1)
    assert CALLBACKS.drained(20)
    future.add_done_callback(lambda _: threads.append(threading.current_thread().name))
    assert threads == ["manycore-callbacks", threading.current_thread().name]


def test_a_callback_may_wait_for_a_later_future() -> None:
    first, second = Future[int](), Future[int]()
    got: list[int] = []
    first.add_done_callback(lambda _: got.append(second.result(timeout=20)))
    first.set_result(1)
    second.set_result(2)
    assert CALLBACKS.drained(20)
    assert got == [2]


def test_one_that_blocks_holds_up_no_await_and_no_result() -> None:
    release, first, second = threading.Event(), Future[int](), Future[int]()
    first.add_done_callback(lambda _: release.wait(20))
    first.set_result(1)

    async def main() -> int:
        threading.Thread(target=second.set_result, args=(2,)).start()
        return await second

    try:
        assert asyncio.run(main()) == 2
        assert not CALLBACKS.drained(0.01)
    finally:
        release.set()
    assert CALLBACKS.drained(20)


def test_a_callback_that_waits_for_the_callbacks_does_not_wait_for_itself() -> None:
    future = Future[int]()
    got: list[bool] = []
    future.add_done_callback(lambda _: got.append(CALLBACKS.drained()))
    future.set_result(1)
    assert CALLBACKS.drained(20)
    assert got == [True]


def test_what_a_callback_held_is_let_go() -> None:
    future = Future[object]()
    future.add_done_callback(lambda _: None)
    future.set_result(None)
    assert CALLBACKS.drained(20)
    gone = weakref.ref(future)
    del future
    wait_until(lambda: gone() is None, "the future is let go")


def test_a_forked_child_has_a_thread_of_its_own() -> None:
    before, after = Future[int](), Future[int]()
    before.add_done_callback(lambda _: None)
    before.set_result(1)
    assert CALLBACKS.drained(20)
    child = os.fork()
    if child == 0:
        told: list[object] = []
        after.add_done_callback(told.append)
        after.set_result(1)
        os._exit(0 if CALLBACKS.drained(20) and told else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_without_a_thread_to_be_had_callbacks_run_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    told: list[int] = []
    CallbackThread().hand(told.append, 1)
    assert told == [1]
