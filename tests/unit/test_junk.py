"""`junk`: what JSON and `float` take and none of us writes is read as one kind of error."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.protocol.account import Account, parse
from manycore.protocol.junk import LARGEST, LATEST, UNREADABLE, moment, number, whole
from tests.strange import NONE_OF_OURS

READERS = [number, whole, moment]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("text", [*NONE_OF_OURS, b"", b"x", b"\xff"])
def test_what_is_no_number_of_ours_is_unreadable(read: Callable[..., float], text: bytes) -> None:
    with pytest.raises(UNREADABLE):
        read(text)
    with pytest.raises(UNREADABLE):
        read(json.loads(text))


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("found", [None, [], {}, "[" * 100_000])
def test_another_type_is_unreadable(read: Callable[..., float], found: object) -> None:
    with pytest.raises(UNREADABLE):
        read(found)


@given(st.integers(0, int(LATEST)))
def test_ours_is_what_it_was(value: int) -> None:
    for read in READERS:
        assert read(value) == read(str(value)) == read(b"%d" % value) == value


def test_the_bounds_are_ours() -> None:
    assert (whole(LARGEST), whole(-LARGEST), number(0.25), moment(LATEST)) == (LARGEST, -LARGEST, 0.25, LATEST)
    with pytest.raises(UNREADABLE):
        moment(-1)


FIELDS = [b"started", b"total", b"done", b"last", b"ended", b"seen", b"resumed", b"before", b"ran", b"step"]
FIELDS += [b"at:1", b"s:1", b"error:E"]


@given(st.dictionaries(st.sampled_from(FIELDS), st.sampled_from([*NONE_OF_OURS, b"1", b"9007199254740992"])))
def test_an_account_of_any_numbers_can_be_shown(fields: dict[bytes, bytes]) -> None:
    account: Account = parse("b", fields | {b"at:" + text: b"5" for text in NONE_OF_OURS})
    assert json.loads(json.dumps(account.shown(1e9, ()), allow_nan=False))
