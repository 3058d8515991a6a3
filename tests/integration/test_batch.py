"""`batch`: gathered as a whole or as it completes, with retries, limits and an early end."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from manycore import Backoff, Cluster
from manycore.errors import BatchCancelled, BatchHalted, ItemTimeout, SettingsError
from tests.functions import busy, fail_first, fail_on_seven, hold_the_gil, square
from tests.waiting import wait_until


def test_gather_gives_results_in_the_order_of_the_input(cluster: Cluster) -> None:
    assert cluster.batch(square, range(1000)).gather() == [n * n for n in range(1000)]


def test_gather_can_be_called_again(cluster: Cluster) -> None:
    batch = cluster.batch(square, range(10))
    assert batch.gather() == batch.gather()


def test_star_unpacks_items_and_kwargs_go_with_each_call(cluster: Cluster) -> None:
    assert cluster.batch(pow, [(2, 5), (3, 4)], star=True, kwargs={"mod": 7}).gather() == [4, 4]


def test_one_failure_among_ten_thousand(cluster: Cluster) -> None:
    results = cluster.batch(fail_on_seven, range(10_000)).gather(return_exceptions=True)
    failures = [(n, result) for n, result in enumerate(results) if result != n]
    assert [(n, type(error), str(error)) for n, error in failures] == [(7, KeyError, "'seven'")]
    assert "fail_on_seven" in str(failures[0][1].__cause__)


def test_gather_raises_the_failure_of_the_lowest_index(cluster: Cluster) -> None:
    with pytest.raises(ZeroDivisionError):
        cluster.batch(lambda n: 1 // (n - 3) if n < 5 else [][n], range(10)).gather()


def test_as_completed_gives_each_outcome_once(cluster: Cluster) -> None:
    outcomes = {outcome.index: outcome for outcome in cluster.batch(fail_on_seven, range(100)).as_completed()}
    assert sorted(outcomes) == list(range(100))
    assert [n for n, outcome in outcomes.items() if not outcome.ok] == [7]
    assert all(outcome.attempts == 1 and "/" in outcome.worker for outcome in outcomes.values())


def test_an_outcome_says_how_long_its_item_ran(cluster: Cluster) -> None:
    (outcome,) = cluster.batch(busy, [0.2]).as_completed()
    assert 0.2 <= outcome.seconds < 1


def test_fast_items_do_not_wait_for_a_slow_one_in_their_chunk(cluster: Cluster) -> None:
    batch = cluster.batch(busy, [0.0, 0.0, 0.0, 3.0])
    seen = {next(iter_).index for iter_ in [batch.as_completed()] for _ in range(3)}
    assert seen == {0, 1, 2}
    assert batch.progress.done == 3
    batch.cancel()


def test_wait_says_whether_all_is_done(cluster: Cluster) -> None:
    batch = cluster.batch(busy, [0.3])
    assert not batch.wait(0.01)
    assert batch.wait(10)


def test_progress_counts(cluster: Cluster) -> None:
    batch = cluster.batch(fail_on_seven, range(50))
    batch.wait(10)
    progress = batch.progress
    assert (progress.total, progress.done, progress.failed, progress.eta_seconds) == (50, 50, 1, 0)
    assert "50/50 done, 1 failed" in repr(batch)


def test_a_failed_item_is_tried_again(cluster: Cluster, tmp_path: Path) -> None:
    batch = cluster.batch(
        fail_first, range(20), kwargs={"folder": str(tmp_path), "times": 2}, retries=2, backoff=Backoff(0.05)
    )
    assert batch.gather() == [3] * 20
    assert {outcome.attempts for outcome in batch.as_completed()} == {3}


def test_an_item_that_keeps_failing_ends_with_its_last_error(cluster: Cluster, tmp_path: Path) -> None:
    batch = cluster.batch(fail_first, [1], kwargs={"folder": str(tmp_path), "times": 9}, retries=1, backoff=0.01)
    with pytest.raises(OSError, match="attempt 2 of item 1"):
        batch.gather()


def test_a_soft_time_limit_is_an_error_in_the_item_alone(cluster: Cluster) -> None:
    results = cluster.batch(busy, [0.0, 30.0, 0.0], timeout=0.3).gather(return_exceptions=True)
    assert [results[0], results[2]] == [0.0, 0.0]
    assert isinstance(results[1], ItemTimeout)


def test_a_hard_time_limit_holds_inside_c_code(cluster: Cluster) -> None:
    outcomes = list(cluster.batch(hold_the_gil, [0.0, 600.0, 0.0], timeout=0.3).as_completed())
    errors = {outcome.index: outcome.error for outcome in outcomes}
    assert errors[0] is errors[2] is None
    assert isinstance(errors[1], ItemTimeout)
    assert "hold_the_gil" in str(errors[1].__cause__)


def test_cancel_ends_every_item_at_once_and_on_the_workers(cluster: Cluster) -> None:
    batch = cluster.batch(busy, [0.1] * 2000)
    wait_until(lambda: batch.progress.done, "the first items are done")
    batch.cancel()
    assert batch.wait(1)
    results = batch.gather(return_exceptions=True)
    assert {type(result) for result in results} == {float, BatchCancelled}
    assert cluster.submit(square, 2).result(timeout=20) == 4  # no rest of the batch, 100 s, stands in the way


def test_halt_now_gives_up_what_is_running(cluster: Cluster) -> None:
    batch = cluster.batch(lambda n: 1 // 0 if n < 3 else busy(0.05), range(200), halt="now,fail=3")
    results = batch.gather(return_exceptions=True)
    assert len(results) == 200
    assert sum(isinstance(result, BatchHalted) for result in results) > 100


def test_halt_soon_lets_running_items_finish(cluster: Cluster) -> None:
    batch = cluster.batch(lambda n: 1 // 0 if n % 2 else busy(0.02), range(200), halt="soon,fail=10%")
    results = batch.gather(return_exceptions=True)
    assert len(results) == 200
    assert {type(result) for result in results} == {float, ZeroDivisionError, BatchHalted}


@pytest.mark.parametrize(
    "options",
    [{"halt": "sometimes"}, {"retries": -1}, {"timeout": 0}, {"id": "no spaces"}, {"backoff": -1}],
    ids=lambda options: next(iter(options)),
)
def test_options_that_cannot_work_are_refused(cluster: Cluster, options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        cluster.batch(square, [1], **options)


def test_an_input_that_has_to_be_pulled(cluster: Cluster) -> None:
    batch = cluster.batch(square, (n for n in range(5000)))
    assert batch.gather() == [n * n for n in range(5000)]
    assert batch.progress.total == 5000


@pytest.mark.parametrize("held", [False, True])
def test_of_one_that_is_left_in_the_midst_no_more_is_pulled(held: bool) -> None:
    """Its end, which an endless one has not, would be waited for: who leaves reads no further."""
    numbers = count()
    with Cluster(workers=1) as cluster:
        batch = cluster.batch(square, numbers)
        outcomes = batch.as_completed()
        if not held:
            del batch
        for outcome in outcomes:
            if outcome.index >= 5:
                break
        del outcomes
    pulled = next(numbers)
    assert pulled >= 5
    assert next(numbers) == pulled + 1, "nobody pulls"


def test_one_that_nobody_has_begun_to_gather_runs_although_nobody_holds_it(tmp_path: Path) -> None:
    with Cluster(workers=1) as cluster:
        cluster.batch(Path.touch, (tmp_path / str(number) for number in range(100)))
    assert len(list(tmp_path.iterdir())) == 100
