"""`Pace`: a few items go as one message once several batches of their function were short, and no longer than that."""

from __future__ import annotations

import pytest

from manycore.client.pace import ENOUGH, FEW_ITEMS, MAX_KNOWN, SHORT_SECONDS, Pace
from manycore.protocol.parcel import Program

PROGRAM = Program("manycore.call", "cpu", digest="d")


@pytest.fixture
def pace() -> Pace:
    pace = Pace()
    for _ in range(ENOUGH):
        pace.note(PROGRAM, 1e-6, 20)
    return pace


def test_several_short_batches_are_a_sign(pace: Pace) -> None:
    assert pace.is_short(PROGRAM, 20)
    assert not pace.is_short(Program("manycore.call", "cpu", digest="another"), 20)


def test_one_is_none() -> None:
    pace = Pace()
    pace.note(PROGRAM, 1e-6, 20)
    assert not pace.is_short(PROGRAM, 20)


def test_one_long_batch_ends_it(pace: Pace) -> None:
    pace.note(PROGRAM, SHORT_SECONDS, 2)
    assert not pace.is_short(PROGRAM, 20)


def test_of_many_items_or_of_longer_ones_it_says_nothing(pace: Pace) -> None:
    assert not pace.is_short(PROGRAM, FEW_ITEMS + 1)
    pace.note(PROGRAM, SHORT_SECONDS / 10, 10)
    assert not pace.is_short(PROGRAM, 20)


def test_it_remembers_the_last_ones_only(pace: Pace) -> None:
    for number in range(MAX_KNOWN):
        pace.note(Program("manycore.call", "cpu", digest=str(number)), 1e-6, 20)
    assert not pace.is_short(PROGRAM, 20)
