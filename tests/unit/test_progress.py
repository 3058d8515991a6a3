"""`Progress`: rate and ETA, where they can be said."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from manycore.client.progress import Progress, ProgressBar


def test_the_rate_is_a_mean_over_the_whole_life() -> None:
    assert Progress(100, 20, 1, 4.0).rate == 5.0


def test_what_was_done_before_is_no_speed_of_this_run() -> None:
    begun, later = Progress(10_000, 9_000, 0, 0.5, 9_000), Progress(10_000, 9_100, 0, 10.0, 9_000)
    assert (begun.rate, begun.eta_seconds) == (0.0, None)
    assert (later.rate, later.eta_seconds) == (10.0, 90.0)
    assert Progress(9_000, 9_000, 0, 0.5, 9_000).eta_seconds == 0.0


def test_the_eta_is_the_rest_at_this_rate() -> None:
    assert Progress(100, 20, 0, 4.0).eta_seconds == 16.0


@pytest.mark.parametrize("progress", [Progress(None, 5, 0, 1.0), Progress(5, 0, 0, 1.0)], ids=["no total", "none done"])
def test_an_eta_that_cannot_be_said_is_none(progress: Progress) -> None:
    assert progress.eta_seconds is None


@given(st.none() | st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 1e9), st.integers(0, 10**9))
@example(5, 1, 0.0, 0)
def test_no_moment_of_a_batch_is_an_error(total: int | None, done: int, seconds: float, before: int) -> None:
    progress = Progress(total, before + done, 0, seconds, before)
    assert progress.rate >= 0
    assert progress.eta_seconds is None or total is not None


def test_a_finished_batch_takes_no_longer() -> None:
    assert Progress(7, 7, 0, 2.0).eta_seconds == 0.0


@pytest.mark.parametrize("closed", [False, True])
def test_a_bar_is_quiet_where_there_is_no_stream(monkeypatch: pytest.MonkeyPatch, closed: bool) -> None:
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream if closed else None)
    assert not ProgressBar("name", lambda: pytest.fail("nobody looks"), enabled=True).enabled


def test_a_bar_is_quiet_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("name", lambda: pytest.fail("nobody looks"), enabled=True) as bar:
        bar.draw()
    assert not bar.enabled
    assert capsys.readouterr() == ("", "")
