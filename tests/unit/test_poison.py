"""Poison items: one entry for an item, sealed, and the newest of them within bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.errors import MessageRefused
from manycore.protocol import keys
from manycore.protocol.message import Chunk, ItemOptions
from manycore.protocol.signing import Keyring, generate_key
from manycore.quarantine import poison
from manycore.quarantine.poison import Held, Poison, item_id, surplus
from tests.strange import NONE_OF_OURS

KEYRING = Keyring.parse("k" * 32)
NOW = 1e9
held = st.builds(Held, st.floats(NOW - 2 * keys.QUARANTINE_TTL_SECONDS, NOW), st.integers(1, 400), st.just("cpu"))
CHUNK = Chunk("night.0", "night", "manycore.call", "d" * 32, ItemOptions(retries=2), 7, 0, 1, None, b"", attempt=2)
ITEM = Poison(NOW, CHUNK, "cpu", "tests.square", "signal 9 (SIGKILL)", 3, "trace", 5, b"T....", b"function")


@given(st.dictionaries(st.text("0123456789abcdef", min_size=4, max_size=4), held, max_size=30))
def test_the_newest_stay_within_number_bytes_and_time(entries: dict[str, Held]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(poison, "MAX_ITEMS", 8)
        patch.setattr(poison, "MAX_BYTES", 1000)
        gone = set(surplus(entries, NOW))
    stay = {name: entry for name, entry in entries.items() if name not in gone}
    assert len(stay) <= 8
    assert sum(entry.size for entry in stay.values()) <= 1000
    assert all(NOW - entry.when <= keys.QUARANTINE_TTL_SECONDS for entry in stay.values())
    assert all(entries[name].when <= entry.when for name in gone for entry in stay.values())


def test_all_stay_while_there_is_room() -> None:
    assert surplus({str(n): Held(NOW - n, 10, "cpu") for n in range(poison.MAX_ITEMS)}, NOW) == []


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"[]", b"{", b"[1]", b'["x", 1, "cpu"]', b"\xff", b"null", b"[1, null, 2]", b"[" * 100_000),
        *(b'[1, %s, "cpu"]' % number for number in NONE_OF_OURS),
        *(b'[%s, 1, "cpu"]' % number for number in NONE_OF_OURS),
    ],
)
def test_what_nobody_of_ours_wrote_is_the_first_to_leave(text: bytes) -> None:
    assert surplus({"x": Held.parse(text)}, NOW) == ["x"]


@pytest.mark.parametrize(
    "item",
    [ITEM, replace(ITEM, payload=None), replace(ITEM, shadow=None, function=None), replace(ITEM, payload=b"")],
    ids=["all", "too large", "a task", "empty"],
)
def test_it_comes_back_as_it_was_sealed(item: Poison) -> None:
    assert Poison.opened(KEYRING, item.sealed(KEYRING)) == item


def test_a_changed_or_a_strangers_entry_is_refused() -> None:
    sealed = ITEM.sealed(KEYRING)
    with pytest.raises(MessageRefused, match="signature"):
        Poison.opened(KEYRING, sealed[:-1] + b"x")
    with pytest.raises(MessageRefused, match="signed with key"):
        Poison.opened(Keyring.parse(generate_key()), sealed)


def test_texts_of_any_length_are_bounded() -> None:
    long = "x" * 10_000
    item = replace(ITEM, queue=long, shadow=long, cause=long)
    assert len(item.sealed(KEYRING)) < len(ITEM.sealed(KEYRING)) + 3 * 256


def test_the_id_is_the_items() -> None:
    assert ITEM.id == replace(ITEM, when=0.0, executions=9, chunk=replace(CHUNK, id="other")).id == item_id("night", 7)
    assert len({item_id(batch, index) for batch in "abc" for index in range(99)}) == 3 * 99


def test_it_says_what_it_is_and_why_it_cannot_be_retried() -> None:
    assert ITEM.reason == "item 7 of night (tests.square): signal 9 (SIGKILL), 3 times"
    assert ITEM.obstacle is None
    assert replace(ITEM, payload=None, payload_bytes=70_000).obstacle == (
        "its arguments have 70,000 bytes, up to 65,536 are kept"
    )
    assert replace(ITEM, shadow=None).name == "manycore.call"
