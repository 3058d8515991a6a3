"""`manycore env`: what it says of the workers. The rest needs a stack (tests/stack)."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from manycore.cli.__main__ import main
from manycore.cli.env import fleets_of, workers_at
from manycore.protocol.python import here
from manycore.protocol.roster import Worker

env = sys.modules["manycore.cli.env"]  # the package has the command under this name


def worker(slots: int, *queues: str, python: tuple[int, int] = (3, 13)) -> Worker:
    return Worker(slots, queues, {}, (), True, python, "0.1.0", {})


def test_it_names_each_fleet_with_its_slots_and_pythons() -> None:
    found = fleets_of([worker(2, "cpu"), worker(1, "gpu"), worker(4, "cpu", python=(3, 9))])
    assert found == [
        "fleet cpu: 6 slots of 2 workers, Python 3.9, 3.13",
        "fleet gpu: 1 slot of 1 worker, Python 3.13",
    ]
    assert fleets_of([]) == ["no fleet: no worker is there"]


@pytest.mark.parametrize("python", [(3, 99), here()])
def test_it_warns_of_another_python_and_names_the_cure(
    python: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env, "client_environment", lambda *_: {"MANYCORE_URL_FILE": str(tmp_path / "url")})
    monkeypatch.setattr(env, "workers_at", lambda _: [worker(2, "cpu", python=python)])
    result = CliRunner().invoke(main, ["env"])
    assert f"# fleet cpu: 2 slots of 1 worker, Python {python[0]}.{python[1]}" in result.stdout
    assert ("For a stack with this Python: manycore up" in result.stderr) == (python != here())


def test_a_setting_that_cannot_be_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text("redis://127.0.0.1:1/0\n")
    monkeypatch.setattr(env, "client_environment", lambda *_: {"MANYCORE_URL_FILE": str(tmp_path / "url")})
    monkeypatch.setenv("MANYCORE_LEASE_SECOND", "5")
    result = CliRunner().invoke(main, ["env"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert "MANYCORE_LEASE_SECOND" in result.stderr


def test_a_server_that_does_not_answer_has_no_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MANYCORE_URL", raising=False)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        (tmp_path / "url").write_text(f"redis://:secret@127.0.0.1:{nobody.getsockname()[1]}/0\n")
        assert workers_at(tmp_path / "url") == []
