"""`Outcome` is a value or an error."""

from __future__ import annotations

import pytest

from manycore.client.outcome import Outcome


def test_a_value_is_the_result() -> None:
    outcome = Outcome(3, "value")
    assert outcome.ok
    assert outcome.result() == "value"


def test_an_error_is_raised() -> None:
    outcome = Outcome(3, error=KeyError("k"))
    assert not outcome.ok
    with pytest.raises(KeyError, match="k"):
        outcome.result()
