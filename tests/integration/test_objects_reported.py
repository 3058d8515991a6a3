"""What people have reported of other tools' large values (issue numbers beside each): none of it happens here."""

from __future__ import annotations

import gc
import mmap
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manycore import Cluster
from manycore.errors import WorkerCrashed
from tests.probe import Probe
from tests.waiting import wait_until

COUNT = 300_000
"""Of numbers: well above what lies in shared memory unasked."""


def same(value: Any) -> Any:
    return value


def write_into(array: Any) -> float:
    array[0] = 7
    return float(array.sum())


def descriptors(*_: Any) -> int:
    return len(os.listdir("/proc/self/fd"))


def die_at_zero(data: bytes, number: int) -> int:
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(data)


def _mapped(folder: Path) -> Any:
    with (folder / "mapped").open("w+b") as file:
        file.truncate(8 * COUNT)
        return np.frombuffer(mmap.mmap(file.fileno(), 0), dtype=float)


def _slice_of_memmap(folder: Path) -> Any:
    whole = np.memmap(folder / "memmap", dtype=float, mode="w+", shape=(100, 100, 31, 3))
    whole[:] = np.arange(whole.size).reshape(whole.shape)
    return whole[..., 1]


ARRAYS: dict[str, Callable[[Path], Any]] = {
    "a slice of a memmap, not of its first axis (joblib#116)": _slice_of_memmap,
    "over a map of memory that is no np.memmap (joblib#839)": _mapped,
    "of objects (joblib#162)": lambda _: np.array([str(n) for n in range(COUNT)], dtype=object),
    "in Fortran's order": lambda _: np.asfortranarray(np.arange(float(COUNT)).reshape(500, -1)),
    "backwards": lambda _: np.arange(COUNT)[::-2],
    "broadcast": lambda _: np.broadcast_to(np.arange(1000.0), (500, 1000)),
    "of records": lambda _: np.ones(COUNT, dtype=[("a", "i4"), ("b", "f8")]),
    "of another byte order": lambda _: np.arange(COUNT, dtype=">f8"),
    "without an element (cpython: SharedMemory of no bytes)": lambda _: np.zeros((0, 1 << 20)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_is_the_same_there_and_back(cluster: Cluster, tmp_path: Path, name: str) -> None:
    array = ARRAYS[name](tmp_path)
    for got in (
        cluster.submit(same, array).result(20),
        cluster.submit(same, cluster.put(array)).result(20),
        cluster.put(array).get(),
    ):
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        assert np.array_equal(got, array)


def test_an_item_may_write_into_a_large_argument_of_its_own(cluster: Cluster) -> None:
    """scikit-learn#5956, joblib#1627: from some size on, "assignment destination is read-only"."""
    array = np.ones(COUNT)
    assert cluster.submit(write_into, array).result(20) == COUNT + 6
    assert list(cluster.map(write_into, [array] * 3)) == [COUNT + 6] * 3
    assert array[0] == 1


def test_many_large_values_leave_no_memory_and_no_descriptor(cluster: Cluster) -> None:
    """ray#2213, ray#5142, dask#1411."""
    assert list(cluster.map(same, range(4))) == list(range(4))
    home = Probe(cluster).local.home
    gc.collect()
    wait_until(lambda: not home.used_bytes(), "what others left is freed")
    before = descriptors(), max(cluster.map(descriptors, range(8)))
    for turn in range(10):
        ref = cluster.put([f"{turn} {n}" * 20 for n in range(5_000)])
        assert [len(each) for each in cluster.map(same, [ref] * 4)] == [5_000] * 4
        assert len(list(cluster.map(descriptors, [np.full(100_000, n) for n in range(20)]))) == 20
    del ref
    gc.collect()
    wait_until(lambda: not home.used_bytes(), "all of it is freed")
    after = descriptors(), max(cluster.map(descriptors, range(8)))
    assert all(now <= then + 3 for now, then in zip(after, before, strict=True)), (before, after)


def test_who_is_killed_with_an_object_takes_it_from_nobody(cluster: Cluster) -> None:
    """ray#201, cpython#116849: a process that ends takes the segment, or the store, along."""
    ref = cluster.put(b"z" * (8 << 20))
    got = cluster.batch(die_at_zero, [(ref, number) for number in range(10)], star=True).gather(return_exceptions=True)
    assert isinstance(got[0], WorkerCrashed)
    assert got[1:] == [8 << 20] * 9
    assert len(ref.get()) == 8 << 20


def test_a_list_that_grew_is_another_object(cluster: Cluster) -> None:
    parts = [b"a" * 300_000]
    first = cluster.put(parts)
    parts.append(b"b" * 300_000)
    assert [len(ref.get()) for ref in (first, cluster.put(parts))] == [1, 2]
    assert [len(cluster.submit(same, ref).result(20)) for ref in (first, cluster.put(parts))] == [1, 2]
