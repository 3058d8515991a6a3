"""A worker takes a message in one step with the record of it: a parent that dies at that moment loses nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from manycore import Cluster
from manycore.plain import celery_app
from manycore.protocol import keys
from manycore.protocol.broker import UNACKED, UNACKED_INDEX
from manycore.worker.parent.transport import TAKE
from tests.integration.conftest import Server
from tests.queues import lists_of
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
COUNT = "tasks.primes.count_primes"
FLEETS = {"cpu": ("--queue", "cpu"), "io": ("--queue", "io", "--pool", "threads")}


@pytest.fixture
def app(server: Server, monkeypatch: pytest.MonkeyPatch) -> Celery:
    monkeypatch.setenv("MANYCORE_URL", server.url)
    monkeypatch.setenv("MANYCORE_KEY", server.key)
    return celery_app()


def taken_unread(server: Server, worker: Any, send: Callable[[], Any], queue: str) -> Any:
    """A call that a stopped parent was answered with: it waits for messages all the same, a second at a time."""
    client = server.client()
    for _ in range(20):
        wait_until(lambda: "bzpopmin" in [each["cmd"] for each in client.client_list() if "b" in each["flags"]], "idle")
        os.kill(worker.pid, signal.SIGSTOP)
        call = send()
        with suppress(AssertionError):
            wait_until(lambda: not client.exists(queue), "it is taken", seconds=1)
            return call
        os.kill(worker.pid, signal.SIGCONT)
        call.get(timeout=20)
    raise AssertionError("never taken")


@pytest.mark.slow
@pytest.mark.parametrize("options", FLEETS.values(), ids=FLEETS.keys())
def test_a_call_that_a_dying_worker_was_just_taking_in_comes_again(
    options: tuple[str, ...], server: Server, start_worker: StartWorker, app: Celery
) -> None:
    """Plain Celery calls have no client that would send them again."""
    worker = start_worker(*options, tasks="tasks.primes", lease_seconds="2")
    queue = options[1]
    assert app.send_task(COUNT, (0, 10), queue=queue).get(timeout=20) == 4
    call = taken_unread(server, worker, lambda: app.send_task(COUNT, (0, 1000), queue=queue), queue)
    os.killpg(worker.pid, signal.SIGKILL)
    start_worker(*options, tasks="tasks.primes", lease_seconds="2")
    assert call.get(timeout=20) == 168


@pytest.mark.slow
def test_a_worker_waits_connected_while_the_server_refuses_writes(
    server: Server, start_worker: StartWorker, app: Celery, tmp_path: Path
) -> None:
    """To connect anew would deliver again what runs, and cost the server more than its trouble."""
    for options in FLEETS.values():
        start_worker(*options, slots=2, tasks="tests.functions")
    client = server.client()

    def counted(section: str, name: str) -> int:
        found: Any = client.info(section).get(name, 0)
        return int(found["count"] if isinstance(found, dict) else found)

    calls = [app.send_task("tests.functions.sleeps", (str(tmp_path), 1.0), queue=fleet) for fleet in FLEETS]
    wait_until(lambda: (tmp_path / "1").exists() and (tmp_path / "1").read_text() == "xx", "both run")
    client.config_set("min-replicas-to-write", "1")
    wait_until(lambda: counted("errorstats", "errorstat_NOREPLICAS"), "it is refused")
    before = counted("errorstats", "errorstat_NOREPLICAS"), counted("stats", "total_connections_received")
    wait_until(lambda: counted("errorstats", "errorstat_NOREPLICAS") > before[0] + 30, "it is refused again and again")
    assert counted("stats", "total_connections_received") - before[1] <= 3
    assert counted("errorstats", "errorstat_NOREPLICAS") < before[0] + 60
    client.config_set("min-replicas-to-write", "0")
    assert [call.get(timeout=20) for call in calls] == ["done", "done"]
    wait_until(lambda: not client.hlen("manycore-unacked"), "it is acknowledged, though late")
    assert (tmp_path / "1").read_text() == "xx"
    logs = [path.read_text() for path in tmp_path.glob("*.log")]
    assert [log.count("the server refuses to give them") for log in logs] == [1, 1]
    assert not [log for log in logs if "Connection to broker lost" in log]


def test_what_is_no_bell_is_taken_away(server: Server, start_worker: StartWorker, app: Celery) -> None:
    """By who rings, and by who waits."""
    client = server.client()
    client.set(keys.bell("cpu"), "junk")
    call = app.send_task(COUNT, (0, 1000))
    assert client.type(keys.bell("cpu")) == b"zset"
    client.set(keys.bell("cpu"), "junk")
    start_worker(tasks="tasks.primes")
    assert call.get(timeout=20) == 168
    wait_until(lambda: not client.exists(keys.bell("cpu")), "nothing is left")


def test_half_of_what_waits_is_taken_at_once_and_each_message_is_recorded(server: Server) -> None:
    client, bell, lists = server.client(), keys.bell("q"), lists_of("q")
    later, low = lists[2:]

    def take(most: int, tag: str) -> Any:
        names = [UNACKED, UNACKED_INDEX, *lists, bell]
        return TAKE.run(client, names, [tag, 60, most, "", *['"q"'] * len(lists)])

    client.lpush("q", *range(9))
    client.lpush(later, "later")
    client.lpush(low, "low")
    assert take(1, "a") == [b"q", b"0"]
    assert take(16, "b") == [b"q", b"1", b"q", b"2", b"q", b"3", b"q", b"4"]
    assert take(2, "e") == [b"q", b"5", b"q", b"6"]
    tags = ["a", "b", "b-1", "b-2", "b-3", "e", "e-1"]
    assert [client.hget(UNACKED, tag) for tag in tags] == [f'[{count},"","q"]'.encode() for count in range(7)]
    assert sorted(client.zrange(UNACKED_INDEX, 0, -1)) == [tag.encode() for tag in sorted(tags)]
    assert client.zcard(bell) == 1
    assert take(8, "c") == [later.encode(), b"later"], "for one tag in four what is beyond a share comes first"
    assert take(8, "1") == [low.encode(), b"low"], "and for one in sixteen what has a low priority"
    client.lpush(later, "later")
    client.lpush(low, "low")
    taken = [take(8, tag) for tag in "2367"]
    assert taken == [[b"q", b"7"], [b"q", b"8"], [later.encode(), b"later"], [low.encode(), b"low"]]
    client.delete(bell)
    assert take(8, "g") is None
    assert not client.exists(bell)
    client.lpush("q", *["m" * 600_000] * 8)
    assert len(take(8, "h")) == 2 * 2, "no further one once they are large together"


def test_what_is_for_others_stays_where_it_is_and_what_is_behind_it_is_taken(server: Server) -> None:
    client: Any = server.client()
    lists, bell = lists_of("q"), keys.bell("q")
    low = lists[-1]
    theirs, late = '{"headers":{"task":"theirs"}}', '{"headers": {"task": "late"}}'
    marks = '"task":"theirs"\n"task": "late"'

    def take(most: int, tag: str) -> Any:
        names = [UNACKED, UNACKED_INDEX, *lists, bell]
        return TAKE.run(client, names, [tag, 60, most, marks, *['"q"'] * len(lists)])

    client.lpush("q", theirs, late, "1", theirs, "2", "2", late)
    client.lpush(low, theirs, "low")
    assert take(1, "a") == [b"q", b"1"]
    assert take(2, "b") == [b"q", b"2", b"q", b"2"]
    assert client.zcard(bell) == 1
    assert take(8, "e") == [low.encode(), b"low"]
    client.delete(bell)
    assert take(8, "e") == []
    assert client.zcard(bell) == 1, "another worker is woken"
    assert [message.decode() for message in client.lrange("q", 0, -1)] == [late, theirs, late, theirs]
    assert client.hlen(UNACKED) == 4
    client.delete(*lists)
    assert take(8, "f") is None


def test_a_worker_gets_at_what_is_behind_the_tasks_of_others(
    server: Server, start_worker: StartWorker, connect: Callable[..., Cluster], app: Celery, tmp_path: Path
) -> None:
    """A machine that has joined without the tasks of the others; they are busy, and their messages wait."""
    start_worker(tasks="tests.functions")
    calls = [app.send_task("tests.functions.long_task", (str(tmp_path), 600), queue="cpu") for _ in range(8)]
    wait_until((tmp_path / "0").exists, "one runs")
    start_worker(slots=2)
    cluster = connect()
    for number in range(8):
        assert cluster.submit(abs, -number).result(timeout=20) == number
    assert [call.state for call in calls] == ["PENDING"] * 8
    assert (tmp_path / "0").read_text() == "x", "the others wait for whom they are for"


@pytest.mark.parametrize("options", FLEETS.values(), ids=FLEETS.keys())
def test_calls_that_are_taken_together_are_each_run_once(
    options: tuple[str, ...], server: Server, start_worker: StartWorker, app: Celery, tmp_path: Path
) -> None:
    queue = options[1]
    calls = [app.send_task("tests.functions.sleeps", (str(tmp_path / str(n)), 0.0), queue=queue) for n in range(40)]
    for n in range(40):
        (tmp_path / str(n)).mkdir()
    start_worker(*options, slots=8, tasks="tests.functions")
    assert [call.get(timeout=20) for call in calls] == ["done"] * 40
    assert [(tmp_path / str(n) / "1").read_text() for n in range(40)] == ["x"] * 40
    wait_until(lambda: not server.client().hlen(UNACKED), "each is acknowledged")
