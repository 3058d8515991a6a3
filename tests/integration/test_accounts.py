"""What Redis says of each batch, from any process: begun, counted, ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import redis
from click.testing import CliRunner

from manycore import Cluster
from manycore.cli.__main__ import main
from manycore.protocol import account, keys
from manycore.protocol.account import Account, Accounts
from tests.functions import busy, fail_on_seven, leave, square
from tests.integration.conftest import Server
from tests.probe import Probe
from tests.waiting import wait_until

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]


@pytest.fixture
def client(cluster: Cluster) -> redis.Redis:
    return Probe(cluster).redis


def of(cluster: Cluster, batch: str) -> Account:
    return next(found for found in cluster.batches() if found.id == batch)


def ended(cluster: Cluster, batch: str) -> Account:
    wait_until(
        lambda: any(found.end for found in cluster.batches() if found.id == batch), f"the end of {batch} is told"
    )
    return of(cluster, batch)


def test_a_batch_without_a_name_is_listed_with_what_came_of_it(cluster: Cluster) -> None:
    batch = cluster.batch(fail_on_seven, range(200))
    batch.gather(return_exceptions=True)
    found = ended(cluster, batch.id)
    assert (found.done, found.failed, found.total, found.end) == (200, 1, 200, "done")
    assert (found.task, found.fleet, found.named) == ("tests.functions.fail_on_seven", "cpu", False)
    assert sum(found.seconds.values()) == 200
    count, trace = found.errors["KeyError"]
    assert count == 1
    assert "in fail_on_seven" in trace
    assert found.points[-1][1] == 200


def complain(text: str) -> None:
    raise KeyError(text) if text.isascii() else ValueError(text)


def test_an_error_with_half_of_a_surrogate_pair_counts_like_others(cluster: Cluster) -> None:
    """As the name of a file has it that is no text. Of the items beside it nothing was told either."""
    batch = cluster.batch(complain, ["caf\udce9", "plain"])
    batch.gather(return_exceptions=True)
    found = ended(cluster, batch.id)
    assert (found.done, found.failed) == (2, 2)
    assert r"caf\udce9" in found.errors["ValueError"][1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\ud83d\ude00", r"\ud83d\ude00"),
        ('\\"\udfff\\"', '\\"' + r"\udfff" + '\\"'),
        ("\U0001f600é\0", "\U0001f600é\0"),
    ],
)
def test_any_text_can_be_told(client: redis.Redis, text: str, shown: str) -> None:
    tell(client, "texts", {"set": {"call": text}, "counts": {"failed": 1}, "errors": {text: (1, text)}})
    told = found(client, "texts")
    assert (told.call, told.errors[shown][1]) == (shown, shown)
    account.remove(client, "texts")


def test_it_counts_while_it_runs(cluster: Cluster) -> None:
    batch = cluster.batch(busy, [0.05] * 100)
    wait_until(lambda: any(a.id == batch.id and 0 < a.done < 100 for a in cluster.batches()), "some items are counted")
    batch.cancel()
    assert ended(cluster, batch.id).end == "cancelled"


def test_submit_calls_are_one_batch(cluster: Cluster) -> None:
    before = {found.id: found.done for found in cluster.batches() if found.id.startswith("submit-")}
    for future in [cluster.submit(square, number) for number in range(50)]:
        future.result(timeout=20)

    def grown() -> bool:
        now = {found.id: found.done for found in cluster.batches() if found.id.startswith("submit-")}
        return sum(now.values()) == sum(before.values()) + 50 and len(now) <= max(len(before), 1)

    wait_until(grown, "fifty more calls of one stream are counted")


def test_further_attempts_and_halts_are_told(cluster: Cluster) -> None:
    batch = cluster.batch(fail_on_seven, [7, 1], retries=2, backoff=0.01)
    batch.gather(return_exceptions=True)
    found = ended(cluster, batch.id)
    assert (found.done, found.failed, found.retried) == (2, 1, 2)
    halted = cluster.batch(fail_on_seven, [7] * 50, halt="now,fail=1")
    halted.gather(return_exceptions=True)
    assert ended(cluster, halted.id).end == "halted"


def test_an_item_that_dies_is_told_as_a_repeat_and_a_failure(cluster: Cluster) -> None:
    batch = cluster.batch(leave, range(20), kwargs={"at": 3})
    batch.gather(return_exceptions=True)
    found = ended(cluster, batch.id)
    assert (found.done, found.failed) == (20, 1)
    assert found.repeats > 0
    assert "exit code 3" in found.errors["WorkerCrashed"][1]


def test_a_batch_that_is_gone_on_with_runs_again(cluster: Cluster) -> None:
    cluster.batch(square, range(10), id="again").gather()
    first = ended(cluster, "again")
    cluster.batch(square, range(10), id="again").gather()
    wait_until(lambda: of(cluster, "again").ended not in (None, first.ended), "it has ended again")
    found = of(cluster, "again")
    assert (found.done, found.total, found.named) == (10, 10, True)


def test_an_account_that_cannot_be_kept_costs_no_outcome(cluster: Cluster, client: redis.Redis) -> None:
    client.set(keys.account("spoiled"), "a stranger's", ex=60)
    assert cluster.batch(square, range(100), id="spoiled").gather() == [n * n for n in range(100)]
    assert ended(cluster, "spoiled").end == "done", "what lay in its way was taken away"


def test_a_report_that_is_sent_again_counts_once(client: redis.Redis) -> None:
    for report in ("c 0-5", "c 0-5", "c 5-9", "c 5-9"):
        tell(client, "once", {"report": report, "counts": {"done": 5}}, "slot")
    assert found(client, "once").done == 10


def test_a_server_that_has_just_started_learns_how(client: redis.Redis) -> None:
    client.script_flush()
    tell(client, "fresh", {"counts": {"done": 5}})
    assert found(client, "fresh").done == 5


def test_what_comes_after_the_end_does_not_count(client: redis.Redis) -> None:
    tell(client, "late", {"counts": {"done": 5}})
    tell(client, "late", {"end": "done"})
    tell(client, "late", {"counts": {"done": 5}})
    assert found(client, "late").done == 5
    tell(client, "late", {"begins": True})
    tell(client, "late", {"counts": {"done": 5}})
    assert found(client, "late").done == 10


def test_it_is_told_since_when_it_runs(client: redis.Redis) -> None:
    tell(client, "once more", {"begins": True, "set": {"idle": 0}})
    assert found(client, "once more").resumed == 0, "it is its first run"
    tell(client, "once more", {"counts": {"done": 5}})
    tell(client, "once more", {"set": {"idle": 1}})
    client.hset(keys.account("once more"), "started", "1")  # as if it were long ago
    tell(client, "once more", {"set": {"idle": 0}})
    again = found(client, "once more")
    assert (again.idle, again.before, again.begun > 1) == (False, 5, True)
    tell(client, "once more", {"set": {"idle": 0}})
    assert found(client, "once more").resumed == again.resumed, "it had work all the time"
    tell(client, "once more", {"counts": {"done": 5}, "set": {"idle": 1}})
    tell(client, "once more", {"end": "done"})
    client.hset(keys.account("once more"), "resumed", "2")
    tell(client, "once more", {"begins": True})
    anew = found(client, "once more")
    assert (anew.idle, anew.before, anew.resumed > 2) == (False, 10, True)


def test_names_of_errors_are_bounded_and_none_is_lost(client: redis.Redis) -> None:
    for number in range(50):
        tell(client, "manifold", {"counts": {"failed": 2}, "errors": {f"Error{number}": (2, "trace")}})
    errors = found(client, "manifold").errors
    assert len(errors) == 13
    assert sum(count for count, _ in errors.values()) == 100


def test_the_progress_of_a_long_batch_is_few_points(client: redis.Redis) -> None:
    tell(client, "long", {"counts": {"done": 1}})
    for hours in (1, 9, 100):
        client.hset(keys.account("long"), "started", f"{found(client, 'long').last - hours * 3600:.3f}")
        tell(client, "long", {"counts": {"done": 1}})
    points = found(client, "long").points
    assert len(points) < 129
    assert points[-1][1] == 4
    assert points[-1][0] >= 100 * 3600


def test_accounts_are_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a server where nobody else tells anything."""
    client = server.client()
    monkeypatch.setattr(account, "MAX_ACCOUNTS", 3)
    for number in range(5):
        tell(client, f"bounded:{number}", {"set": {"task": "t"}})
    assert client.zcard(keys.ACCOUNTS) == 3
    assert found(client, "bounded:4").task == "t"
    kept: Any = client.zrange(keys.ACCOUNTS, 0, -1)
    assert set(client.scan_iter("mc:account:*")) == set(kept)


def test_what_is_gone_by_its_ttl_leaves_before_what_is_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    client = server.client()
    monkeypatch.setattr(account, "MAX_ACCOUNTS", client.zcard(keys.ACCOUNTS) + 3)
    for number in range(3):
        tell(client, f"there:{number}", {"set": {"task": "t"}})
    client.unlink(keys.account("there:1"), keys.account("there:2"))  # as by their TTL
    for number in range(2):
        tell(client, f"newer:{number}", {"set": {"task": "t"}})
    kept: Any = client.zrange(keys.ACCOUNTS, 0, -1)
    assert keys.account("there:0").encode() in kept
    assert found(client, "there:0").task == "t"
    assert keys.account("there:1").encode() not in kept


def test_a_detached_batch_is_told_of_by_who_watches(
    server: Server, start_worker: StartWorker, connect: Connect
) -> None:
    cluster = connect()
    cluster.batch(square, range(300), id="away").detach(20)
    wait_until(lambda: of(cluster, "away").state(0.0, set()) == "waiting", "it waits for workers")
    start_worker(audit_seconds="0.2")
    assert ended(cluster, "away").done == 300
    shown = json.loads(CliRunner().invoke(main, ["batches", "--json", "--url", server.url]).output)
    assert [(row["id"], row["state"], row["done"]) for row in shown] == [("away", "done", 300)]
    table = CliRunner().invoke(main, ["batches", "--url", server.url])
    assert "300/300" in table.output
    assert table.output.rstrip().endswith(" s"), "its age"


def tell(client: redis.Redis, batch: str, told: dict[str, Any], teller: str | None = None) -> None:
    pipe = client.pipeline(transaction=False)
    account.execute(pipe, [account.tell(pipe, batch, 60, told, teller)])


def found(client: redis.Redis, batch: str) -> Account:
    there = Accounts(client).find(batch)
    assert there is not None
    return there


def test_how_many_are_listed_may_be_a_number_of_numpys(cluster: Cluster) -> None:
    assert cluster.submit(abs, -1).result(timeout=20) == 1
    assert len(cluster.batches(np.int64(1))) <= 1  # type: ignore[arg-type]
