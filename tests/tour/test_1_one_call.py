"""First stop: one call. A `Cluster` is an executor of the standard library, whose workers are processes anywhere."""

from __future__ import annotations

import asyncio
from concurrent.futures import as_completed
from typing import Any

import pytest

from manycore import Cluster


def test_submit_gives_a_future(cluster: Cluster) -> None:
    future = cluster.submit(pow, 2, 100)
    assert future.result(timeout=20) == 2**100


def test_any_function_will_do(cluster: Cluster) -> None:
    """A lambda with what it refers to travels by value: workers need not be able to import it."""
    offset = 40
    assert cluster.submit(lambda number: number + offset, 2).result(timeout=20) == 42


def test_a_call_that_fails_raises_its_own_error(cluster: Cluster) -> None:
    """As if it had been called here; the worker's traceback is the cause."""
    with pytest.raises(ZeroDivisionError) as caught:
        cluster.submit(lambda: 1 // 0).result(timeout=20)
    assert "1 // 0" in str(caught.value.__cause__)


def test_futures_can_be_awaited(cluster: Cluster) -> None:
    async def main() -> list[int]:
        return list(await asyncio.gather(*(cluster.submit(abs, -number) for number in range(5))))

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_what_waits_for_futures_waits_for_ours(cluster: Cluster) -> None:
    futures: dict[Any, int] = {cluster.submit(divmod, number, 10): number for number in (7, 42)}
    assert {futures[done]: done.result() for done in as_completed(futures, timeout=20)} == {7: (0, 7), 42: (4, 2)}
