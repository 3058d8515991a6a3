"""Keys of different things never meet, whatever a batch is called."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from manycore.protocol import keys

names = st.from_regex(r"[A-Za-z0-9_:-]{1,12}", fullmatch=True)
tokens = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)


@given(names, tokens)
def test_everything_of_a_batch_has_a_key_of_its_own(batch: str, token: str) -> None:
    held = [*keys.owned_by(batch), keys.payload(batch, token), keys.values(batch, token)]
    assert len(set(held)) == len(held)
    assert all(batch in key for key in held)


@given(names, names)
def test_two_batches_share_no_key(one: str, other: str) -> None:
    assert one == other or not {*keys.owned_by(one)} & {*keys.owned_by(other)}


@given(names)
def test_a_batch_never_takes_the_workers_keys(batch: str) -> None:
    quarantine = {keys.QUARANTINE, keys.QUARANTINE_COUNTS, keys.QUARANTINE_ITEMS, keys.quarantined("0" * 12)}
    assert not {keys.WORKERS, keys.worker("w"), keys.reference("d"), *quarantine} & {*keys.owned_by(batch)}
