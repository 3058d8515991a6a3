"""Calls that run in one delivery, as its slot stayed for them, are shown as tasks of their own."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.plain import celery_app
from tests.events import Events, heard, kinds_of
from tests.functions import busy, fail_on_seven, square
from tests.integration.conftest import Server
from tests.queues import messages
from tests.waiting import wait_until

LONG = 99


@pytest.fixture
def cluster(start_worker: Callable[..., Any], connect: Callable[..., Cluster]) -> Cluster:
    """Of a worker with two slots."""
    start_worker(slots=2)
    return connect(audit_seconds="3600")


@pytest.fixture
def seen(server: Server, cluster: Cluster) -> Iterator[Events]:
    with heard(server.url, cluster) as events:
        yield events


def test_flower_is_told_of_each(cluster: Cluster, seen: Events) -> None:
    for n in range(60):
        assert (cluster.submit(fail_on_seven, n % 10).exception(timeout=20) is not None) == (n % 10 == 7)

    def whole() -> list[list[dict[str, Any]]]:
        ours = [events for events in seen.values() if str(events[0].get("name")).endswith("fail_on_seven")]
        return [events for events in ours if len(events) == 3]

    wait_until(lambda: len(whole()) == 60, "sixty tasks were seen whole")
    kinds = [kinds_of(events) for events in whole()]
    assert sum(kind == ["task-received", "task-started", "task-succeeded"] for kind in kinds) == 54
    assert sum(kind == ["task-received", "task-started", "task-failed"] for kind in kinds) == 6
    assert len({events[0]["args"].partition(",")[0] for events in whole()}) == 60
    assert all(events[0]["timestamp"] <= events[2]["timestamp"] and events[2]["runtime"] < 5 for events in whole())


def test_a_long_call_that_follows_is_shown_while_it_runs_and_can_be_revoked(
    server: Server, cluster: Cluster, seen: Events, tmp_path: Path
) -> None:
    """By its own id, as any task: then it is not run again."""
    runs, flag = tmp_path / "runs", tmp_path / "flag"

    def follows(number: int) -> int:
        while number == LONG and flag.exists():
            runs.touch()
            busy(0.01)
        return number

    def shown() -> list[str]:
        """What runs, and was shown as its worker looked: what comes by the queue is received and started in turn."""
        ours = {uuid: events for uuid, events in seen.items() if str(events[0].get("name")).endswith("follows")}
        two = {uuid: events for uuid, events in ours.items() if events[-1]["type"] == "task-started"}
        return [uuid for uuid, events in two.items() if events[0]["timestamp"] == events[1]["timestamp"]]

    def followed() -> bool:
        flag.touch()
        for n in range(10):
            assert cluster.submit(follows, n).result(timeout=20) == n
        queued = messages(server.client())
        future = cluster.submit(follows, LONG)
        wait_until(runs.exists, "it runs")
        if messages(server.client()) == queued:
            return True
        flag.unlink()
        assert future.result(timeout=20) == LONG
        runs.unlink()
        return False

    wait_until(followed, "a long call is handed to a slot")
    wait_until(lambda: len(shown()) == 1, "it is shown to run")
    celery_app().control.revoke(shown()[0], terminate=True, signal="SIGKILL")
    wait_until(lambda: "task-revoked" in {e["type"] for events in seen.values() for e in events}, "it was revoked")
    runs.unlink()
    assert cluster.submit(square, 3).result(timeout=20) == 9
    assert not runs.exists(), "it does not run again"


def test_a_channel_knows_how_many_hear_what_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYCORE_URL", server.url)
    monkeypatch.setenv("MANYCORE_KEY", server.key)
    app: Any = celery_app()
    with app.connection_for_write() as connection, app.events.Dispatcher(connection) as dispatcher:
        dispatcher.send("worker-heartbeat")
        assert dispatcher.producer.channel.heard_by == 0
        client: Any = server.client()
        listener = client.pubsub()
        listener.psubscribe("*celeryev*")
        assert listener.get_message(timeout=10)["type"] == "psubscribe"
        dispatcher.send("worker-heartbeat")
        assert dispatcher.producer.channel.heard_by == 1
        assert b"worker-heartbeat" in b64decode(json.loads(listener.get_message(timeout=10)["data"])["body"])
        listener.close()
