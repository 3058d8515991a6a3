"""The arithmetic of the benchmarks, and the table that they write: not one process, no measure."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from benchmarks import page, report, store, targets
from benchmarks.cells import COLUMNS
from benchmarks.environments import PINS
from benchmarks.measures import efficiency
from benchmarks.measures.reading import Reading, fitting, seconds_of
from benchmarks.numbers import brief
from benchmarks.peers.peer import EVERYTHING
from benchmarks.peers.roster import OURS, PEERS
from benchmarks.report import MEASURE_OF, Footnotes
from benchmarks.results import Results, all_entries
from benchmarks.run import MEASURES, OURS_ALONE, Plan, carry_out
from benchmarks.sample import Entry, Sample

ROOT = Path(__file__).parents[2]
POOL, BEST_POOL = Entry("pool"), Entry("pool", best=True)
MACHINE = {"CPU": "A CPU", "cores": "2 granted of 2", "worker processes": "2 each"}


def results(**cells: dict[Entry, list[float]]) -> Results:
    """By cell (its name with _ for spaces) and entry, the values of the rounds."""
    made = Results()
    for name, rows in cells.items():
        for entry, values in rows.items():
            for turn, value in enumerate(values):
                made.add(entry, "any", turn, Sample((Reading(name.replace("_", " "), value),)))
    return made


def full_run() -> store.Run:
    """Every peer has every figure, but for some that have a reason."""
    made = Results()
    for (index, entry), cell in product(enumerate(all_entries()), COLUMNS):
        measure = MEASURE_OF[cell.name]
        if entry == Entry("saq") and measure == "payload":
            made.add(entry, measure, 0, Sample(reason="no bytes in JSON"))
        elif entry == Entry("ray") and measure == "cold":
            made.add(entry, measure, 0, Sample(reason="no answer", failed=True))
        elif not entry.best or measure in PEERS[entry.peer].best_changes:
            made.add(entry, measure, 0, Sample((Reading(cell.name, 1234.5 / (index + 1)),)))
    return store.Run(made, MACHINE, "python -m benchmarks", "2026-01-02T03:04:05+00:00")


def shown(made: object) -> str:
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        console.print(made)
    return captured.get()


def test_a_ratio_is_the_median_of_the_rounds_not_of_the_medians() -> None:
    made = results(submit={Entry(OURS): [10, 20, 40], POOL: [5, 20, 10]})
    assert made.ratio("submit", POOL) == 2


def test_where_less_is_better_the_ratio_still_says_how_many_times_as_good() -> None:
    assert results(cold_start={Entry(OURS): [0.5], POOL: [0.05]}).ratio("cold start", POOL) == pytest.approx(0.1)


def test_only_rounds_that_both_have_count() -> None:
    made = results(submit={Entry(OURS): [10, 20, 30], POOL: [10]})
    assert made.ratio("submit", POOL) == 1


def test_the_best_setting_has_the_default_s_figure_where_it_changes_nothing() -> None:
    made = results(submit={Entry(OURS): [10], POOL: [5]})
    assert made.median(BEST_POOL, "submit") == 5
    assert made.ratio("submit", BEST_POOL) == 2


def test_the_best_peer_is_a_peer_with_processes() -> None:
    made = results(submit={Entry(OURS): [9], Entry("serial"): [99], POOL: [3], BEST_POOL: [4], Entry("ray"): [2]})
    rival = made.rival("submit")
    assert rival is not None
    assert (rival.entry, rival.value, rival.ratio) == (BEST_POOL, 4, 9 / 4)
    assert made.rival("submit", "ray").entry == Entry("ray")  # type: ignore[union-attr]
    assert made.rival("tail") is None


@pytest.mark.parametrize(
    ("ours", "theirs", "kept"),
    [(80, [10], True), (79, [10], False), (80, [], None)],
)
def test_a_target_is_kept_missed_or_not_judged(ours: float, theirs: list[float], kept: bool | None) -> None:
    made = results(submit={Entry(OURS): [ours], POOL: theirs})
    assert targets.TARGETS[0].kept(made) is kept
    assert (targets.TARGETS[0] in targets.missed(made)) is (kept is False)


@pytest.mark.parametrize(
    ("value", "text"),
    [(2_356_363, "2.36M"), (63_988, "64k"), (999_700, "1M"), (568, "568"), (99.6, "100"), (9.99, "10.0"),
     (0.94, "0.94"), (0.077, "0.077"), (1_999, "2k"), (123_456, "123k")],
)  # fmt: skip
def test_figures_are_brief(value: float, text: str) -> None:
    assert brief(value) == text


def test_the_size_of_a_measure_fits_its_peer() -> None:
    assert fitting(1_000_000, lambda count: count / 1e7) == 1_000_000
    assert fitting(1_000_000, lambda count: count / 100) == 400
    assert fitting(1_000_000, lambda count: count * 10, first=4) == 4
    assert fitting(10, lambda count: float(count)) == 10


def test_a_run_with_a_wrong_answer_has_no_speed() -> None:
    assert seconds_of(lambda: [1, 2], [1, 2]) < 1
    with pytest.raises(AssertionError, match="speed means nothing"):
        seconds_of(lambda: [2, 1], [1, 2])


def test_the_table_fits_100_columns_and_has_no_blank() -> None:
    run, notes = full_run(), Footnotes()
    text = shown(report.of_peers(run.results, notes))
    assert max(map(len, text.splitlines())) <= 100
    rows = text.splitlines()[3:]
    assert len(rows) == len(list(all_entries()))
    assert all(re.fullmatch(rf" *\S.*?( +[~\d]\S*| +n/a\S){{{len(COLUMNS)}}}", row) for row in rows)
    assert "n/a¹" in text
    assert sorted(notes.texts) == ["failed: no answer", "no bytes in JSON"]
    assert "…" not in text


def test_json_keeps_all_that_the_tables_need() -> None:
    run = full_run()
    again = store.from_json(store.as_json(run))
    assert again == run
    assert page.markdown(again) == page.markdown(run)


def test_every_round_has_every_peer_and_who_goes_first_changes() -> None:
    plan = Plan(("manycore", "pool", "celery"), ("submit", "safety"), 3, 2)
    steps = list(plan.steps())
    rounds = [[entry for turn, measure, entry in steps if (turn, measure) == (now, "submit")] for now in range(3)]
    assert {frozenset(entries) for entries in rounds} == {
        frozenset({Entry(OURS), POOL, Entry("celery"), Entry("celery", best=True)})
    }
    assert len({entries[0] for entries in rounds}) == 3
    assert [entry for _, measure, entry in steps if measure == "safety"] == [Entry(OURS)] * 3


def test_what_failed_once_is_not_tried_again() -> None:
    asked, made = [], Results()

    def take(entry: Entry, measure: str, workers: int) -> Sample:
        asked.append(entry)
        return Sample(reason="no", failed=True) if entry == POOL else Sample((Reading("submit", 1),))

    said = list(carry_out(Plan(("manycore", "pool"), ("submit",), 3, 2), made, take))
    assert len(said) == 5
    assert (asked.count(POOL), asked.count(Entry(OURS))) == (1, 3)
    assert made.reason(BEST_POOL, "submit") == Sample(reason="no", failed=True)


def test_each_peer_names_what_it_needs_and_its_best_setting() -> None:
    assert {name for name, kind in PEERS.items() if kind.package} - set(PINS) == {"manycore", "celery"}
    assert set(PINS) - set(PEERS) == {"plot"}
    for kind in PEERS.values():
        assert bool(kind.best) == bool(kind.best_changes)
        assert kind.best_changes <= EVERYTHING
        assert not kind.best or "Best:" in (__import__(kind.__module__, fromlist=["_"]).__doc__ or "")
    assert set(MEASURES) == EVERYTHING
    assert not set(OURS_ALONE) & EVERYTHING


def test_threads_that_share_a_core_seem_to_have_no_more() -> None:
    """Items that watched the clock ended in time while they waited for the GIL: three threads made three cores."""
    with ThreadPoolExecutor(3) as pool:
        one = SimpleNamespace(workers=1)
        peer: Any = SimpleNamespace(setup=one, map=lambda function, items, _: pool.map(function, items))
        assert efficiency.of(peer, [0.02] * 6, None) <= 1.02


def test_versions_are_pinned_without_addresses() -> None:
    for line in (line for lines in PINS.values() for line in lines):
        assert re.fullmatch(r"[A-Za-z0-9_-]+(\[[a-z,]+\])?==[0-9.]+", line)


def test_the_block_of_a_page_is_replaced_and_nothing_else() -> None:
    before = f"# Title\n{page.BEGIN}\nold\n{page.END}\nafter\n"
    assert page.replaced(before, "new\n") == f"# Title\n{page.BEGIN}\nnew\n{page.END}\nafter\n"
    for broken in ("", page.BEGIN, f"{page.END}{page.BEGIN}", before + before):
        with pytest.raises(ValueError, match="one pair of marks"):
            page.replaced(broken, "new")


def test_the_readme_has_a_table_of_peers_with_machine_and_command() -> None:
    readme = (ROOT / "README.md").read_text()
    assert page.replaced(readme, "") != readme
    block = readme.partition(page.BEGIN)[2].partition(page.END)[0]
    assert re.match(r"\n`python -m benchmarks[^`]*`, \d{4}-\d\d-\d\d: .+ granted of \d+, .+; \d+ each\.\n", block)
    tables = [table.splitlines() for table in re.findall(r"(?:^\|.*\n)+", block, re.MULTILINE)]
    assert len(tables) == 2
    for table in tables:
        assert len({row.count("|") for row in table}) == 1
        assert not re.search(r"\| *\|", "\n".join(table[2:])), "a blank cell"
    titles = {row.split("|")[1].strip(" *") for row in tables[0][2:]}
    everybody = {kind.title for kind in PEERS.values()}
    newer = {PEERS["interpreters"].title}  # has a row where Python is 3.14
    assert everybody - newer <= titles <= everybody | {f"{title}, best" for title in everybody}
