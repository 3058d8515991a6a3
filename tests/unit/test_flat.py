"""`flat`: a value as one run of bytes, whose buffers are found where they lie."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.errors import MessageRefused, NotPicklable, PayloadTooLarge
from manycore.protocol.flat import BOUNDARY, Flat, flatten, restored

values = st.recursive(
    st.none() | st.integers() | st.text() | st.binary(max_size=200) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
arrays = st.lists(st.integers(0, 300).map(lambda size: np.arange(size)), max_size=4)


def as_bytes(flat: Flat) -> bytes:
    return b"".join(map(bytes, flat.pieces()))


@given(values, arrays, st.integers(1, 1000))
def test_what_goes_in_comes_out(value: Any, held: list[Any], aside: int) -> None:
    flat = flatten((value, held), "It", aside)
    written = as_bytes(flat)
    assert len(written) == flat.size
    found, again = restored(memoryview(written))
    assert found == value
    assert all(map(np.array_equal, held, again))


def test_arrays_lie_where_they_were_written() -> None:
    written = bytearray(as_bytes(flatten([np.zeros(100), "x", np.arange(50)], "It", 64)))
    zeros, _, numbers = restored(memoryview(written).toreadonly())
    whole = np.frombuffer(written, np.uint8)
    assert np.shares_memory(zeros, whole)
    assert np.shares_memory(numbers, whole)
    assert not zeros.flags.writeable
    assert {(array.ctypes.data - whole.ctypes.data) % BOUNDARY for array in (zeros, numbers)} == {0}
    with pytest.raises(ValueError, match="read-only"):
        zeros[0] = 1


def test_a_copy_can_be_written_to() -> None:
    written = as_bytes(flatten(np.zeros(100), "It", 64))
    array = restored(memoryview(written), copied=True)
    array[0] = 1
    assert restored(memoryview(written))[0] == 0


def test_the_digest_is_that_of_the_content() -> None:
    same, other = flatten(np.zeros(100), "It", 64), flatten(np.ones(100), "It", 64)
    assert flatten(np.zeros(100), "It", 64).digest() == same.digest() != other.digest()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:15],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: b"x" + content[1:],
        lambda content: content[:4] + b"\xff" * 4 + content[8:],
        lambda content: content[:8] + b"\xff" * 8 + content[16:],
        lambda content: content[:16] + b"\xff" * 8 + content[24:],
    ],
    ids=["empty", "no head", "cut", "longer", "magic", "many buffers", "long pickle", "long buffer"],
)
def test_what_is_not_whole_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(MessageRefused):
        restored(memoryview(spoil(as_bytes(flatten(np.zeros(100), "It", 64)))))


def test_what_cannot_be_pickled_says_so() -> None:
    with pytest.raises(NotPicklable, match="It cannot be pickled"):
        flatten(threading.Lock(), "It", 1)
    with pytest.raises(PayloadTooLarge):
        flatten(np.zeros(1000), "It", 64, max_bytes=7000)


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (random.Random(1).randbytes(100_000), True),
        ({"weights": np.zeros(100_000), "names": ["a", "b"]}, True),
        ({"tags": {"a", "b"}}, False),
        ({"tags": frozenset("ab")}, False),
        (lambda: 1, False),
        (["a"] * 100_000, False),
    ],
)
def test_a_glance_says_whether_every_run_makes_the_same_bytes(value: Any, same: bool) -> None:
    assert flatten(value, "It", 4096).is_the_same_in_every_run(value) == same
