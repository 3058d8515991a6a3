"""The account of a batch: what its numbers say, and what of a report goes into it."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.errors import WorkerCrashed
from manycore.protocol.account import MAX_TRACE, Account, State, parse
from manycore.protocol.failure import dump_error
from manycore.worker.child.accountant import SAMPLES, SHORTEST, buckets_of, errors_of
from manycore.worker.child.tally import Report

RUNNING = parse("b", {b"started": b"1000", b"total": b"100", b"done": b"50", b"fleet": b"cpu", b"last": b"1050"})


@pytest.mark.parametrize(
    ("changes", "now", "fleets", "state"),
    [
        ({}, 1050, {"cpu"}, "running"),
        ({}, 1050, {"io"}, "waiting"),
        ({"fleet": "cpu, io"}, 1050, {"io"}, "running"),
        ({}, 1090, {"cpu"}, "orphaned"),
        ({"seen": 1089.0}, 1090, {"cpu"}, "running"),
        ({"detached": True}, 1090, {"cpu"}, "detached"),
        ({"done": 100}, 1090, set(), "done"),
        ({"end": "cancelled", "ended": 1060.0}, 1090, {"cpu"}, "cancelled"),
    ],
)
def test_its_state(changes: dict[str, object], now: float, fleets: set[str], state: State) -> None:
    assert replace(RUNNING, **changes).state(now, fleets) == state  # type: ignore[arg-type]


def test_the_rate_is_told_from_its_last_quarter() -> None:
    """Whose first items took ten times as long as its last ones."""
    slow_then_fast = replace(RUNNING, last=1100.0, points=((37.5, 10), (75.0, 20), (100.0, 50)))
    assert slow_then_fast.rate(1100) == pytest.approx(30 / 25)
    assert slow_then_fast.eta_seconds(1100) == pytest.approx(50 / (30 / 25))


def test_a_batch_that_runs_again_counts_from_then_on() -> None:
    """It was stopped half done, 50 s after its start, and went on a day later, at the same rate."""
    again = replace(RUNNING, resumed=87_400.0, before=50, done=60, last=87_410.0, points=((50.0, 50), (86_410.0, 60)))
    assert again.rate(87_410) == pytest.approx(1.0)
    assert again.eta_seconds(87_410) == pytest.approx(40.0)
    assert again.state(87_410, {"cpu"}) == "running"
    assert replace(again, done=100, last=87_450.0, end="done", ended=87_450.0).rate(90_000) == pytest.approx(1.0)


def test_a_batch_that_has_just_begun_again_has_done_nothing_since() -> None:
    again = replace(RUNNING, resumed=87_400.0, before=50, points=((50.0, 50),))
    assert (again.rate(87_400), again.rate(87_410), again.eta_seconds(87_410)) == (0.0, 0.0, None)
    assert again.state(87_410, {"cpu"}) == "running", "its client has had no time to say that it lives"


@given(st.integers(1, 10_000), st.floats(0.001, 1000.0), st.floats(0.5, 0.99))
def test_the_eta_of_equal_items_is_right_from_half_way_on(total: int, seconds: float, share: float) -> None:
    whole = total * seconds
    now = whole * share
    points = tuple((at * whole / 100, int(at * total / 100)) for at in range(1, int(100 * share) + 1))
    account = replace(RUNNING, started=0.0, last=now, total=total, done=int(total * share), points=points)
    eta = account.eta_seconds(now)
    if total >= 100:
        assert eta == pytest.approx(whole - now, rel=0.2, abs=whole * 0.05)


@pytest.mark.parametrize("since_told", [0.0, 0.2, 0.4])
def test_what_was_not_told_yet_counts_as_done_meanwhile(since_told: float) -> None:
    """100 items of 0.1 s, 40 of them told 4 s after the start: 6 s were left then."""
    account = replace(RUNNING, done=40, last=1004.0)
    assert account.rate(1004 + since_told) == pytest.approx(10.0)
    assert account.eta_seconds(1004 + since_told) == pytest.approx(6 - since_told)


def test_where_none_ends_for_long_the_rate_falls() -> None:
    account = replace(RUNNING, done=40, last=1004.0)
    assert account.rate(1008.5) == pytest.approx(5.0)
    assert account.eta_seconds(1008.5) == pytest.approx(60 / 5.0 - 0.5)


def test_what_is_over_takes_no_longer() -> None:
    over = replace(RUNNING, done=100, end="done", ended=1051.0)
    assert (over.rate(5000), over.eta_seconds(5000)) == (2.0, None)


def test_what_strangers_wrote_counts_as_nothing() -> None:
    account = parse("b", {b"started": b"soon", b"done": b"\xff", b"s:x": b"1", b"at:9z": b"1", b"error:E": b"-"})
    assert (account.started, account.done, account.seconds, account.points) == (0.0, 0, {}, ())


@given(st.lists(st.floats(0.0, 1e6, width=32), max_size=500))
def test_every_item_is_in_one_bucket(seconds: list[float]) -> None:
    counts = buckets_of(array("f", seconds))
    assert sum(counts.values()) == len(seconds)
    assert all(count > 0 for count in counts.values())
    if len(seconds) <= SAMPLES:
        for bucket in counts:
            low, high = 2.0 ** (int(bucket[2:]) - 1), 2.0 ** int(bucket[2:])
            assert any(low <= each < high for each in seconds) or int(bucket[2:]) == SHORTEST


def test_the_first_error_of_each_class_tells_its_traceback() -> None:
    blobs = {
        3: dump_error(ValueError(1), "first"),
        4: dump_error(ValueError(2), "second"),
        5: dump_error(KeyError(1), "k"),
    }
    report = Report(0, [None] * 9, array("f", [0.0] * 9), blobs, [], {3: "ValueError", 4: "ValueError", 5: "KeyError"})
    assert errors_of(report) == {"ValueError": (2, "first"), "KeyError": (1, "k")}


def test_an_error_without_a_traceback_is_told_by_its_text() -> None:
    report = Report(
        0, [None], array("f", [0.0]), {0: dump_error(WorkerCrashed(3, "signal 9"), "")}, [], {0: "WorkerCrashed"}
    )
    assert "signal 9" in errors_of(report)["WorkerCrashed"][1]


def test_an_error_that_is_not_ours_is_not_rebuilt() -> None:
    report = Report(0, [None], array("f", [0.0]), {0: dump_error(Loud(), "")}, [], {0: "Loud"})
    rebuilt.clear()
    assert errors_of(report) == {"Loud": (1, "")}
    assert not rebuilt


def test_a_long_traceback_keeps_its_end() -> None:
    report = Report(0, [None], array("f", [0.0]), {0: dump_error(OSError(), "x" * 99_999 + "end")}, [], {0: "OSError"})
    text = errors_of(report)["OSError"][1]
    assert text.endswith("end")
    assert len(text) < MAX_TRACE + 10


rebuilt: list[int] = []


class Loud(Exception):
    def __setstate__(self, state: object) -> None:
        rebuilt.append(1)

    def __reduce__(self) -> tuple[object, ...]:
        return Loud, (), {"a": 1}


def test_it_is_shown_as_json_has_it() -> None:
    shown = RUNNING.shown(1050, {"cpu"})
    assert isinstance(RUNNING, Account)
    assert (shown["state"], shown["rate"], shown["eta_seconds"]) == ("running", 1.0, 50.0)
