"""`Future` is a thread's future that can be awaited."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, InvalidStateError, as_completed, wait
from concurrent.futures import Future as ThreadFuture

import pytest

from manycore.client.callbacks import CALLBACKS, CallbackThread
from manycore.client.future import Future, settle
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


class End(StopIteration): ...


@pytest.mark.parametrize("error", [StopIteration(1), End(2)])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_an_awaited_stop_iteration_is_an_error(error: StopIteration, when: str) -> None:
    future = Future[int]()

    async def main() -> None:
        if when == "meanwhile":
            asyncio.get_running_loop().call_soon(settle, future, error)
        await asyncio.wait_for(asyncio.wrap_future(future), 20)

    if when == "before":
        settle(future, error)
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        asyncio.run(main())
    assert caught.value.__cause__ is error
    assert future.exception() is error


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


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_one_that_nobody_waits_for_is_one_object_for_the_garbage_collector() -> None:
    make: Callable[[], Future[int]] = Future  # `Future[int]()` makes objects of its own
    gc.collect()
    before = len(gc.get_objects())
    futures = [make() for _ in range(1000)]
    for number, future in enumerate(futures):
        assert future.set_running_or_notify_cancel()
        future.set_result(number)
    assert [future.result() for future in futures] == list(range(1000))
    assert all(future.done() for future in futures)
    assert len(gc.get_objects()) - before < 1100


@pytest.mark.parametrize(
    "ask",
    [
        lambda future: future.result(20),
        lambda future: future.exception(20) or 7,
        lambda future: wait([future], 20).done.pop().result(),
        lambda future: next(as_completed([future], 20)).result(),
        lambda future: asyncio.run(awaited(future)),
    ],
    ids=["result", "exception", "wait", "as_completed", "await"],
)
def test_who_begins_to_wait_while_it_is_settled_learns_of_it(ask: Callable[[Future[int]], int], hasty: None) -> None:
    futures = [Future[int]() for _ in range(200)]

    def settle_all() -> None:
        for future in futures:
            future.set_running_or_notify_cancel()
            future.set_result(7)

    settling = threading.Thread(target=settle_all)
    settling.start()
    assert [ask(future) for future in futures] == [7] * 200
    settling.join()


def test_a_callback_added_while_it_is_settled_is_called_once(hasty: None) -> None:
    futures = [Future[int]() for _ in range(500)]
    told: list[ThreadFuture[int]] = []

    def settle_all() -> None:
        for future in futures:
            settle(future, None, 1)

    settling = threading.Thread(target=settle_all)
    settling.start()
    for future in futures:
        future.add_done_callback(told.append)
    settling.join()
    assert CALLBACKS.drained(20)
    assert sorted(map(id, told)) == sorted(map(id, futures))


def test_one_is_either_cancelled_or_taken(hasty: None) -> None:
    futures = [Future[int]() for _ in range(500)]
    taken: list[bool] = []
    taking = threading.Thread(target=lambda: taken.extend(f.set_running_or_notify_cancel() for f in futures))
    taking.start()
    cancelled = [future.cancel() for future in futures]
    taking.join()
    assert [not each for each in taken] == cancelled == [future.cancelled() for future in futures]


def test_its_states_are_those_of_the_standard_library() -> None:
    future = Future[int]()
    assert (future.running(), future.done(), future.cancelled()) == (False, False, False)
    assert "pending" in repr(future)
    with pytest.raises(TimeoutError):
        future.result(0)
    assert future.set_running_or_notify_cancel()
    assert (future.running(), future.done()) == (True, False)
    assert not future.cancel()
    future.set_exception(KeyError("k"))
    assert isinstance(future.exception(), KeyError)
    with pytest.raises(InvalidStateError):
        future.set_result(1)
    refused = Future[int]()
    assert refused.cancel()
    assert not refused.set_running_or_notify_cancel()
    with pytest.raises(CancelledError):
        refused.result(0)


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_cannot_be_passed_on_in_place_of_its_result(copied: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match=r"pass on its result\(\)"):
        copied(Future[int]())


def test_a_child_forked_while_one_changes_has_its_own_lock() -> None:
    """The parent's may be held at that moment, by a thread that the child has not."""
    from manycore.client import future as module

    with module._quiet:
        child = os.fork()
        if child == 0:
            waited = Future[int]()
            thread = threading.Thread(target=waited.set_result, args=(1,))
            thread.start()
            thread.join(20)
            os._exit(0 if waited.done() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_it_has_no_attribute_that_was_not_asked_for() -> None:
    with pytest.raises(AttributeError, match="no attribute 'outcome'"):
        Future[int]().outcome  # noqa: B018
