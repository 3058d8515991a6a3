"""`Halt` reads GNU parallel's policies, and says when a batch has to end."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.client.halt import MIN_JUDGED_ITEMS, NEVER, Halt
from manycore.errors import SettingsError

When = Literal["now", "soon"]
policies = st.builds(Halt, st.sampled_from(["now", "soon"]), st.integers(1, 100), st.booleans()) | st.just(NEVER)


@given(policies)
def test_a_policy_reads_as_it_prints(policy: Halt) -> None:
    assert Halt.parse(str(policy)) == policy


def test_spaces_after_the_comma_are_fine() -> None:
    assert Halt.parse("now, fail=3") == Halt("now", 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "always",
        "now",
        "now,fail=",
        "now,fail=0",
        "soon,fail=0%",
        "soon,fail=101%",
        "soon,fail=-1",
        "now,done=3",
        None,
        3,
    ],
)
def test_anything_else_is_refused_with_the_forms(text: Any) -> None:
    with pytest.raises(SettingsError, match=r"is no policy\. Use 'never', 'now,fail=N'"):
        Halt.parse(text)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_never_is_never_reached(done: int, failed: int) -> None:
    assert not NEVER.reached(done, failed)


@pytest.mark.parametrize(("failed", "ends"), [(2, False), (3, True), (4, True)])
@pytest.mark.parametrize("when", ["now", "soon"])
def test_a_count_is_reached_at_once(when: When, failed: int, ends: bool) -> None:
    assert Halt(when, 3).reached(failed, failed) is ends


@pytest.mark.parametrize(("done", "failed", "ends"), [(20, 1, False), (20, 2, True), (19, 2, True), (21, 2, False)])
def test_a_percentage_is_of_the_finished_items(done: int, failed: int, ends: bool) -> None:
    assert Halt("soon", 10, percent=True).reached(done, failed) is ends


def test_a_percentage_judges_enough_items_only() -> None:
    policy = Halt("now", 1, percent=True)
    assert not policy.reached(MIN_JUDGED_ITEMS - 1, MIN_JUDGED_ITEMS - 1)
    assert policy.reached(MIN_JUDGED_ITEMS, 1)
