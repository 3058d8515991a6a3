"""What a client makes of its workers' records."""

from __future__ import annotations

from typing import Any, cast

import pytest

from manycore.protocol import roster
from manycore.protocol.edition import Edition
from manycore.protocol.python import here
from manycore.protocol.roster import Roster, Worker
from manycore.protocol.signing import Keyring

RING = Keyring([b"a key of sixteen"])
OURS, THEIRS = Edition("1f", "/here/mine.py"), Edition("4e", "/app/mine.py")


def worker(queue: str, **facts: Any) -> Worker:
    known: dict[str, Any] = {"tasks": {}, "functions": True, "python": here(), "version": "1", "editions": {}}
    return Worker(slots=1, queues=(queue,), keys=tuple(RING.ids), **known | facts)


@pytest.fixture
def of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A roster of these workers."""

    def made(*workers: Worker) -> Roster:
        monkeypatch.setattr(roster, "live_workers", lambda _: list(workers))
        return Roster(cast(Any, None), RING)

    return made


def test_another_python_counts_on_its_own_fleet_or_on_any(of: Any) -> None:
    found = of(worker("cpu"), worker("gpu", python=(3, 99)), worker("gpu"))
    assert found.other_python("cpu") is None
    assert found.other_python("gpu") == (3, 99)
    assert found.other_python("nobody's") is None
    assert found.other_python() == (3, 99)


def test_a_task_is_known_by_all_or_by_some_of_a_fleet(of: Any) -> None:
    knowing = {"tasks": {"mine.task": "cpu"}}
    found = of(worker("cpu", **knowing), worker("gpu", **knowing), worker("gpu"))
    assert found.all_know("mine.task", "cpu")
    assert not found.all_know("mine.task", "gpu")


def test_the_edition_that_differs_is_found_among_those_that_do_not(of: Any) -> None:
    same = worker("cpu", editions={"mine": OURS._replace(file="/app/mine.py")})
    assert of(same).edition("mine", other_than=OURS) is None
    assert of(same, worker("cpu", editions={"mine": THEIRS})).edition("mine", other_than=OURS) == THEIRS
    assert of(same).edition("yours", other_than=OURS) is None


def test_a_task_of_a_worker_that_has_just_started_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [worker("cpu")]
    monkeypatch.setattr(roster, "live_workers", lambda _: list(there))
    found = Roster(cast(Any, None), RING)
    assert not found.knows("mine.task")
    there.append(worker("cpu", tasks={"mine.task": "cpu"}))
    assert found.knows("mine.task")
