"""Odd but ordinary calls, as people make them of other tools: each works, or says what would."""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import BatchCancelled, BatchHalted, NotPicklable, SettingsError
from tests.functions import square
from tests.probe import Probe
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


class _NoHash(type):
    def __eq__(cls, other: object) -> bool:
        return cls is other


class _OfAnOddClass(metaclass=_NoHash):
    pass


class _Changing(dict[int, int]):
    """As a dict that another thread changes while it is pickled."""

    def __reduce__(self) -> Any:
        raise RuntimeError("dictionary changed size during iteration")


@pytest.mark.parametrize("odd", [_OfAnOddClass(), _Changing()], ids=["no hash", "changing"])
def test_an_argument_that_cannot_be_looked_at_is_an_error_of_its_own_call_alone(cluster: Cluster, odd: Any) -> None:
    neighbours = [cluster.submit(square, number) for number in range(3)]
    with pytest.raises(NotPicklable):
        cluster.submit(square, odd).result(timeout=20)
    assert [future.result(timeout=20) for future in neighbours] == [0, 1, 4]


def test_a_dict_that_another_thread_changes_is_an_error_of_its_own_call_alone(cluster: Cluster) -> None:
    held, ended = {number: str(number) for number in range(100_000)}, threading.Event()

    def change() -> None:
        number = 0
        while not ended.is_set():
            number -= 1
            held[number] = "new"

    thread = threading.Thread(target=change)
    thread.start()
    try:
        neighbour = cluster.submit(square, 3)
        one = cluster.submit(len, held)
        failed = one.exception(timeout=30)
        assert failed is None or isinstance(failed, NotPicklable)
        assert neighbour.result(timeout=30) == 9
    finally:
        ended.set()
        thread.join()


def test_a_constant_is_the_input_of_a_named_batch(cluster: Cluster) -> None:
    batch = cluster.batch(square, itertools.repeat(3, 10), id="constant")
    assert batch.wait(20)
    assert batch.gather() == [9] * 10


def test_a_named_batch_that_halted_halts_again_and_keeps_nobody(cluster: Cluster) -> None:
    for _ in range(2):
        batch = cluster.batch(int, ["x"] * 5, id="halts", halt="now,fail=2")
        with pytest.raises((ValueError, BatchHalted)):  # of the first item: it failed, or had not run
            batch.gather()
    wait_until(lambda: "halts" not in Probe(cluster).open_lanes, "a shutdown does not wait for it")


@pytest.mark.parametrize("url", [4, Path("x"), b"redis://x"])
def test_an_address_is_a_text(url: Any) -> None:
    with pytest.raises(SettingsError, match=r"the address of a cluster is a str" + (".*workers=4" if url == 4 else "")):
        Cluster(url)
