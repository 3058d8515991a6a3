"""The chaos driver fails when a promise is broken, and holds when none is. Its long runs are `make chaos`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT
from tests.waiting import wait_until

COMMAND = [sys.executable, "-m", "ops.chaos", "--seed", "5"]
NAMED = ["--door", "named", "--no-foreign", "--local", "0", "--no-vanilla"]
"""The shortest mix."""

pytestmark = pytest.mark.slow


def chaos(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *options], cwd=ROOT, capture_output=True, text=True, timeout=55)


def test_messages_cut_off_in_the_gap_come_again_without_being_looked_for() -> None:
    done = chaos("--setting", "audit_seconds=600", "brpop-gap", "--cuts", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every promise was kept." in done.stdout


def test_a_connection_that_is_cut_is_no_items_outcome() -> None:
    """At any moment, also when a child fetches its chunk."""
    done = chaos(*NAMED, "--seconds", "5", "--gap", "0.1", "--items", "600", "--fault", "cut-connections")
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_fails_when_poison_runs_too_often() -> None:
    calm = [*NAMED, "--seconds", "1", "--fault", "cut-connections", "--items", "400"]
    done = chaos("--setting", "max_executions=5", *calm)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "a poison item ran 5 times" in done.stdout


def test_ctrl_c_ends_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with subprocess.Popen([*COMMAND, *NAMED], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True) as run:
        wait_until(lambda: list(tmp_path.glob("*/runs.log")), "items run")
        run.send_signal(signal.SIGINT)
        assert run.wait(20) == 130
    wait_until(lambda: not _commands_with(str(tmp_path)), "every process is gone", seconds=10)
    assert not list(tmp_path.iterdir())


def _commands_with(text: str) -> list[Path]:
    """The processes that were started with this in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            if text.encode() in process.read_bytes() and process.parent.name != str(os.getpid()):
                found.append(process)
        except OSError:
            continue  # gone meanwhile, or another user's
    return found
