"""A plain Celery call ends, however it ends: at its rebuilding, while it runs, and when its result is pickled.

One worker of processes serves all tests here, one of threads those that kill none; a call that ends badly is followed
by one that has to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import ChordError, SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded
from kombu.exceptions import EncodeError

from manycore.errors import ItemTimeout, MessageRefused, NotUnpicklable, RemoteError, WorkerCrashed
from manycore.plain import celery_app
from tests import noticing
from tests.functions import EndsBadly
from tests.integration.conftest import Server, serving, workers_of
from tests.waiting import wait_until

WAIT_SECONDS = 30
ENDS_BADLY, GIVES_BAD_END = "tests.functions.ends_badly", "tests.functions.gives_bad_end"
ECHO, LONG, GIVES, ENDS_ON_ERROR, ENDS_WHEN_SHOWN, ENDS_WITH = (
    f"tests.functions.{name}"
    for name in ("echo", "long_task", "ends_parent", "ends_on_error", "gives_what_ends_when_shown", "ends_with")
)
TASKS = "tests.functions,tests.noticing"


class House(NamedTuple):
    """A server, its workers `cpu` and `io`, and a client of theirs."""

    server: Server
    workers: dict[str, Any]
    app: Celery
    noticed: Path
    """Where the workers leave a file for each failure, and their logs."""


def client_of(server: Server) -> Celery:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MANYCORE_URL", server.url)
        environment.setenv("MANYCORE_KEY", server.key)
        return celery_app()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("plain")
    with serving(home) as server, workers_of(server, home) as start, pytest.MonkeyPatch.context() as environment:
        environment.setenv(noticing.FOLDER, str(home))
        cpu = start(tasks=TASKS, connection_seconds="0.3", wait=False)
        io = start("--pool", "threads", "--queue", "io", slots=2, tasks=TASKS, connection_seconds="0.3")
        yield House(server, {"cpu": cpu, "io": io}, client_of(server), home)


@pytest.fixture
def call(house: House) -> Iterator[Callable[..., Any]]:
    """Makes a call and waits for its answer. At the end the workers are there, and run the next call."""

    def made(task: str, args: Any = (), *, queue: str = "cpu", **options: Any) -> Any:
        return house.app.send_task(task, args, queue=queue, **options).get(timeout=WAIT_SECONDS)

    yield made
    for queue, worker in house.workers.items():
        assert made(ECHO, ("next",), queue=queue) == "next"
        assert worker.poll() is None


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "runs").mkdir()
    return str(tmp_path / "runs")


def runs(folder: str) -> int:
    return len((Path(folder) / "0").read_text())


ENDS = {
    "rebuilt": {
        "ValueError": NotUnpicklable,
        "SystemExit": NotUnpicklable,
        "KeyboardInterrupt": NotUnpicklable,
        "MemoryError": MemoryError,
        "exit": WorkerCrashed,
        "segfault": WorkerCrashed,
    },
    "run": {
        "ValueError": ValueError,
        "SystemExit": RemoteError,
        "KeyboardInterrupt": RemoteError,
        "MemoryError": MemoryError,
        "exit": WorkerCrashed,
    },
    "pickled": {
        "ValueError": EncodeError,
        "SystemExit": EncodeError,
        "KeyboardInterrupt": EncodeError,
        "MemoryError": EncodeError,
        "exit": WorkerCrashed,
    },
}
"""Where a call ends, how, and by which error."""


def cells() -> Iterator[Any]:
    for where, ends in ENDS.items():
        for how, error in ends.items():
            yield pytest.param(where, how, error, "cpu", marks=pytest.mark.slow if how == "segfault" else ())
            if error is not WorkerCrashed:  # those take the whole worker along there: `test_plain_deaths`
                yield where, how, error, "io"


@pytest.mark.parametrize(("where", "how", "error", "fleet"), [*cells()])
def test_a_call_that_ends_badly_ends(
    where: str, how: str, error: type[Exception], fleet: str, call: Callable[..., Any], folder: str
) -> None:
    made = {
        "rebuilt": (ECHO, (1, EndsBadly(folder, how))),
        "run": (ENDS_BADLY, (folder, how)),
        "pickled": (GIVES_BAD_END, (folder, how)),
    }
    with pytest.raises(error):
        call(*made[where], queue=fleet)
    assert runs(folder) == (3 if error is WorkerCrashed else 1)


LIMITS: dict[str, Any] = {
    "cpu": [({"soft_time_limit": 0.5}, SoftTimeLimitExceeded), ({"time_limit": 1}, TimeLimitExceeded)],
    "io": [({"soft_time_limit": 0.5}, ItemTimeout), ({"time_limit": 0.5}, ItemTimeout)],
}
"""Celery has none on threads; there the soft one, or else the hard one, is ours."""
HANGS = [(fleet, *limit, when) for fleet in LIMITS for limit in LIMITS[fleet] for when in ("rebuilt", "run")]


@pytest.mark.parametrize(
    ("fleet", "limits", "error", "when"), [*HANGS, ("cpu", {"soft_time_limit": 0.5}, EncodeError, "pickled")]
)
def test_a_call_that_hangs_ends_at_its_limit(
    fleet: str, limits: Any, error: type[Exception], when: str, call: Callable[..., Any], folder: str
) -> None:
    made = {"rebuilt": (ECHO, (1, EndsBadly(folder, "hang"))), "run": (ENDS_BADLY, (folder, "hang"))}
    with pytest.raises(error):
        call(*made.get(when, (GIVES_BAD_END, (folder, "hang"))), queue=fleet, **limits)
    assert runs(folder) == 1


def test_the_argument_of_a_callback_is_its_calls_own(call: Callable[..., Any], house: House, folder: str) -> None:
    """One that kills who rebuilds it takes the call along that carries it, and no worker."""
    after = house.app.signature(ECHO, (EndsBadly(folder, "exit"),))
    with pytest.raises(WorkerCrashed):
        call(ECHO, ("a",), link=after)
    assert runs(folder) == 3


class Pair(NamedTuple):
    """One of the caller's own classes, which travels by value where the workers lack it."""

    left: int
    right: int


def test_what_celery_makes_of_several_calls_works(house: House, folder: str) -> None:
    """A chain, a group, a chord, a callback: with objects among their arguments."""
    sign, pair = house.app.signature, Pair(1, 2)
    steps = chain(sign(ECHO, (pair,)), sign(ECHO, (pair,), queue="io"), app=house.app)
    assert steps.apply_async().get(timeout=WAIT_SECONDS) == pair
    several = group([sign(ECHO, (number,)) for number in range(3)], app=house.app)
    assert several.apply_async().get(timeout=WAIT_SECONDS) == [0, 1, 2]
    joined = chord(several, sign(ECHO, (pair,)), app=house.app)
    assert joined.apply_async().get(timeout=WAIT_SECONDS) == [0, 1, 2]
    linked = house.app.send_task(ECHO, ("a",), link=sign(LONG, (folder, 0.0), immutable=True))
    assert linked.get(timeout=WAIT_SECONDS) == "a"
    wait_until(lambda: (Path(folder) / "0").exists(), "the callback ran")


def test_a_call_runs_when_it_is_due(house: House) -> None:
    assert house.app.send_task(ECHO, (Pair(1, 2),), countdown=0.5).get(timeout=WAIT_SECONDS) == (1, 2)


@pytest.mark.parametrize("limits", [{"time_limit": 1}, {"soft_time_limit": 0.5}], ids=["parent", "child"])
def test_a_failure_reaches_who_waits_for_it(house: House, folder: str, limits: Any) -> None:
    """Its errbacks and its chord, whether the child tells of it or, at a hard limit, the parent."""
    sign = house.app.signature
    mended = sign(LONG, (folder, 0.0), immutable=True)
    bad = sign(ENDS_BADLY, (str(Path(folder).parent), "hang"), link_error=mended, **limits)
    joined = chord([bad, sign(ECHO, (1,))], sign(ECHO, (Pair(1, 2),)), app=house.app).apply_async()
    wait_until(joined.ready, "the chord has ended")
    assert isinstance(joined.result, ChordError)
    wait_until(lambda: (Path(folder) / "0").exists(), "the errback ran")


def test_a_result_is_not_rebuilt_by_the_parent(call: Callable[..., Any], house: House) -> None:
    """It looks at how a call ended when another of its id is revoked: here, since it has expired."""
    first = house.app.send_task(GIVES, (), task_id="twice")
    assert first.get(timeout=WAIT_SECONDS) == "elsewhere"
    key, client = "celery-task-meta-twice", house.server.client()
    before = client.get(key)
    house.app.send_task(ECHO, (2,), task_id="twice", expires=datetime.now(UTC) - timedelta(seconds=60))
    assert call(ECHO, (3,)) == 3
    assert client.get(key) == before, "a success stays"


def test_a_verdict_that_kills_is_given_without_what_killed(call: Callable[..., Any], house: House, folder: str) -> None:
    """An errback of this form is run where the call has failed, thus where its verdict is given."""
    with pytest.raises(WorkerCrashed):
        call(ENDS_BADLY, (folder, "exit"), link_error=house.app.signature(ENDS_ON_ERROR))
    assert runs(folder) == 3


def test_a_stored_success_stays(call: Callable[..., Any], folder: str) -> None:
    """Its process dies of what comes after: that is no reason to run it again, nor to call it failed."""
    assert call(ENDS_WHEN_SHOWN, (folder,)).folder == folder
    assert call(ECHO, (1,)) == 1
    assert runs(folder) == 1


def test_a_call_that_was_revoked_is_revoked_however_it_dies(house: House, folder: str) -> None:
    sent = house.app.send_task(ENDS_BADLY, (folder, "hang"))
    wait_until(lambda: (Path(folder) / "0").exists() and runs(folder), "it runs")
    house.app.control.revoke(sent.id, terminate=True, signal="SIGKILL")
    with pytest.raises(TaskRevokedError):
        sent.get(timeout=WAIT_SECONDS)
    assert house.app.send_task(ECHO, (1,)).get(timeout=WAIT_SECONDS) == 1
    assert (house.app.AsyncResult(sent.id).state, runs(folder)) == ("REVOKED", 1)


@pytest.mark.parametrize(("how", "told"), [("exit", "WorkerCrashed"), ("MemoryError", "MemoryError")])
def test_the_signal_of_a_failure_is_sent(how: str, told: str, house: House, folder: str) -> None:
    sent = house.app.send_task(ENDS_BADLY, (folder, how))
    sent.get(timeout=WAIT_SECONDS, propagate=False)
    wait_until(lambda: (house.noticed / sent.id).exists(), "the signal was sent")
    assert (house.noticed / sent.id).read_text() == told


@pytest.mark.parametrize(("fleet", "linked"), [("cpu", False), ("cpu", True), ("io", False)])
def test_an_outage_is_no_calls_result(fleet: str, linked: bool, house: House, folder: str) -> None:
    """The server takes no writes when the call has run, for longer than is waited for elsewhere."""
    client, waited = house.server.client(), outages_told(house)
    after = house.app.signature(LONG, (folder, 0.0), immutable=True) if linked else None
    call = house.app.send_task(ENDS_WITH, (folder, "flag"), queue=fleet, link=after)
    wait_until(lambda: (Path(folder) / "1").exists(), "it runs")
    client.config_set("min-replicas-to-write", "1")
    try:
        (Path(folder) / "flag").touch()
        wait_until(lambda: outages_told(house) > waited, "the child waits")
        later = monotonic() + 1.0
        wait_until(lambda: monotonic() > later, "others would have given up")
    finally:
        client.config_set("min-replicas-to-write", "0")
    assert call.get(timeout=WAIT_SECONDS) == "done"
    if linked:
        wait_until(lambda: (Path(folder) / "0").exists(), "the callback ran")


def outages_told(house: House) -> int:
    return sum(path.read_text().count("; waiting for it") for path in house.noticed.glob("*.log"))


def test_a_client_publishes_on_a_new_channel_if_its_own_was_closed(house: House) -> None:
    """As it finds one after an outage (seen in a storm): kombu's AttributeError would go to the caller."""
    with house.app.amqp.producer_pool.acquire(block=True) as producer:
        producer.channel.close()
        producer.publish("anything", routing_key="nobody", exchange="", serializer="json", retry=True)
    assert house.server.client().llen("nobody") == 1


def test_no_result_is_taken_for_anothers(house: House) -> None:
    """Somebody who can write to the server has copied one."""
    ids = [house.app.send_task(ECHO, (value,)).id for value in ("one", "two")]
    client: Any = house.server.client()
    names = [f"celery-task-meta-{name}" for name in ids]
    wait_until(lambda: client.exists(*names) == 2, "both are there")
    client.set(names[1], client.get(names[0]), ex=60)
    reader = client_of(house.server)  # one that has not seen the second yet
    assert reader.AsyncResult(ids[0]).get(timeout=WAIT_SECONDS) == "one"
    with pytest.raises(MessageRefused, match=f"signed as the result of {ids[0]}"):
        reader.AsyncResult(ids[1]).get(timeout=WAIT_SECONDS)
    with pytest.raises(MessageRefused):
        list(reader.backend.get_many(ids))


@pytest.mark.parametrize("junk", ["anything", "another's"])
def test_what_is_found_in_place_of_a_result_is_written_over(junk: str, house: House, call: Callable[..., Any]) -> None:
    other, client = house.app.send_task(ECHO, (1,)), house.server.client()
    assert other.get(timeout=WAIT_SECONDS) == 1
    found: Any = b"junk" if junk == "anything" else client.get(f"celery-task-meta-{other.id}")
    client.set("celery-task-meta-planted", found, ex=60)
    house.app.send_task(ECHO, ("right",), task_id="planted")
    assert call(ECHO, (2,)) == 2
    assert client_of(house.server).AsyncResult("planted").get(timeout=WAIT_SECONDS) == "right"
    client.delete("celery-task-meta-planted")
