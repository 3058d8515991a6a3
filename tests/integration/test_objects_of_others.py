"""Large objects of another cluster, or of another client: what they need is nothing that somebody else has put."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manycore import Cluster
from manycore.errors import ObjectGone
from manycore.protocol import pieces
from manycore.protocol.flat import flatten
from manycore.protocol.settings import Settings
from manycore.protocol.signing import Keyring
from manycore.worker.objects import WorkerObjects
from tests.integration.conftest import Server
from tests.probe import Probe

MIB = 1 << 20


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A local cluster whose shared memory has no room for another object, and its refs."""
    monkeypatch.setenv("MANYCORE_OBJECTS_BYTES", str(5 * MIB))
    with Cluster(workers=1) as full:
        yield full, [full.put(of(number)) for number in range(4)]


def of(number: int) -> Any:
    return np.full(MIB // 8, float(number))


def first_of(array: Any) -> float:
    return float(array[0])


def first_and_writes(array: Any) -> tuple[float, bool]:
    return float(array[0]), array.flags.writeable


def test_a_ref_of_another_cluster_says_so(cluster: Cluster, full: tuple[Cluster, list[Any]]) -> None:
    own, refs = full
    other = cluster.put(np.zeros(MIB // 4))
    with pytest.raises(ObjectGone, match="its cluster, only there"):
        own.submit(first_of, other).result(timeout=20)
    assert [first_of(ref.get()) for ref in refs] == [0.0, 1.0, 2.0, 3.0]
    assert list(own.map(first_of, refs)) == [0.0, 1.0, 2.0, 3.0]


def test_another_client_of_a_local_cluster_pushes_nothing_out(full: tuple[Cluster, list[Any]]) -> None:
    own, refs = full
    with Probe(own).another_client() as other:
        ref, shared = other.put(np.full(MIB // 4, 7.0)), np.full(MIB // 4, 8.0)
        assert other.submit(first_and_writes, ref).result(timeout=20) == (7.0, False)
        assert list(other.map(first_and_writes, [shared] * 3)) == [(8.0, True)] * 3
    assert [first_of(ref.get()) for ref in refs] == [0.0, 1.0, 2.0, 3.0]


def test_what_is_gone_pushes_nothing_out(server: Server, tmp_path: Path) -> None:
    ring, flat = Keyring.parse(server.key), flatten(np.zeros(MIB // 4), "It", 1)
    objects = WorkerObjects(Settings(objects_folder=tmp_path, objects_bytes=3 * MIB), ring, server.client)
    pieces.store(server.client(), ring, "a" * 32, flat, 60)
    objects.value("another", "a" * 32, flat.size, private=False)
    with pytest.raises(ObjectGone):
        objects.value("another", "b" * 32, flat.size, private=False)
    assert objects.home.has("a" * 32)
    objects.home.remove()
