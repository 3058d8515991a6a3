"""Keys of different things never meet, whatever a batch is called."""

from __future__ import annotations

from itertools import combinations

from hypothesis import example, given
from hypothesis import strategies as st

from manycore.protocol import keys

OURS = {
    keys.WORKERS,
    keys.ACCOUNTS,
    keys.LOGS,
    keys.DETACHED,
    keys.WATCH,
    keys.QUARANTINE,
    keys.QUARANTINE_COUNTS,
    keys.QUARANTINE_ITEMS,
}
words = sorted(
    {part for name in OURS for part in name.split(":")}
    | {"account", "batch", "ref", "obj", "worker", "plain", "told", "item"}
)
suffixes = st.sampled_from(["", ":out", ":in", ":claims", ":strikes", "%3Aout", "{a}", "\n", "\ud800"])
names = st.builds(str.__add__, st.sampled_from(words) | st.text(min_size=1, max_size=12), suffixes)
tokens = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)


def held_by(batch: str, token: str = "0" * 16) -> list[str]:
    return [*keys.owned_by(batch), keys.log(batch), keys.payload(batch, token), keys.values(batch, token)]


def others(name: str) -> set[str]:
    shared = {keys.worker(name), keys.reference(name), keys.plain_executions(name), keys.quarantined(name)}
    return OURS | shared | {keys.account(name), keys.told(name), keys.object_pieces(name)}


@given(names, tokens)
def test_everything_of_a_batch_has_a_key_of_its_own(batch: str, token: str) -> None:
    held = held_by(batch, token)
    assert len(set(held)) == len(held)


@given(names, names)
@example("foo:out", "batch:foo")
@example("batch", "out")
def test_two_batches_share_no_key(one: str, other: str) -> None:
    assert one == other or not {*held_by(one)} & {*held_by(other)}


@given(names, names)
@example("worker", "out")
@example("quarantine", "0")
def test_a_batch_takes_no_key_of_anything_else(batch: str, name: str) -> None:
    assert not {*held_by(batch)} & others(name)


def test_words_that_are_ours_are_no_batch_s() -> None:
    for one, other in combinations(words, 2):
        assert not {*held_by(one)} & ({*held_by(other)} | others(other))


def test_ordinary_ids_are_read_in_their_keys() -> None:
    assert keys.outcomes("nightly-2025_3") == "mc:nightly-2025_3:out"


def test_keys_can_be_sent() -> None:
    """A lone surrogate is text, and cannot be encoded."""
    assert keys.batch("a\ud800b").encode()


@given(names)
@example("out")
@example("in")
@example("batch")
def test_what_a_key_holds_is_told_by_its_name(name: str) -> None:
    kinds = [keys.type_of(key) for key in held_by(name)]
    assert kinds == [b"hash", b"stream", b"hash", b"hash", b"hash", b"stream", b"string", b"string"]
    assert keys.type_of(keys.worker(name)) == b"hash"
    hashes, strings = (keys.account, keys.plain_executions), (keys.reference, keys.told, keys.quarantined)
    assert {keys.type_of(make(name)) for make in hashes} == {b"hash"}
    assert {keys.type_of(make(name)) for make in strings} == {b"string"}


def test_what_is_not_ours_is_of_no_type() -> None:
    assert not [
        key for key in ("cpu", "manycore-unacked", "celery-task-meta-mc:out", "mc", "mc:a") if keys.type_of(key)
    ]


@given(names)
@example("batch")
def test_an_account_tells_whose_it_is(name: str) -> None:
    assert keys.batch_of(keys.account(name)) == name
