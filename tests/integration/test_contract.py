"""What a `concurrent.futures.Executor` promises, held against the standard library's pool and against ours."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

from manycore import Cluster
from tests.functions import busy, fail_on_seven, note_run, square
from tests.waiting import wait_until


def _pool(workers: int) -> Executor:
    """By spawn: a fork of this process, which has threads, may hang in a lock that one of them held."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


@pytest.fixture(params=[_pool, lambda workers: Cluster(workers=workers)], ids=["pool", "manycore"])
def make(request: pytest.FixtureRequest) -> Callable[[], Executor]:
    return lambda: request.param(2)


def test_submit_map_and_shutdown(make: Callable[[], Executor]) -> None:
    with make() as executor:
        assert executor.submit(square, 3).result(timeout=30) == 9
        assert list(executor.map(square, range(10), timeout=30)) == [n * n for n in range(10)]


def test_who_asks_learns_how_many_calls_run_at_a_time(make: Callable[[], Executor]) -> None:
    """Dask and others do, by a name that is not public."""
    with make() as executor:
        assert getattr(executor, "_max_workers", None) == 2


def test_leaving_the_block_waits_for_what_was_submitted(make: Callable[[], Executor]) -> None:
    with make() as executor:
        futures = [executor.submit(busy, 0.05) for _ in range(10)]
    assert all(future.done() for future in futures)


def test_results_of_map_can_be_read_after_the_block(make: Callable[[], Executor]) -> None:
    with make() as executor:
        results = executor.map(square, range(1000))
    assert list(results) == [n * n for n in range(1000)]


@pytest.mark.parametrize("kind", [list, iter])
def test_a_map_whose_results_nobody_reads_runs_all_the_same(
    make: Callable[[], Executor], kind: Callable[[range], Iterable[int]], tmp_path: Path
) -> None:
    with make() as executor:
        executor.map(partial(note_run, folder=str(tmp_path)), kind(range(100)))
    assert len(list(tmp_path.iterdir())) == 100


class Large:
    """Stands for what a caller has in a variable."""


def caught(ask: Callable[[], object]) -> Callable[[], object]:
    """What tells whether that of the caller who was told an error is still there."""
    large = Large()
    with pytest.raises(KeyError):
        ask()
    return weakref.ref(large)


def test_an_error_that_was_raised_keeps_nothing_of_its_callers(make: Callable[[], Executor]) -> None:
    """Its traceback has their frames: in a circle, those would live, with what is in them, until it is collected."""
    with make() as executor:
        gc.disable()
        try:
            errors = {
                "result": caught(lambda: executor.submit(fail_on_seven, 7).result()),
                "map": caught(lambda: list(executor.map(fail_on_seven, [7]))),
                "next of map": caught(lambda: next(iter(executor.map(fail_on_seven, [7])))),
            }
            if isinstance(executor, Cluster):
                errors["gather"] = caught(lambda: executor.batch(fail_on_seven, [7]).gather())
            wait_until(lambda: not any(error() for error in errors.values()), f"what {errors} had is gone")
        finally:
            gc.enable()


def test_results_of_a_lazy_input_can_be_read_after_the_block(make: Callable[[], Executor]) -> None:
    with make() as executor:
        results = executor.map(square, iter(range(1000)))
    assert list(results) == [n * n for n in range(1000)]


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), LookupError()])
def test_leaving_the_block_by_an_exception_waits_too(make: Callable[[], Executor], error: BaseException) -> None:
    futures: list[Future[float]] = []
    with pytest.raises(type(error)):
        _submit_and_raise(make(), futures, error)
    assert [future.result(0) for future in futures] == [0.05] * 20


def _submit_and_raise(executor: Executor, futures: list[Future[float]], error: BaseException) -> None:
    with executor:
        futures += [executor.submit(busy, 0.05) for _ in range(20)]
        raise error


def test_nothing_is_taken_after_shutdown(make: Callable[[], Executor]) -> None:
    executor = make()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(square, 1)
    with pytest.raises(RuntimeError):
        list(executor.map(square, [1]))
    executor.shutdown()


def test_shutdown_without_waiting_lets_work_finish(make: Callable[[], Executor]) -> None:
    executor = make()
    future = executor.submit(busy, 0.3)
    executor.shutdown(wait=False)
    assert future.result(timeout=30) == 0.3


def test_shutdown_can_cancel_what_has_not_started(make: Callable[[], Executor]) -> None:
    executor = make()
    futures = [executor.submit(busy, 0.1) for _ in range(200)]
    executor.shutdown(cancel_futures=True)
    assert all(future.done() for future in futures)
    # What had left for the workers by then comes back with a `CancelledError`; the pool knows no such calls.
    assert any(future.cancelled() or isinstance(future.exception(), CancelledError) for future in futures)


def test_an_error_of_an_item_is_its_own(make: Callable[[], Executor]) -> None:
    with make() as executor:
        results = executor.map(fail_on_seven, range(10))
        assert [next(results) for _ in range(7)] == list(range(7))
        with pytest.raises(KeyError) as caught:
            next(results)
    assert "Traceback" in str(caught.value.__cause__)


def test_a_done_callback_runs(make: Callable[[], Executor]) -> None:
    seen: list[int] = []
    with make() as executor:
        executor.submit(square, 4).add_done_callback(lambda future: seen.append(future.result()))
    assert seen == [16]
