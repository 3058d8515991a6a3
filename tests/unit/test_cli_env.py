"""`manycore env`: what it says of the workers. The rest needs a stack (tests/stack)."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from manycore.cli.env import fleets_of, workers_at
from manycore.protocol.roster import Worker


def worker(slots: int, *queues: str, python: tuple[int, int] = (3, 13)) -> Worker:
    return Worker(slots, queues, {}, (), True, python, "0.1.0", {})


def test_it_names_each_fleet_with_its_slots_and_pythons() -> None:
    found = fleets_of([worker(2, "cpu"), worker(1, "gpu"), worker(4, "cpu", python=(3, 9))])
    assert found == [
        "fleet cpu: 6 slots of 2 workers, Python 3.9, 3.13",
        "fleet gpu: 1 slot of 1 worker, Python 3.13",
    ]
    assert fleets_of([]) == ["no fleet: no worker is there"]


def test_a_server_that_does_not_answer_has_no_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MANYCORE_URL", raising=False)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        (tmp_path / "url").write_text(f"redis://:secret@127.0.0.1:{nobody.getsockname()[1]}/0\n")
        assert workers_at(tmp_path / "url") == []
