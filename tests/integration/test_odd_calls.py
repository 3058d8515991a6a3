"""Odd but ordinary calls, as people make them of other tools: each works, or says what would."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import BatchCancelled, SettingsError
from tests.functions import square
from tests.waiting import wait_until


async def waits(number: int) -> int:
    await asyncio.sleep(0)
    return number


async def yields(number: int) -> AsyncIterator[int]:
    yield number


class WaitsWhenCalled:
    async def __call__(self, number: int) -> int:
        return number


class Proxy:
    """As remote objects are: it has every attribute but those of which its server knows nothing."""

    def __getattr__(self, name: str) -> Any:
        raise ConnectionError(f"no server to ask for {name}")

    def __call__(self, number: int) -> int:
        return number + 1


@pytest.mark.parametrize(
    "function", [waits, yields, WaitsWhenCalled(), functools.partial(waits, 1)], ids=["def", "yield", "call", "partial"]
)
def test_an_async_function_is_refused_with_a_way_out(cluster: Cluster, function: Any) -> None:
    with pytest.raises(TypeError, match=r"is async: .* asyncio\.run"):
        cluster.submit(function, 1).result(timeout=10)
    with pytest.raises(TypeError, match="is async"):
        cluster.batch(function, [1])


def test_a_callable_whose_attributes_raise_is_a_function_like_any_other(cluster: Cluster) -> None:
    assert cluster.submit(Proxy(), 1).result(timeout=10) == 2


@pytest.mark.parametrize("batch_id", [5, None, b"x", ("a",)])
def test_an_id_that_is_no_text_names_no_batch(cluster: Cluster, batch_id: Any) -> None:
    with pytest.raises(SettingsError, match="is a str"):
        cluster.attach(batch_id)
    if batch_id is not None:
        with pytest.raises(SettingsError, match="is a str"):
            cluster.batch(abs, [1], id=batch_id)


@pytest.mark.parametrize("batch_id", ["", "a b", "a/b", "ünï", "a\nb", "..", "%41", "x" * 300])
def test_an_id_that_cannot_be_one_says_what_can(cluster: Cluster, batch_id: str) -> None:
    with pytest.raises(SettingsError, match="1 to 120 letters"):
        cluster.batch(abs, [1], id=batch_id)


@pytest.mark.parametrize("options", [{"timeout": "1"}, {"kwargs": [1]}, {"kwargs": {1: 2}}])
def test_options_of_another_type_say_what_they_should_be(cluster: Cluster, options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(options))}="):
        cluster.batch(abs, [1], **options)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_list_of_no_batches_is_refused(cluster: Cluster, limit: int) -> None:
    with pytest.raises(ValueError, match="limit must be >= 1"):
        cluster.batches(limit)


def test_threads_that_read_one_map_share_its_results(cluster: Cluster) -> None:
    """A second reader ended the first one's reading, with `BatchCancelled`."""
    go = threading.Event()

    def numbers() -> Iterator[int]:
        yield 1
        go.wait(20)
        yield from range(2, 200)

    results: Any = cluster.map(square, numbers())
    assert next(results) == 1
    read: list[int] = []
    readers = [threading.Thread(target=lambda: read.extend(results)) for _ in range(3)]
    for reader in readers:
        reader.start()
    wait_until(results._turn.locked, "one of them waits")
    go.set()
    for reader in readers:
        reader.join(20)
    assert sorted(read) == [number * number for number in range(2, 200)]


def test_a_map_that_another_thread_reads_can_be_closed(cluster: Cluster) -> None:
    go = threading.Event()

    def numbers() -> Iterator[int]:
        yield 1
        go.wait(20)

    def read() -> None:
        with suppress(BatchCancelled):
            list(results)

    results: Any = cluster.map(square, numbers())
    first = threading.Thread(target=read)
    first.start()
    wait_until(results._turn.locked, "it is read")
    results.close()
    go.set()
    first.join(20)
    assert not first.is_alive()
