"""Flower with our pages, as a real process beside a local cluster: what its paths answer, and to whom."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import BatchCancelled
from manycore.protocol import account
from ops.flower.queues import sent_at
from tests.flower import OURS, Flower
from tests.functions import busy, fail_on_seven, square
from tests.probe import Probe
from tests.waiting import wait_until

pytestmark = pytest.mark.slow


def ended(flower: Flower, batch: str) -> dict[str, Any]:
    wait_until(lambda: flower.batch(batch)["ended"], f"Flower knows of the end of {batch}")
    return flower.batch(batch)


def test_a_batch_shows_while_it_runs_and_after_its_end(cluster: Cluster, flower: Flower) -> None:
    batch = cluster.batch(busy, [0.02] * 150)

    def shown() -> bool:
        rows = flower.read(f"/api/batches?search={batch.id}")["batches"]
        return bool(rows) and 0 < rows[0]["done"] < 150 and rows[0]["state"] == "running" and rows[0]["eta_seconds"] > 0

    wait_until(shown, "it shows half done")
    batch.gather()
    found = ended(flower, batch.id)
    assert (found["done"], found["total"], found["state"], found["failed"]) == (150, 150, "done", 0)
    assert sum(bucket["items"] for bucket in found["seconds"]) == 150
    assert found["points"][-1][1] == 150


def test_failures_show_by_class_with_the_first_traceback(cluster: Cluster, flower: Flower) -> None:
    batch = cluster.batch(fail_on_seven, [1, 7, 7])
    batch.gather(return_exceptions=True)
    (error,) = ended(flower, batch.id)["errors"]
    assert (error["name"], error["items"]) == ("KeyError", 2)
    assert "in fail_on_seven" in error["traceback"]


def speak(number: int) -> None:
    print("<b>item</b>", number)


def test_what_items_write_is_read_on_and_on(cluster: Cluster, flower: Flower) -> None:
    batch = cluster.batch(speak, range(3), id="spoken")
    batch.wait()
    first = flower.read("/api/batches/spoken/log")
    assert sorted(line["text"] for line in first["lines"]) == [f"<b>item</b> {n}\n" for n in range(3)]
    assert flower.read(f"/api/batches/spoken/log?after={first['last']}") == {"lines": [], "last": first["last"]}
    assert flower.ask("/api/batches/spoken/log?after=junk")[0] == 400
    assert flower.ask("/api/batches/spoken/log", known=False)[0] == 401
    assert flower.read("/api/batches/nowhere/log") == {"lines": [], "last": ""}


def test_a_chunk_with_failed_items_is_a_failure(cluster: Cluster, flower: Flower) -> None:
    batch = cluster.batch(fail_on_seven, [7, 7, 1], id="red")
    batch.gather(return_exceptions=True)

    def states() -> set[tuple[str, str]]:
        tasks = flower.read("/api/tasks").values()
        return {(task["state"], task["result"]) for task in tasks if "batch red" in str(task["args"])}

    wait_until(lambda: any(state == "FAILURE" and " failed" in result for state, result in states()), "it is red")


def test_it_shows_what_each_slot_runs_and_what_waits(cluster: Cluster, flower: Flower) -> None:
    with running(cluster) as batch:

        def working() -> bool:
            slots = flower.batch(batch)["slots"]
            return len(slots) == 2 and all(isinstance(slot["item"], int) for slot in slots)

        wait_until(working, "both slots say which item they run")
        (worker,) = flower.read("/api/slots")["workers"]
        assert (worker["slots"], worker["queues"]) == (2, ["cpu"])
        assert worker["memory"] > 10_000_000
        (queue,) = [row for row in flower.read("/api/queues")["queues"] if row["name"] == "cpu"]
        assert (queue["consumers"], queue["slots"], queue["busy"]) == (1, 2, 2)
        assert queue["in_work"] >= 2
        assert f'data-worker="{worker["worker"]}"' in flower.ask(f"/worker/{worker['worker']}")[1]
        waiting = [row for row in flower.read("/api/queues")["queues"] if row["waiting"]]
        assert all(0 <= row["oldest_seconds"] < 60 for row in waiting)


def test_a_message_says_when_it_was_sent(cluster: Cluster) -> None:
    client = Probe(cluster).redis
    with running(cluster):
        message = json.loads(client.hvals("manycore-unacked")[0])[0]
    assert sent_at(json.dumps(message).encode()) == pytest.approx(time.time(), abs=60)
    assert [sent_at(text) for text in (None, b"", b"{}", b'{"headers": {"sent": null}}', b"[" * 99_999)] == [None] * 5


def test_a_thousand_batches_are_listed_within_a_second(cluster: Cluster, flower: Flower) -> None:
    client = Probe(cluster).redis
    pipe = client.pipeline(transaction=False)
    told = [
        account.tell(pipe, f"many-{n:04}", 60, {"facts": {"task": "t", "total": 9}, "counts": {"done": n % 10}})
        for n in range(1000)
    ]
    account.execute(pipe, told)
    query = "/api/batches?search=many-&sort=id&order=asc&length=100"
    wait_until(lambda: flower.read(query)["matching"] == 1000, "all are there")
    started = time.monotonic()
    found = flower.read(f"{query}&start=200")
    assert time.monotonic() - started < 1
    assert [row["id"] for row in found["batches"]] == [f"many-{n:04}" for n in range(200, 300)]
    assert flower.read(f"{query}&state=done")["matching"] == found["states"]["done"] == 100
    assert flower.read(f"{query}&sort=done&order=desc")["batches"][0]["done"] == 9
    assert flower.read("/api/batches?search=nowhere")["batches"] == []


def test_a_batch_is_cancelled_and_its_client_notices(cluster: Cluster, flower: Flower) -> None:
    batch = cluster.batch(busy, [0.05] * 2000)
    wait_until(lambda: batch.progress.done, "it runs")
    status, _ = flower.ask(f"/api/batches/{batch.id}/cancel", "POST", OURS)
    assert status == 200
    with pytest.raises(BatchCancelled):
        batch.gather()
    assert flower.batch(batch.id)["state"] == "cancelled"
    assert flower.ask(f"/api/batches/{batch.id}/cancel", "POST", OURS)[0] == 409
    assert flower.ask(f"/api/batches/{batch.id}/cancel?terminate=1", "POST", OURS)[0] == 200, "some may still run"


def test_a_batch_is_terminated_whose_items_run_for_long(cluster: Cluster, flower: Flower) -> None:
    batch = cluster.batch(busy, [60.0] * 2, id="endless")
    wait_until(lambda: flower.ask("/api/batches/endless")[0] == 200, "it is there")
    wait_until(lambda: Probe(cluster).redis.hlen("manycore-unacked"), "its items run")
    assert flower.ask("/api/batches/endless/cancel?terminate=1", "POST", OURS)[0] == 200
    with pytest.raises(BatchCancelled):
        batch.gather()
    assert cluster.submit(square, 3).result(timeout=20) == 9


@pytest.mark.parametrize(
    "headers",
    [{}, OURS | {"Sec-Fetch-Site": "cross-site"}, OURS | {"Origin": "http://elsewhere.example"}],
    ids=["a form", "a script elsewhere", "an old browser"],
)
def test_another_site_cannot_cancel(cluster: Cluster, flower: Flower, headers: dict[str, str]) -> None:
    with running(cluster) as batch:
        assert flower.ask(f"/api/batches/{batch}/cancel", "POST", headers)[0] == 403
        assert flower.batch(batch)["state"] == "running"


def test_it_refuses_to_cancel_when_it_is_read_only(cluster: Cluster, read_only: Flower) -> None:
    with running(cluster) as batch:
        status, text = read_only.ask(f"/api/batches/{batch}/cancel", "POST", OURS)
        assert status == 403
        assert "Read only" in text
        assert 'id="cancel"' not in read_only.ask(f"/batch/{batch}")[1]


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/batches", "GET"),
        ("/batch/x", "GET"),
        ("/api/batches", "GET"),
        ("/api/batches/x", "GET"),
        ("/api/batches/x/cancel", "POST"),
        ("/api/slots", "GET"),
        ("/api/queues", "GET"),
    ],
)
def test_without_the_password_nothing_answers(flower: Flower, path: str, method: str) -> None:
    assert flower.ask(path, method, OURS, known=False)[0] == 401
    wrong = {"Authorization": "Basic " + b64encode(b"admin:admin").decode()}
    assert flower.ask(path, method, OURS | wrong, known=False)[0] == 401


def test_every_page_of_flower_leads_to_the_batches(flower: Flower) -> None:
    for path in ("/workers", "/tasks", "/broker", "/batches", "/batch/x"):
        status, text = flower.ask(path)
        assert status == 200
        assert 'href="/batches"' in text, path


@pytest.mark.parametrize("path", ["/api/batches/never", "/manycore/../access.py", "/manycore/nothing"])
def test_what_is_not_there(flower: Flower, path: str) -> None:
    assert flower.ask(path)[0] in (403, 404)


@pytest.mark.parametrize("query", ["start=-1", "length=x", "start=1e9"])
def test_a_wrong_question_is_answered_so(flower: Flower, query: str) -> None:
    assert flower.ask(f"/api/batches?{query}")[0] == 400


def test_a_batch_id_is_text_on_its_page(flower: Flower) -> None:
    status, text = flower.ask("/batch/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert status == 200
    assert "<script>alert" not in text


def test_flower_killed_in_the_middle_shows_the_same(cluster: Cluster, flower: Flower) -> None:
    with running(cluster) as batch:
        before = flower.batch(batch)
        flower.stop()
        flower.start()
        flower.wait()
        after = flower.batch(batch)
    assert (after["started"], after["task"], after["total"]) == (before["started"], before["task"], before["total"])
    assert after["done"] >= before["done"]


@contextmanager
def running(cluster: Cluster) -> Iterator[str]:
    """A batch that runs meanwhile, and is known."""
    batch = cluster.batch(busy, [0.05] * 2000)
    wait_until(lambda: batch.id in {found.id for found in cluster.batches()}, "it is known")
    yield batch.id
    batch.cancel()
