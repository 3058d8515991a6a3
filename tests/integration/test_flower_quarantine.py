"""Flower's page of the quarantine, and `Rerun failed`: a worker does what needs the signing key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from manycore import Cluster
from tests.flower import OURS, Flower
from tests.functions import fail_while, leave_while
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def poison(cluster: Cluster, flower: Flower, tmp_path: Path) -> tuple[str, Path]:
    """The id of a poison item, and the file that makes it one."""
    flag = tmp_path / "flag"
    flag.touch()
    cluster.batch(leave_while, [0], id=f"night{tmp_path.name}"[:99], kwargs={"flag": str(flag)}).wait()

    def found() -> list[str]:
        return [each["id"] for each in flower.read("/api/quarantine")["entries"] if tmp_path.name in each["batch"]]

    wait_until(found, "the item is in the quarantine")
    return found()[0], flag


def test_it_is_listed_shown_and_purged(flower: Flower, poison: tuple[str, Path]) -> None:
    entry, _ = poison
    shown = flower.read(f"/api/quarantine/{entry}")
    assert (shown["kind"], shown["index"], shown["retryable"]) == ("poison", 0, True)
    assert "SIGKILL" in shown["cause"]
    assert shown["arguments"].startswith("0 (")
    assert flower.ask(f"/api/quarantine/{entry}/purge", "POST", OURS)[0] == 200
    status, text = flower.ask(f"/api/quarantine/{entry}")
    assert status == 409
    assert entry in text


def test_it_is_retried_as_a_new_batch(cluster: Cluster, flower: Flower, poison: tuple[str, Path]) -> None:
    entry, flag = poison
    flag.unlink()
    status, text = flower.ask(f"/api/quarantine/{entry}/retry", "POST", OURS)
    assert status == 200, text
    (batch,) = json.loads(text)["batches"]
    assert cluster.attach(batch).gather() == [0]
    assert entry not in {found["id"] for found in flower.read("/api/quarantine")["entries"]}


def test_what_failed_of_a_batch_runs_again(cluster: Cluster, flower: Flower, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    cluster.batch(fail_while, range(20), id="red-one", kwargs={"flag": str(flag), "each": 5}).wait()
    flag.unlink()
    status, text = flower.ask("/api/batches/red-one/rerun?request=one", "POST", OURS)
    assert status == 200, text
    said = json.loads(text)
    assert json.loads(flower.ask("/api/batches/red-one/rerun?request=one", "POST", OURS)[1]) == said, "not again"
    assert said["items"] == 4
    assert cluster.attach(said["batch"]).gather() == [0, 5, 10, 15]
    assert flower.ask("/api/batches/nobody/rerun", "POST", OURS)[0] == 409


@pytest.mark.parametrize("path", ["/api/quarantine/x/retry", "/api/quarantine/x/purge", "/api/batches/x/rerun"])
def test_who_may_change_it(flower: Flower, read_only: Flower, path: str) -> None:
    assert read_only.ask(path, "POST", OURS)[0] == 403
    assert flower.ask(path, "POST")[0] == 403
    assert flower.ask(path, "POST", OURS, known=False)[0] == 401


def test_who_may_see_it(flower: Flower, read_only: Flower) -> None:
    assert read_only.ask("/api/quarantine")[0] == 200
    for path in ("/quarantine", "/api/quarantine", "/api/quarantine/x"):
        assert flower.ask(path, known=False)[0] == 401
    assert "Quarantine" in flower.ask("/quarantine")[1]
