"""The chaos driver's own judgement: a check that cannot fail is worth nothing."""

from __future__ import annotations

import random
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from manycore.protocol.home import Home
from manycore.protocol.signing import Keyring, generate_key
from ops.chaos import aftermath
from ops.chaos.clock import sitecustomize
from ops.chaos.doors.all import DOORS
from ops.chaos.doors.door import Page, Part, mixed_oracle
from ops.chaos.faults import FAULTS
from ops.chaos.host import CLOCK
from ops.chaos.items import DEADLY, END, POISON, START, answer, expected, kind_of, seconds_of
from ops.chaos.order import Order
from ops.chaos.runs import Freeze, History, Note, parse
from ops.chaos.storm import rounds
from ops.chaos.verdict import Verdict

SEED, ITEMS = 7, 600
ORDER = Order("b", "named", SEED, ITEMS, "nowhere")
RIGHT = [(index, expected(SEED, index)) for index in range(ITEMS)]
INNOCENT = 9


def judged(came: list[tuple[int, str]], listed: list[str] | None = None) -> Verdict:
    verdict = Verdict()
    texts = [text for _, text in RIGHT] if listed is None else listed
    verdict.judge("named", Part(mixed_oracle(ORDER)), Page("b", came, texts))
    return verdict


def test_what_is_right_breaks_nothing() -> None:
    verdict = judged(random.Random(1).sample(RIGHT, ITEMS))
    assert (verdict.total.items, verdict.broken) == (ITEMS, [])


def test_a_missing_outcome_is_lost() -> None:
    assert judged(RIGHT[:-1]).broken == ["1 lost"]
    assert judged(RIGHT, [text for _, text in RIGHT[:-2]]).broken == ["2 lost"]
    assert judged([], []).total.lost == ITEMS


def test_a_client_that_wrote_nothing_lost_all() -> None:
    verdict = Verdict()
    verdict.judge("named", Part(mixed_oracle(ORDER)), Page("b"))
    assert verdict.broken == [f"{ITEMS} lost"]


def test_a_second_outcome_is_a_duplicate() -> None:
    assert judged([*RIGHT, RIGHT[3]]).broken == ["1 duplicated in the result"]
    assert judged([*RIGHT, (ITEMS, "1")]).broken == ["1 duplicated in the result"]


def test_another_value_is_wrong_in_either_place() -> None:
    changed = [*RIGHT[:9], (9, "1"), *RIGHT[10:]]
    assert judged(changed).broken == ["1 wrong"]
    listed = [text for _, text in RIGHT]
    listed[9] = "1"
    assert judged(RIGHT, listed).broken == ["1 wrong"]


def test_of_an_iteration_that_an_error_ended_nothing_is_known_behind_it() -> None:
    verdict = Verdict()
    part = Part({index: frozenset([str(index)]) for index in range(9)}, listed=False)
    verdict.judge("map", part, Page("m", [(0, "0"), (1, "1"), (2, "WorkerCrashed")], until=2))
    assert (verdict.total.lost, verdict.total.wrong, verdict.suspects) == (0, 0, [("map", ("m", 2), "WorkerCrashed")])


@pytest.mark.parametrize(("deaths", "broken"), [(0, True), (2, True), (3, False)])
def test_a_good_item_must_not_be_blamed_unless_the_storm_killed_it_as_often_as_poison(
    deaths: int, broken: bool
) -> None:
    changed = [(index, "WorkerCrashed" if index == INNOCENT else right) for index, right in RIGHT]
    verdict = judged(changed, [right for _, right in changed])
    runs = [Note(("b", INNOCENT), pid, float(pid)) for pid in range(1, 5)]
    verdict.count_runs(History(runs, [], killed=range(1, deaths + 1)))
    assert verdict.broken == (["1 blamed as poison without a reason"] if broken else [])
    assert verdict.total.killed == (not broken)


@pytest.mark.parametrize(("at", "broken"), [(1.5, False), (0.5, True), (9.0, True)])
def test_a_good_item_may_run_too_long_only_where_the_storm_held_its_process(at: float, broken: bool) -> None:
    changed = [(index, "ItemTimeout" if index == INNOCENT else right) for index, right in RIGHT]
    verdict = judged(changed, [right for _, right in changed])
    verdict.count_runs(History([Note(("b", INNOCENT), 7, 1.0)], [], frozen=[Freeze(7, at, at + 0.4)]))
    assert verdict.broken == (["1 blamed as poison without a reason"] if broken else [])


@pytest.mark.parametrize(("at", "seconds", "broken"), [(3.5, 5.0, False), (3.5, 0.4, True), (9.0, 5.0, True)])
def test_a_process_that_outlives_its_lease_in_a_freeze_counts_as_killed(
    at: float, seconds: float, broken: bool
) -> None:
    changed = [(index, "WorkerCrashed" if index == INNOCENT else right) for index, right in RIGHT]
    verdict = judged(changed, [right for _, right in changed])
    runs = [Note(("b", INNOCENT), pid, float(pid)) for pid in (1, 2, 3)]
    verdict.count_runs(History(runs, [], killed=[1, 2], frozen=[Freeze(3, at, at + seconds)]))
    assert verdict.broken == (["1 blamed as poison without a reason"] if broken else [])


def test_poison_may_run_once_more_where_its_worker_is_told_to_stop() -> None:
    runs = [Note(("b", 1), pid, float(pid), DEADLY) for pid in (1, 2, 3, 4)]
    for stopping, broken in ([], ["a poison item ran 4 times"]), ([2], []):
        verdict = Verdict()
        verdict.count_runs(History(runs, [], stopping=stopping))
        assert verdict.broken == broken


def test_a_process_that_was_frozen_and_then_killed_died_once() -> None:
    history = History([Note(("b", 1), 10, 1.0)], [], killed=[10], frozen=[Freeze(10, 1.5, 9.0)])
    assert history.deaths(("b", 1)) + history.taken_for_dead(("b", 1)) == 1


def test_a_death_is_an_execution_that_a_killed_process_did_not_end() -> None:
    item, other = ("b", 1), ("b", 2)
    ended = [Note(item, 10, 1.0), Note(item, 10, 2.0, END), Note(other, 10, 3.0)]
    history = History([*ended, Note(item, 11, 4.0), Note(item, 12, 5.0)], [], killed=[10, 11])
    assert history.deaths(item) == 1  # 10 had ended it and begun another, and nobody killed 12
    assert history.deaths(other) == 1


def test_poison_beside_an_item_may_have_taken_it_along_once() -> None:
    """In a process of threads, where nobody could know. A second time it should have run apart."""
    item, poison = ("b", 1), ("b", 150)
    notes = [note for pid in (10, 11) for note in (Note(item, pid, 1.0), Note(poison, pid, 2.0, DEADLY))]
    history = History([*notes, Note(item, 12, 3.0), Note(item, 13, 4.0)], [], killed=[12])
    assert history.deaths(item) == 2


def test_an_item_whose_outcome_was_on_its_way_died_too() -> None:
    history = History([Note(("b", 1), 10, 1.0), Note(("b", 1), 10, 2.0, END)], [], killed=[10])
    assert history.deaths(("b", 1)) == 1


@pytest.mark.parametrize(("runs", "kept"), [(3, True), (4, False)])
def test_poison_runs_three_times_at_most(runs: int, kept: bool) -> None:
    notes = [Note(("b", 150), pid, 1.0, DEADLY) for pid in range(runs)] + [Note(("b", 1), pid, 1.0) for pid in range(9)]
    verdict = Verdict()
    verdict.count_runs(History(notes, []))
    assert (not verdict.broken) == kept
    assert (verdict.max_runs, verdict.max_poison_runs, verdict.runs_again) == (9, runs, 8)


def test_a_failure_beside_the_items_counts() -> None:
    assert Verdict(failures=["a client ended with 1"]).broken == ["1 further failures"]


def test_a_client_that_hangs_counts() -> None:
    verdict = Verdict(failures=["the client of b did not end"])
    verdict.door("submit").hung = 1
    assert verdict.broken == ["1 clients that hung"]


@pytest.mark.parametrize("name", list(DOORS))
def test_each_door_says_what_is_right(name: str) -> None:
    door = DOORS[name]
    items = door.size(300)
    for part in door.parts(Order("b", name, SEED, items, "nowhere", hanging=1)).values():
        assert part.oracle
        assert all(part.oracle.values())
        assert set(part.oracle) == set(range(len(part.oracle)))


def test_every_kind_of_item_comes_in_a_batch() -> None:
    kinds = Counter(kind_of(SEED, index) for index in range(2000))
    assert set(kinds) == {"normal", "leave", "leak", *POISON}
    assert kinds["normal"] > 1900
    assert all(0.001 <= seconds_of(SEED, index) <= 0.010 for index in range(ITEMS))
    assert len({answer(SEED, index) for index in range(ITEMS)}) == ITEMS


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
    assert parse("start chaos-1-2 17 4242 1500000000") == Note(("chaos-1-2", 17), 4242, 1.5, START)


def test_a_clock_apart_is_off_by_what_its_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = tmp_path / "clock"
    clock.write_bytes(CLOCK.pack(20.0))
    right = time.time()
    monkeypatch.setattr(time, "time", time.time)  # so that both are put back afterwards
    monkeypatch.setattr(time, "time_ns", time.time_ns)
    sitecustomize.shift(str(clock))
    assert 19 < time.time() - right < 40
    assert 19 < time.time_ns() / 1e9 - right < 40


def test_what_is_left_in_shared_memory_is_found(tmp_path: Path) -> None:
    key = generate_key()
    rig: Any = SimpleNamespace(key=key, folder=tmp_path, server=SimpleNamespace(pids=set), all_hosts=list)
    home = Home.make(f"worker-{Keyring.parse(key).ids[0]}")
    assert "in shared memory" in "".join(aftermath.of_the_machine(rig))
    home.remove()
    assert not list(aftermath.of_the_machine(rig))
