"""What a child tells of its chunks: everything once, whatever could not be written and came again."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import pytest

from manycore.protocol import account
from manycore.protocol.message import Chunk, ItemOptions
from manycore.worker.child import accountant as module
from manycore.worker.child.accountant import Accountant
from manycore.worker.child.tally import Report

Tellings = list[dict[str, Any]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Tellings:
    """What was told, in order."""
    found: Tellings = []
    monkeypatch.setattr(account, "tell", lambda pipe, batch, ttl, said, teller: found.append(said))
    return found


@pytest.fixture
def accountant() -> Accountant:
    context: Any = SimpleNamespace(settings=SimpleNamespace(batch_ttl_seconds=60), name="host/1")
    return Accountant(context)


def run_of(chunk: str = "b.c") -> Any:
    head = Chunk(chunk, "b", "task", None, ItemOptions(), 0, 0, 100, None, b"")
    tally = SimpleNamespace(start=0, reported=0, postponed=set(), skipped=frozenset())
    return SimpleNamespace(chunk=head, shadow=None, queue="cpu", cancelled=None, repeated=False, tally=tally)


def report(start: int, stop: int) -> Report:
    return Report(start, [None] * (stop - start), array("f", [0.5] * (stop - start)), {}, [])


def done(told: Tellings) -> int:
    return sum(said["counts"].get("done", 0) for said in told)


def test_reports_in_quick_succession_are_told_together(accountant: Accountant, told: Tellings) -> None:
    run = run_of()
    for start in range(0, 50, 10):
        accountant.count(None, run, report(start, start + 10), last=False)
    assert done(told) == 10, "the first at once"
    accountant.count(None, run, report(50, 60), last=True)
    assert done(told) == 60
    assert [said["report"] for said in told] == ["b.c 0-10", "b.c 10-60"]


def test_a_batch_is_known_with_its_first_outcomes(accountant: Accountant, told: Tellings) -> None:
    """However soon after another one. Else who has some of them could ask for a batch that nobody knows."""
    for chunk in ("b.c", "d.c"):
        accountant.count(None, run_of(chunk), report(0, 10), last=False)
    assert [said["report"] for said in told] == ["b.c 0-10", "d.c 0-10"]


def test_what_is_left_at_the_end_is_told_without_a_report(accountant: Accountant, told: Tellings) -> None:
    run = run_of()
    accountant.count(None, run, report(0, 10), last=False)
    accountant.count(None, run, report(10, 20), last=False)
    run.tally.reported = 20
    accountant.count(None, run, None, last=True)
    assert done(told) == 20
    accountant.count(None, run, None, last=True)
    assert done(told) == 20


def test_a_report_that_comes_again_says_the_same(
    accountant: Accountant, told: Tellings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MERGE_SECONDS", 0.0)
    run = run_of()
    accountant.count(None, run, report(0, 10), last=False)
    for _ in range(3):  # the server was away
        accountant.count(None, run, report(10, 20), last=False)
    assert [said["report"] for said in told] == ["b.c 0-10", *["b.c 10-20"] * 3]


def test_a_report_that_was_put_back_comes_longer(accountant: Accountant, told: Tellings) -> None:
    run = run_of()
    accountant.count(None, run, report(0, 10), last=False)
    accountant.count(None, run, report(10, 20), last=False)
    accountant.count(None, run, report(10, 30), last=False)
    accountant.count(None, run, report(30, 40), last=True)
    assert done(told) == 40


def test_a_chunk_says_nothing_of_another(accountant: Accountant, told: Tellings) -> None:
    accountant.count(None, run_of(), report(0, 10), last=True)
    accountant.count(None, run_of("b.d"), report(0, 5), last=True)
    assert [said["report"] for said in told] == ["b.c 0-10", "b.d 0-5"]
    assert done(told) == 15


def test_of_a_cancelled_batch_nothing_is_told(accountant: Accountant, told: Tellings) -> None:
    run = run_of()
    run.cancelled = b"now"
    accountant.count(None, run, report(0, 10), last=True)
    assert told == []


@pytest.mark.parametrize("count", [1, 100, module.MAX_ADDED, 50_000])
def test_how_long_items_took_together_is_near_whatever_their_number(count: int) -> None:
    seconds = array("f", [1e-6, 3e-6] * (count // 2) + [2e-6] * (count % 2))
    assert module.total_of(seconds) == pytest.approx(sum(seconds), rel=1e-9 if count <= module.MAX_ADDED else 1e-3)
    assert module.total_of(array("f", [2e-6]) * count) == pytest.approx(2e-6 * count, rel=1e-3)
