"""`priority`: which lists come before a running chunk, and which beside it."""

from __future__ import annotations

import pytest

from manycore.client.checks import check_priority
from manycore.errors import SettingsError
from manycore.protocol.priority import LATER, LOW, PRIORITIES, Priority, list_of, lists_before, lists_beside


def test_where_a_chunk_waits() -> None:
    assert [list_of("q", "normal", later=later) for later in (False, True)] == ["q", f"q{LATER}"]
    assert {list_of("q", "low", later=later) for later in (False, True)} == {f"q{LOW}"}


def test_what_has_a_low_priority_is_no_reason_to_keep_a_part() -> None:
    """Else the last chunk of a batch would run on one slot, and what has a low priority on the others."""
    assert f"q{LOW}" not in lists_beside("q", "normal")
    assert f"q{LOW}" in lists_beside("q", "low")


@pytest.mark.parametrize("priority", PRIORITIES)
def test_a_chunk_does_not_leave_its_slot_to_its_like(priority: Priority) -> None:
    before, beside = lists_before("q", priority), lists_beside("q", priority)
    assert beside[: len(before)] == before, "the report counts the first ones"
    assert list_of("q", priority, later=True) not in before


@pytest.mark.parametrize("priority", ["high", 0, None, ["low"]], ids=repr)
def test_another_priority_is_refused(priority: object) -> None:
    with pytest.raises(SettingsError, match="there is 'normal', and 'low'"):
        check_priority(priority)
