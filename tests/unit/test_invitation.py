"""A join token brings over what it holds, and says what is wrong with one that does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.errors import SettingsError
from manycore.protocol.invitation import PREFIX, Invitation

HELD = Invitation("rediss://worker:pass@[2001:db8::1]:6380/0", "a-key" * 8, "-----BEGIN CERTIFICATE-----\nx\n")


@given(st.builds(Invitation, st.text(max_size=100), st.text(max_size=100), st.text(max_size=2_000)))
def test_what_goes_in_comes_out(held: Invitation) -> None:
    token = held.token()
    assert Invitation.parse(token) == held
    assert Invitation.parse(f"  {token[:20]}\n{token[20:]}\r\n") == held
    assert len(token.split()) == 1


def test_nothing_of_it_is_shown() -> None:
    assert "pass" not in repr(HELD)
    assert "a-key" not in repr(HELD)


@given(st.data())
def test_a_token_that_was_cut_or_changed_is_refused(data: st.DataObject) -> None:
    token = HELD.token()
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(["", "A", "!", "ß", "."]))
    changed = data.draw(st.sampled_from([token[:at], token[:at] + other + token[at + 1 :]]))
    if changed != token:
        with pytest.raises(SettingsError, match="join-token") as caught:
            Invitation.parse(changed)
        assert token[30:60] not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no join token"),
        ("redis://user:secret@host", "is no join token"),
        (f"{PREFIX}2.abc.def", "of version '2'"),
        (PREFIX + "1.abc", "cut off"),
        ("x" * 100_000, "is no join token"),
    ],
)
def test_anything_else_is_told_apart(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        Invitation.parse(text)
    assert "secret" not in str(caught.value)
