"""What goes into a `map` or a `batch` is what it was at the call; where it comes from is the caller's own affair."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from manycore import Cluster
from tests.functions import square
from tests.probe import Probe


def test_a_buffer_may_be_cleared_and_filled_again(cluster: Cluster) -> None:
    buffer = list(range(50_000))
    batch = cluster.batch(abs, buffer)
    results = cluster.map(abs, buffer, buffer[:10_000])
    named = cluster.map(square, buffer)
    buffer.clear()
    assert batch.gather() == list(range(50_000))
    assert sum(named) == sum(n * n for n in range(50_000))
    with pytest.raises(TypeError, match="one argument"):
        next(results)


def test_a_lazy_input_may_use_the_cluster_itself(cluster: Cluster) -> None:
    def numbers() -> Iterator[int]:
        for number in range(5):
            yield cluster.submit(square, number).result(20)

    assert list(cluster.map(abs, numbers(), timeout=30)) == [0, 1, 4, 9, 16]


def test_a_lazy_input_counts_as_its_caller_does(cluster: Cluster) -> None:
    with decimal.localcontext() as context:
        context.prec = 5
        results = cluster.map(str, (decimal.Decimal(1) / n for n in (3, 7)))
    assert list(results) == ["0.33333", "0.14286"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), LookupError("bad")])
@pytest.mark.parametrize(
    "read", [lambda c, i: list(c.map(abs, i)), lambda c, i: c.batch(abs, i).gather()], ids=["map", "batch"]
)
def test_what_an_input_raises_is_raised_where_it_is_read(
    cluster: Cluster, error: BaseException, read: Callable[[Cluster, Iterator[int]], Any]
) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise error

    with pytest.raises(type(error)):
        read(cluster, numbers())
    assert cluster.submit(abs, -1).result(20) == 1


def test_results_hold_their_cluster(start_worker: Callable[..., Any], connect: Callable[..., Cluster]) -> None:
    start_worker()
    url = Probe(connect()).address
    assert sum(Cluster(url).map(abs, (n for n in range(1000)))) == sum(range(1000))
