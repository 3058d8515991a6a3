"""`map`: lazy and ordered, over inputs of any length."""

from __future__ import annotations

import gc
import itertools
import resource
import threading
import weakref
from collections.abc import Iterator

import pytest

from manycore import Cluster
from manycore.client.chunking import MAX_CHUNK_ITEMS, window_chunks
from tests.functions import busy, fail_on_seven, square
from tests.waiting import wait_until


class Counting(Iterator[int]):
    """An endless input that says how far it was pulled."""

    def __init__(self) -> None:
        self.pulled = 0

    def __next__(self) -> int:
        self.pulled += 1
        return self.pulled - 1


def test_results_come_in_the_order_of_the_input(cluster: Cluster) -> None:
    delays = [0.05, 0.0, 0.02, 0.0]
    assert list(cluster.map(busy, delays)) == delays


def test_several_inputs_go_side_by_side_up_to_the_shortest(cluster: Cluster) -> None:
    assert list(cluster.map(pow, [2, 3, 4], [3, 2])) == [8, 9]


def test_an_empty_input_gives_nothing(cluster: Cluster) -> None:
    assert list(cluster.map(square, [])) == []
    assert list(cluster.map(square, iter([]))) == []


def test_a_million_items_with_bounded_memory(cluster: Cluster) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(cluster.map(abs, (n for n in range(1_000_000)))) == sum(range(1_000_000))
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 150 * 1024


def test_a_million_items_of_a_sized_input(cluster: Cluster) -> None:
    results = cluster.map(square, range(1_000_000))
    assert all(map(int.__eq__, results, (n * n for n in range(1_000_000))))


def test_work_starts_before_the_first_result_is_read(cluster: Cluster) -> None:
    started = Counting()
    results = cluster.map(square, started)
    wait_until(lambda: started.pulled, "the input is being pulled")
    results.close()


def test_an_endless_input_is_pulled_within_the_window_and_close_ends_it(cluster: Cluster) -> None:
    endless, before = Counting(), _input_threads()
    results = cluster.map(square, endless)
    assert list(itertools.islice(results, 1000)) == [n * n for n in range(1000)]
    assert endless.pulled <= 1000 + (window_chunks(2) + 2) * MAX_CHUNK_ITEMS
    results.close()
    wait_until(lambda: not _input_threads() - before, "the input's thread has ended")


def test_slow_items_are_not_pulled_far_ahead(cluster: Cluster) -> None:
    endless = Counting()
    results = cluster.map(lambda n: busy(0.05) and n, endless)
    assert list(itertools.islice(results, 20)) == list(range(20))
    assert endless.pulled < 20 + 200
    results.close()


def test_buffersize_bounds_what_is_ahead_of_the_reader(cluster: Cluster) -> None:
    endless = Counting()
    results = cluster.map(square, endless, buffersize=10)
    for n in range(100):
        assert next(results) == n * n
        assert endless.pulled <= n + 1 + 10
    results.close()


def test_a_slow_input_is_worked_on_item_by_item(cluster: Cluster) -> None:
    """Each item is handed in only when the result of the one before is there: nothing may wait for a fuller chunk."""
    handed = threading.Semaphore(1)

    def dependent() -> Iterator[int]:
        for n in range(10):
            assert handed.acquire(timeout=10)
            yield n

    for n, result in enumerate(cluster.map(square, dependent())):
        assert result == n * n
        handed.release()


def test_an_error_is_raised_at_its_place_and_ends_the_iteration(cluster: Cluster) -> None:
    results = cluster.map(fail_on_seven, range(100))
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(KeyError, match="seven"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_an_error_of_the_input_comes_after_the_items_before_it(cluster: Cluster) -> None:
    def broken() -> Iterator[int]:
        yield from range(3)
        raise ValueError("the input broke")

    results = cluster.map(square, broken())
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(ValueError, match="the input broke"):
        next(results)


def test_a_late_result_raises_timeout_error(cluster: Cluster) -> None:
    begun = cluster.submit(busy, 3.0)
    with pytest.raises(TimeoutError):
        next(cluster.map(busy, [3.0], timeout=0.2))
    assert not begun.done()


@pytest.mark.parametrize("name", ["chunksize", "buffersize"])
def test_counts_below_one_are_refused(cluster: Cluster, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be >= 1"):
        cluster.map(square, [1], **{name: 0})


def test_a_chunksize_is_allowed_though_never_needed(cluster: Cluster) -> None:
    assert list(cluster.map(square, range(100), chunksize=7)) == [n * n for n in range(100)]


def test_items_never_share_a_mutable_object(cluster: Cluster) -> None:
    shared: list[int] = []
    assert list(cluster.map(lambda held: held.append(1) or len(held), [shared] * 50)) == [1] * 50


def _input_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "manycore-input"}


def test_results_that_were_read_are_held_no_more(cluster: Cluster) -> None:
    things: Iterator[set[int]] = cluster.map(set, [[n] for n in range(20)], timeout=20)
    for thing in things:
        gone = weakref.ref(thing)
        del thing
        gc.collect()
        assert gone() is None
