"""`growth`: what Prometheus gets as a counter never falls, whatever comes, goes, begins anew or is set right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from manycore.metrics.growth import OTHER, Growth, Labels

looks = st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 50), max_size=3), max_size=12)


@given(looks, st.booleans())
def test_a_total_never_falls(looks: list[dict[str, int]], restarts: bool) -> None:
    growth: Growth[str] = Growth(restarts=restarts)
    before = 0.0
    for look in looks:
        growth.take({source: {"n": count} for source, count in look.items()})
        assert growth.totals["n"] >= before
        before = growth.totals["n"]


def test_what_is_gone_has_counted() -> None:
    growth: Growth[str] = Growth(restarts=False)
    for look in ({"a": {"n": 5.0}}, {"a": {"n": 8.0}, "b": {"n": 1.0}}, {}):
        growth.take(look)  # type: ignore[arg-type]
    assert growth.totals["n"] == 9


def test_a_counter_that_began_anew_counts_from_nothing_one_that_was_set_right_does_not() -> None:
    new, right = Growth[str](restarts=True), Growth[str](restarts=False)
    for count in (100.0, 3.0, 4.0):
        new.take({"w": {"n": count}})
        right.take({"w": {"n": count}})
    assert (new.totals["n"], right.totals["n"]) == (104, 101)


def test_labels_are_bounded() -> None:
    labels = Labels(most=2)
    assert labels.of("ab") == {"a": "a", "b": "b"}
    assert labels.of("bc") == {"b": "b", "c": OTHER}
