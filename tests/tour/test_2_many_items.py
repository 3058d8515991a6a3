"""Second stop: many items. Nobody tunes a chunk size: workers divide what is left among themselves while they run."""

from __future__ import annotations

from itertools import count, islice

from manycore import Cluster


def test_map_gives_results_in_the_order_of_the_input(cluster: Cluster) -> None:
    assert list(cluster.map(abs, range(-1000, 0))) == list(range(1000, 0, -1))


def test_map_takes_several_inputs_side_by_side(cluster: Cluster) -> None:
    assert list(cluster.map(pow, [2, 3, 4], [10, 20, 30])) == [2**10, 3**20, 4**30]


def test_an_endless_input_is_pulled_as_far_as_it_is_needed(cluster: Cluster) -> None:
    results = cluster.map(lambda number: number * number, count())
    assert list(islice(results, 5)) == [0, 1, 4, 9, 16]
    results.close()


def test_a_batch_is_gathered_as_a_whole(cluster: Cluster) -> None:
    batch = cluster.batch(str.upper, ["fee", "fi", "fo", "fum"])
    assert batch.gather() == ["FEE", "FI", "FO", "FUM"]


def test_or_as_it_completes(cluster: Cluster) -> None:
    """An outcome tells which item it is of, and what became of it: a value or an error."""
    batch = cluster.batch(lambda number: 10 // number, range(3))
    outcomes = {outcome.index: outcome for outcome in batch.as_completed()}
    assert {index: outcome.value for index, outcome in outcomes.items() if outcome.ok} == {1: 10, 2: 5}
    assert isinstance(outcomes[0].error, ZeroDivisionError)


def test_items_can_be_arguments(cluster: Cluster) -> None:
    """`star` unpacks each item; `kwargs` go with every call."""
    assert cluster.batch(int, [("ff",), ("10",)], star=True, kwargs={"base": 16}).gather() == [255, 16]


def test_a_batch_tells_how_far_it_is(cluster: Cluster) -> None:
    batch = cluster.batch(abs, range(100))
    assert batch.wait(timeout=20)
    assert (batch.progress.done, batch.progress.total, batch.progress.failed) == (100, 100, 0)
