"""A `memoryview` arrives with its values where they were, whatever the order of its bytes in memory."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from manycore.errors import NotPicklable
from manycore.protocol.flat import flatten, restored
from manycore.protocol.pickling import dumps

NUMBERS = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "held",
    [
        NUMBERS,
        np.asfortranarray(NUMBERS),
        NUMBERS.transpose(2, 0, 1),
        NUMBERS[:, ::2, 1:3],
        NUMBERS[0, 0, ::-1],
        np.arange(9, dtype=np.uint8)[::3],
        np.array(3.0),
        np.zeros(0),
        np.zeros((2, 3, 4), np.bool_, order="F"),
        b"",
    ],
)
def test_a_view_arrives_as_it_is(held: Any) -> None:
    view = memoryview(held)
    flat = b"".join(flatten(view, "It", 1).pieces())
    for again in (pickle.loads(dumps(view)), restored(memoryview(flat)), restored(memoryview(flat), copied=True)):
        assert (again.format, again.shape) == (view.format, view.shape)
        assert again.tolist() == view.tolist()


def test_an_empty_view_that_cannot_be_made_again_is_refused_at_once() -> None:
    held: Any = np.zeros((0, 3))
    with pytest.raises(NotPicklable, match=r"shape \(0, 3\)"):
        dumps(memoryview(held))
