"""`signing` lets nothing pass that was not sealed, whole, by a known key, as this kind of message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.errors import MessageRefused, SettingsError
from manycore.protocol import signing
from manycore.protocol.message import open_chunk
from manycore.protocol.signing import Keyring, content_digest, generate_key, is_sealed, key_id

OLD, NEW = b"an old key of the cluster", b"a new key of the cluster!"
RING = Keyring([NEW])
KINDS = [signing.CHUNK, signing.CALL, signing.OUTCOMES, signing.FUNCTION]
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=8,
)
_marks: list[str] = []


def _mark() -> None:
    _marks.append("unpickled")


class Marks:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _mark, ()


@pytest.fixture(autouse=True)
def marks() -> Iterator[list[str]]:
    _marks.clear()
    yield _marks
    _marks.clear()


@given(st.sampled_from(KINDS), plain, st.binary())
def test_what_was_sealed_opens(kind: bytes, header: Any, body: bytes) -> None:
    opened = RING.open(kind, RING.seal(kind, header, body))
    assert (opened.header, bytes(opened.body)) == (header, body)


@given(st.binary(max_size=40), st.integers(1, 255))
def test_a_change_of_any_byte_is_refused(body: bytes, change: int) -> None:
    sealed = RING.seal(signing.CHUNK, ("b", 1), body)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= change
        with pytest.raises(MessageRefused):
            RING.open(signing.CHUNK, bytes(changed))


@given(st.binary(max_size=40), st.binary(min_size=1, max_size=4))
def test_a_shorter_or_longer_message_is_refused(body: bytes, more: bytes) -> None:
    sealed = RING.seal(signing.CHUNK, None, body)
    for length in range(len(sealed)):
        with pytest.raises(MessageRefused):
            RING.open(signing.CHUNK, sealed[:length])
    with pytest.raises(MessageRefused):
        RING.open(signing.CHUNK, sealed + more)


@given(st.binary())
def test_noise_is_refused(noise: bytes) -> None:
    for message in (noise, signing.MAGIC + signing.CHUNK + key_id(NEW) + noise):
        with pytest.raises(MessageRefused):
            RING.open(signing.CHUNK, message)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_a_kind_opens_as_itself_only(kind: bytes, other: bytes) -> None:
    sealed = RING.seal(kind, None)
    renamed = sealed[:3] + other + sealed[4:]
    if kind == other:
        assert RING.open(other, sealed).header is None
        return
    for message in (sealed, renamed):
        with pytest.raises(MessageRefused):
            RING.open(other, message)


def test_a_stranger_is_told_which_keys_are_known() -> None:
    with pytest.raises(MessageRefused, match=f"signed with key {key_id(OLD).hex()}, known here: {key_id(NEW).hex()}"):
        RING.open(signing.CALL, Keyring([OLD]).seal(signing.CALL, None))


def test_while_keys_rotate_both_are_read_and_the_first_signs() -> None:
    both = Keyring([NEW, OLD])
    assert both.open(signing.CALL, Keyring([OLD]).seal(signing.CALL, 1)).header == 1
    assert RING.open(signing.CALL, both.seal(signing.CALL, 2)).header == 2


def test_a_message_under_another_keys_name_is_refused() -> None:
    both = Keyring([NEW, OLD])
    sealed = both.seal(signing.CALL, None)
    with pytest.raises(MessageRefused, match="signature does not hold"):
        both.open(signing.CALL, sealed[:4] + key_id(OLD) + sealed[8:])


def test_the_limit_counts_the_whole_message() -> None:
    sealed = RING.seal(signing.CALL, None, b"x" * 100)
    assert RING.open(signing.CALL, sealed, max_bytes=len(sealed))
    with pytest.raises(MessageRefused, match=rf"it has {len(sealed)} bytes, the limit is {len(sealed) - 1}"):
        RING.open(signing.CALL, sealed, max_bytes=len(sealed) - 1)


def test_the_sealed_mark_is_live(marks: list[str]) -> None:
    RING.open(signing.CALL, RING.seal(signing.CALL, Marks()))
    assert marks == ["unpickled"]


def test_nothing_of_a_stranger_is_unpickled(marks: list[str]) -> None:
    with pytest.raises(MessageRefused):
        RING.open(signing.CALL, Keyring([OLD]).seal(signing.CALL, Marks()))
    forged = Keyring([OLD]).seal(signing.CALL, Marks())
    with pytest.raises(MessageRefused):
        RING.open(signing.CALL, forged[:4] + key_id(NEW) + forged[8:])
    assert marks == []


def test_nothing_of_another_kind_or_size_is_unpickled(marks: list[str]) -> None:
    sealed = RING.seal(signing.CALL, Marks())
    with pytest.raises(MessageRefused):
        RING.open(signing.CHUNK, sealed)
    with pytest.raises(MessageRefused):
        RING.open(signing.CALL, sealed, max_bytes=10)
    assert marks == []


@pytest.mark.parametrize("text", ["first-key-16-bytes second-key-16-byte", "first-key-16-bytes,\nsecond-key-16-byte\n"])
def test_keys_are_read_in_order(text: str) -> None:
    assert Keyring.parse(text).ids == [key_id(b"first-key-16-bytes").hex(), key_id(b"second-key-16-byte").hex()]


def test_a_short_key_is_refused_with_a_way_to_make_one() -> None:
    with pytest.raises(SettingsError, match=r"has 5 bytes; at least 16 are needed.*secrets\.token_hex"):
        Keyring([b"short"])


def test_no_key_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least one key"):
        Keyring.parse(" , ")


def test_a_key_of_any_length_works() -> None:
    long = Keyring([b"k" * 1000])
    assert long.open(signing.CALL, long.seal(signing.CALL, 1)).header == 1


def test_generated_keys_differ_and_fit() -> None:
    assert generate_key() != generate_key()
    assert Keyring.parse(generate_key())


def test_the_digest_of_a_body_depends_on_each_byte() -> None:
    assert content_digest(b"ab") == content_digest(memoryview(b"ab")) != content_digest(b"ac")


def test_a_claimed_kind_is_seen_without_a_key() -> None:
    assert is_sealed(signing.CHUNK, Keyring([OLD]).seal(signing.CHUNK, None))
    assert not is_sealed(signing.CALL, RING.seal(signing.CHUNK, None))
    assert not is_sealed(signing.CALL, b"")


class Vanishing:
    """What one side has, and the other has not."""

    def __reduce__(self) -> Any:
        return _vanished, ()


def _vanished() -> None:
    raise ModuleNotFoundError("No module named 'numpy'")


def test_a_header_that_cannot_be_read_here_is_refused() -> None:
    sealed = RING.seal(signing.CHUNK, {"timeout": Vanishing()})
    with pytest.raises(MessageRefused, match="its header cannot be read here: ModuleNotFoundError: No module named"):
        RING.open(signing.CHUNK, sealed)


@pytest.mark.parametrize("head", [{}, {"options": ()}, {"options": ("item", 0, None), "backoff": ("x",)}, None])
def test_a_header_of_another_kind_is_refused(head: Any) -> None:
    with pytest.raises(MessageRefused, match="no chunk of this version"):
        open_chunk(RING, RING.seal(signing.CHUNK, head))
