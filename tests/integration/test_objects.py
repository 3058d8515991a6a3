"""Large objects: put once, used by many; what is large or shared goes the same way unasked, and is freed."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manycore import Cluster, Ref
from manycore.errors import NotPicklable, ObjectGone, ObjectStoreFull
from tests.probe import Probe
from tests.waiting import wait_until

MIB = 1 << 20


@pytest.fixture
def big() -> Any:
    return np.arange(MIB, dtype=np.float64)


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does, nothing of it stays in shared memory once it let go of it."""
    yield
    if "cluster" in request.fixturenames:
        gc.collect()
        wait_until(lambda: files_of(request.getfixturevalue("cluster")) == [], "shared memory is free")


def home_of(cluster: Cluster) -> Path:
    return Probe(cluster).local.home.path


def files_of(cluster: Cluster) -> list[str]:
    return [name for name in os.listdir(home_of(cluster)) if not name.startswith(".")]


def seen(array: Any) -> tuple[float, bool, str]:
    """What an item sees of an array: its sum, whether it can be written to, and in which file it lies."""
    address = array.__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, stop = (int(end, 16) for end in line.split()[0].split("-"))
        if start <= address < stop:
            return float(array.sum()), array.flags.writeable, line.split(maxsplit=5)[5] if "/" in line else ""
    return 0.0, False, ""


def write_and_sum(array: Any, value: float) -> float:
    array[0] += value
    return float(array[0])


def test_an_object_that_was_put_is_the_argument_of_items(cluster: Cluster, big: Any) -> None:
    ref = cluster.put(big)
    assert isinstance(ref, Ref)
    total, writable, file = cluster.submit(seen, ref).result(timeout=20)
    assert (total, writable) == (big.sum(), False)
    assert file.startswith(str(home_of(cluster)))  # mapped where it lies, and not copied
    assert len(files_of(cluster)) == 1


def test_a_ref_may_stand_anywhere_in_arguments(cluster: Cluster, big: Any) -> None:
    ref = cluster.put(big)
    deep = cluster.submit(lambda held, *, more: held["x"][0].sum() + more[1].sum(), {"x": [ref]}, more=(1, ref))
    assert deep.result(timeout=20) == 2 * big.sum()
    rows = cluster.batch(
        lambda a, n, scale: float(a[n] * scale[1]), [(ref, n) for n in range(8)], star=True, kwargs={"scale": ref}
    )
    assert rows.gather() == [float(n) for n in range(8)]
    assert list(cluster.map(lambda a, n: float(a[n]), repeat(ref), range(4))) == [0.0, 1.0, 2.0, 3.0]


def test_a_ref_inside_a_large_value_that_is_shared(cluster: Cluster, big: Any) -> None:
    held = [big + 1, cluster.put(big)]
    rows = cluster.batch(lambda held, n: float(held[1][n]), [(held, n) for n in range(4)], star=True)
    assert rows.gather() == [0.0, 1.0, 2.0, 3.0]
    named = cluster.batch(lambda n, held: float(held[1][n]), range(4), kwargs={"held": held})
    assert named.gather() == [0.0, 1.0, 2.0, 3.0]


def test_a_ref_in_a_closure_stays_a_ref(cluster: Cluster, big: Any) -> None:
    ref = cluster.put(big)
    assert cluster.batch(lambda n: float(ref.get()[n]), range(5)).gather() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_ref_in_a_function_that_is_an_argument_stays_a_ref(cluster: Cluster, big: Any) -> None:
    """But one beside it becomes its object, and its object is held as any other is."""

    def call_with(ref: Ref[Any]) -> tuple[Any, Ref[Any]]:
        return lambda array: float(array[3]) + ref.get()[4], ref

    first, rows = call_with(cluster.put(big)), [call_with(cluster.put(big + n)) for n in (1, 2)]
    assert cluster.submit(lambda call, array: call(array), *first).result(timeout=20) == 7.0
    batch = cluster.batch(lambda call, array: call(array), rows, star=True)
    del first, rows
    assert batch.gather() == [9.0, 11.0]
    small = cluster.put(3.0)
    assert cluster.submit(lambda *, call: call(), call=lambda: small.get()).result(timeout=20) == 3.0


def test_a_batch_keeps_what_it_was_passed(cluster: Cluster, big: Any) -> None:
    batch = cluster.batch(lambda n, held: float(held[n]), range(40), kwargs={"held": cluster.put(big)})
    later = cluster.submit(lambda held: float(held[3]), cluster.put(big + 1))
    gc.collect()
    assert batch.gather() == [float(n) for n in range(40)]
    assert later.result(timeout=20) == 4.0


def test_the_object_is_what_it_was_when_it_was_put(cluster: Cluster, big: Any) -> None:
    ref = cluster.put(big)
    big[1] = -1.0
    assert ref.get()[1] == 1.0
    assert cluster.submit(lambda a: float(a[1]), ref).result(timeout=20) == 1.0


def test_mapped_arrays_can_only_be_read(cluster: Cluster, big: Any) -> None:
    ref = cluster.put(big)
    with pytest.raises(ValueError, match="read-only"):
        ref.get()[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        cluster.submit(write_and_sum, ref, 1.0).result(timeout=20)


def test_the_same_content_is_kept_once(cluster: Cluster, big: Any) -> None:
    ref = cluster.put(big)
    assert cluster.put(big.copy()) is ref
    other = cluster.put(big + 1)
    assert other is not ref
    assert len(files_of(cluster)) == 2


@pytest.mark.parametrize("value", [b"x" * MIB, "y" * MIB, list(range(1000)), None, bytearray(b"z" * MIB)])
def test_anything_can_be_put(cluster: Cluster, value: Any) -> None:
    ref = cluster.put(value)
    assert ref.get() == value
    assert cluster.submit(lambda held: held, ref).result(timeout=20) == value


def test_a_view_of_memory_arrives_as_one(cluster: Cluster) -> None:
    ref = cluster.put(memoryview(b"abc" * MIB))
    kind, length, readonly = cluster.submit(lambda v: (type(v).__name__, len(v), v.readonly), ref).result(timeout=20)
    assert (kind, length, readonly) == ("memoryview", 3 * MIB, True)


def test_what_cannot_be_pickled_cannot_be_put(cluster: Cluster) -> None:
    with pytest.raises(NotPicklable):
        cluster.put(n for n in range(3))


def test_a_large_argument_does_not_pass_through_the_server(cluster: Cluster, big: Any) -> None:
    server = Probe(cluster).redis
    before = server.info("stats")["total_net_input_bytes"]
    total, writable, file = cluster.submit(seen, big).result(timeout=20)
    assert (total, writable) == (big.sum(), True)  # the item's own, as ever
    assert file.startswith(str(home_of(cluster)))
    assert server.info("stats")["total_net_input_bytes"] - before < big.nbytes / 8


def test_a_large_result_does_not_pass_through_the_server_and_is_the_caller_s_own(cluster: Cluster) -> None:
    server = Probe(cluster).redis
    before = server.info("stats")["total_net_output_bytes"]
    array = cluster.submit(np.arange, MIB).result(timeout=20)
    assert server.info("stats")["total_net_output_bytes"] - before < array.nbytes / 8
    array[0] = 7  # can be written to
    assert files_of(cluster) == []  # and fills no shared memory, however long it is held


def test_items_that_share_a_value_share_one_copy_and_no_change_of_it(cluster: Cluster, big: Any) -> None:
    server = Probe(cluster).redis
    before = server.info("stats")["total_net_input_bytes"]
    assert cluster.batch(write_and_sum, [(big, 1.0)] * 24, star=True).gather() == [1.0] * 24
    assert list(cluster.map(write_and_sum, repeat(big), [2.0] * 24)) == [2.0] * 24
    assert (
        cluster.batch(lambda n, big: write_and_sum(big, n) > 0, [1.0] * 4, kwargs={"big": big}).gather() == [True] * 4
    )
    assert server.info("stats")["total_net_input_bytes"] - before < big.nbytes / 8
    assert big[0] == 0


def test_a_shared_value_is_in_shared_memory_once(cluster: Cluster, big: Any) -> None:
    batch = cluster.batch(seen, [big] * 16)
    assert len({file for _, _, file in batch.gather()}) == 1


def test_a_ref_inside_what_was_put_is_kept_with_it(cluster: Cluster, big: Any) -> None:
    outer = cluster.put({"inner": cluster.put(big), "much": bytes(MIB)})
    gc.collect()
    Probe(cluster).free_objects()
    assert cluster.submit(lambda held: float(held["inner"].get().sum()), outer).result(20) == float(big.sum())
    assert len(files_of(cluster)) == 2


def test_what_a_named_batch_needs_is_kept_until_it_is_deleted(cluster: Cluster, big: Any) -> None:
    first, second = (cluster.batch(seen, [big] * 4, id=f"keeps-{number}") for number in range(2))
    first.wait()
    second.wait()
    del first, second
    gc.collect()
    assert len(files_of(cluster)) == 2
    cluster.attach("keeps-0").delete()
    wait_until(lambda: len(files_of(cluster)) == 1, "what only one needed is freed")
    cluster.attach("keeps-1").delete()


def test_refs_are_freed_when_their_holder_lets_go(cluster: Cluster, big: Any) -> None:
    ref = cluster.put(big)
    assert len(files_of(cluster)) == 1
    del ref
    gc.collect()
    wait_until(lambda: files_of(cluster) == [], "it is freed")


def test_a_ref_of_a_cluster_that_has_ended_says_so(big: Any) -> None:
    with Cluster(workers=1) as ended:
        ref = ended.put(big)
        path = home_of(ended)
    assert not path.exists()
    with pytest.raises(ObjectGone, match="its cluster"):
        ref.get()
    with pytest.raises(RuntimeError, match="after shutdown"):
        ended.put(big)


@pytest.fixture
def small_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """For four arrays of `wide`, none of which can be in a message."""
    monkeypatch.setenv("MANYCORE_OBJECTS_BYTES", str(9 * MIB))
    monkeypatch.setenv("MANYCORE_MAX_ITEM_BYTES", str(MIB))


def wide(number: int) -> Any:
    return np.full(MIB // 4, float(number))


@pytest.mark.usefixtures("small_room")
def test_what_is_too_large_for_a_message_waits_for_room() -> None:
    """So many items pass through little room, both ways, and through each door."""
    with Cluster(workers=2) as cluster:
        for inputs in (map(wide, range(12)), [wide(number) for number in range(12)]):
            assert [float(row[0]) for row in cluster.map(lambda row: row + 1, inputs)] == [n + 1.0 for n in range(12)]
        calls = [cluster.submit(lambda row: row + 1, wide(number)) for number in range(12)]
        assert [float(call.result(timeout=30)[0]) for call in calls] == [n + 1.0 for n in range(12)]
        rows = cluster.batch(wide, range(12)).gather()
        assert [float(row[0]) for row in rows] == [float(n) for n in range(12)]


@pytest.mark.usefixtures("small_room")
def test_a_named_batch_frees_the_arguments_of_what_has_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And keeps those of what failed: they may be asked for again."""
    monkeypatch.setenv("MANYCORE_CONNECTION_SECONDS", "20")
    flag = tmp_path / "flag"
    flag.touch()

    def first_of(row: Any) -> float:
        if row[0] == 3 and flag.exists():
            raise ValueError
        return float(row[0])

    with Cluster(workers=2) as cluster:
        batch = cluster.batch(first_of, [wide(number) for number in range(12)], id="passes")
        found = batch.gather(return_exceptions=True)
        assert type(found.pop(3)) is ValueError
        assert found == [float(number) for number in range(12) if number != 3]
        wait_until(lambda: len(files_of(cluster)) <= 2, "only the chunk of what failed has its arguments")
        flag.unlink()
        late = threading.Event()
        Probe(cluster).housekeeper.later(lambda: late.wait(20))  # what is answered meanwhile is freed all the same
        assert batch.rerun_failed().gather() == [3.0]
        late.set()
        batch.delete()
        wait_until(lambda: files_of(cluster) == [], "nobody can ask for it again")


@pytest.mark.usefixtures("small_room")
def test_who_waits_for_room_in_vain_is_told_so_and_others_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYCORE_CONNECTION_SECONDS", "1")
    with Cluster(workers=2) as cluster:
        refs = [cluster.put(wide(number)) for number in range(4)]
        batch = cluster.batch(float, [wide(4), wide(5)])
        assert cluster.submit(pow, 2, 3).result(timeout=30) == 8
        assert [type(error) for error in batch.gather(return_exceptions=True)] == [ObjectStoreFull] * 2
        refs.clear()
        assert cluster.submit(lambda row: float(row[0]), wide(6)).result(timeout=30) == 6.0
