"""The chaos driver's own judgement: a check that cannot fail is worth nothing."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import pytest

from ops.chaos.faults import FAULTS
from ops.chaos.items import POISON, expected, kind_of, seconds_of
from ops.chaos.runs import History, Note, parse
from ops.chaos.storm import rounds
from ops.chaos.verdict import Verdict, is_poison, oracle_of, oracle_of_hanging

SEED, ITEMS = 7, 600
RIGHT = [(index, expected(SEED, index)) for index in range(ITEMS)]


def judged(came: list[tuple[int, str]], listed: list[str] | None = None) -> Verdict:
    verdict = Verdict()
    texts = [text for _, text in RIGHT] if listed is None else listed
    verdict.judge("b", oracle_of(SEED, ITEMS), came, texts, is_poison)
    return verdict


def test_what_is_right_breaks_nothing() -> None:
    verdict = judged(random.Random(1).sample(RIGHT, ITEMS))
    assert (verdict.items, verdict.broken) == (ITEMS, [])


def test_a_missing_outcome_is_lost() -> None:
    assert judged(RIGHT[:-1]).broken == ["1 lost"]
    assert judged(RIGHT, [text for _, text in RIGHT[:-2]]).broken == ["2 lost"]
    assert judged([], []).lost == ITEMS


def test_a_second_outcome_is_a_duplicate() -> None:
    assert judged([*RIGHT, RIGHT[3]]).broken == ["1 duplicated in the result"]


def test_another_value_is_wrong_in_either_place() -> None:
    changed = [*RIGHT[:9], (9, "1"), *RIGHT[10:]]
    assert judged(changed).broken == ["1 wrong"]
    listed = [text for _, text in RIGHT]
    listed[9] = "1"
    assert judged(RIGHT, listed).broken == ["1 wrong"]


@pytest.mark.parametrize(("deaths", "broken"), [(0, True), (1, True), (2, False), (3, False)])
def test_a_good_item_must_not_be_blamed_unless_the_storm_killed_it_again_and_again(deaths: int, broken: bool) -> None:
    text = "WorkerCrashed"
    changed = [(index, text if index == 9 else right) for index, right in RIGHT]
    verdict = judged(changed, [right for _, right in changed])
    verdict.count_runs({("b", 9): deaths}, lambda item: is_poison(item[1]))
    assert verdict.broken == (["1 blamed as poison without a reason"] if broken else [])
    assert verdict.condemned == (not broken)


@pytest.mark.parametrize(("runs", "kept"), [(3, True), (4, False)])
def test_poison_runs_three_times_at_most(runs: int, kept: bool) -> None:
    verdict = Verdict()
    verdict.count_runs({("b", 150): runs, ("b", 1): 9}, lambda item: is_poison(item[1]))
    assert (not verdict.broken) == kept
    assert (verdict.max_runs, verdict.max_poison_runs, verdict.runs_again) == (9, runs, 8)


def test_a_failure_beside_the_items_counts() -> None:
    assert Verdict(failures=["a client ended with 1"]).broken == ["1 further failures"]


def test_a_hanging_item_may_end_either_way() -> None:
    for text in ("ItemTimeout", "WorkerCrashed"):
        verdict = Verdict()
        verdict.judge("t", oracle_of_hanging(1), [(0, text)], [text], lambda index: True)
        assert verdict.broken == []


def test_every_kind_of_item_comes_in_a_batch() -> None:
    kinds = Counter(map(kind_of, range(2000)))
    assert set(kinds) == {"normal", "leave", "leak", *POISON}
    assert kinds["normal"] > 1900
    assert all(0.001 <= seconds_of(SEED, index) <= 0.010 for index in range(ITEMS))


def test_each_round_has_every_fault_by_its_weight() -> None:
    faults = list(FAULTS.values())
    size = sum(fault.weight for fault in faults)
    drawn = list(islice(rounds(faults, random.Random(3)), len(faults) + size))
    assert Counter(fault.name for fault in drawn[: len(faults)]) == dict.fromkeys(FAULTS, 1)
    assert Counter(fault.name for fault in drawn[len(faults) :]) == {f.name: f.weight for f in faults}
    again = islice(rounds(faults, random.Random(3)), len(drawn))
    assert [fault.name for fault in again] == [fault.name for fault in drawn]


def test_recovery_is_the_time_until_the_item_that_was_lost_runs_again() -> None:
    runs = [Note(("b", 1), 10, 1.0), Note(("b", 2), 10, 2.0), Note(("b", 1), 11, 4.0), Note(("b", 2), 11, 4.5)]
    history = History(runs, [Note(("b", 1), 99, 4.2), Note(("b", 1), 98, 9.0)])
    assert history.rerun_after(10, 2.5) == 2.0
    assert history.rerun_after(11, 5.0) is None
    assert history.rerun_after(12, 5.0) is None
    assert history.arrival_after(4.0) == pytest.approx(0.2)
    assert history.arrival_after(5.0) is None  # it came a second time


def test_a_line_of_a_log() -> None:
    assert parse("chaos-1-2 17 4242 1500000000") == Note(("chaos-1-2", 17), 4242, 1.5)
