"""`growth`: what Prometheus gets as a counter never falls, whatever comes, goes, begins anew or is set right."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.metrics import growth
from manycore.metrics.growth import OTHER, Growth, Labels

looks = st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 50), max_size=3), max_size=12)


def take(into: Growth[str], *looks: Mapping[str, float]) -> float | None:
    """How much has come together of what each source (by its name) counts at each look."""
    for look in looks:
        into.take({source: {"n": count} for source, count in look.items()})
    return into.totals().get("n")


@given(looks, st.booleans())
def test_a_total_never_falls(looks: list[dict[str, int]], restarts: bool) -> None:
    growth: Growth[str] = Growth(restarts=restarts)
    before = 0.0
    for look in looks:
        now = take(growth, look) or 0.0
        assert now >= before
        before = now


def test_what_was_there_at_the_first_look_is_no_growth() -> None:
    assert take(Growth(restarts=False), {"a": 5}, {"a": 8}) == 3


def test_a_name_begins_at_nothing_so_that_its_growth_is_seen() -> None:
    growth: Growth[str] = Growth(restarts=False)
    assert take(growth, {}) is None
    assert take(growth, {"a": 5}) == 0
    assert take(growth, {"a": 5}) == 5


def test_what_is_gone_has_counted() -> None:
    assert take(Growth(restarts=False), {}, {"a": 5}, {"a": 8, "b": 1}, {}) == 9


def test_a_counter_that_began_anew_counts_from_nothing_one_that_was_set_right_does_not() -> None:
    looks = [{"w": 0}, {"w": 100}, {"w": 3}, {"w": 4}]
    assert take(Growth(restarts=True), *looks) == 104
    assert take(Growth(restarts=False), *looks) == 101


def test_who_comes_back_has_counted_before() -> None:
    assert take(Growth(restarts=True), {"w": 0}, {"w": 7}, {}, {}, {"w": 8}) == 8


def test_what_is_remembered_of_the_gone_has_an_end() -> None:
    total: Growth[str] = Growth(restarts=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growth, "MAX_SOURCES", 10)
        take(total, *({str(n): 1} for n in range(30)))
    assert list(total._last) == [str(n) for n in range(20, 30)]


def test_labels_are_bounded() -> None:
    labels = Labels(most=2)
    assert labels.of("ab") == {"a": "a", "b": "b"}
    assert labels.of("bc") == {"b": "b", "c": OTHER}
    assert labels.of(["b" * 10_000]) == {"b" * 10_000: OTHER}
