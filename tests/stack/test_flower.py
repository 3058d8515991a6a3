"""Flower in a real browser: behind its password, with the queues and the tasks of a batch while it runs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from manycore import Cluster
from manycore.errors import BatchCancelled
from ops.flower import extension
from tests.stack.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

NOTE = "tasks.mine.note"


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    """A page of somebody who knows the password."""
    credentials: Any = {"username": "admin", "password": stack.flower_password}
    context = browser.new_context(
        http_credentials=credentials, base_url=stack.flower, viewport={"width": 1280, "height": 620}
    )
    yield context.new_page()
    context.close()


def queue_lengths(page: Page) -> dict[str, int]:
    """The rows of the Broker page."""
    page.goto("/broker")
    page.locator("#queue-table tbody tr").first.wait_for()
    rows = [row.locator("td").all_inner_texts() for row in page.locator("table tbody tr").all()]
    return {name: int(length) for name, length, *_ in rows}


def test_a_queue_fills_and_drains_on_the_broker_page(connected: Cluster, page: Page) -> None:
    wait_until(lambda: queue_lengths(page) == {"cpu": 0, "io": 0}, "the page shows the queues, which are empty")
    batch = connected.batch(NOTE, range(400), id="flower", kwargs={"batch": "flower", "seconds": 0.02})
    wait_until(lambda: queue_lengths(page)["cpu"] > 0, "the queue fills")
    wait_until(lambda: batch.progress.done > 150, "some chunks are done")
    page.goto("/tasks")
    page.get_by_text("batch flower").first.wait_for()
    batch.gather()
    wait_until(lambda: queue_lengths(page) == {"cpu": 0, "io": 0}, "the queue drains")


def test_tasks_show_under_their_names_with_readable_arguments_and_results(connected: Cluster, page: Page) -> None:
    connected.batch(NOTE, range(300), id="readable", kwargs={"batch": "readable", "seconds": 0.0}).gather()

    def shown() -> bool:
        page.goto("/tasks")
        page.locator("#tasks-table tbody tr td").first.wait_for()
        text = page.locator("#tasks-table tbody").inner_text()
        return "of 300, batch readable" in text and NOTE in text and " ok\t" in text and "SUCCESS" in text

    wait_until(shown, "the tasks page shows the batch")


def test_workers_show_online(page: Page, stack: Stack) -> None:
    names = {f"{fleet}@{c['Config']['Hostname']}" for fleet in ("cpu", "io") for c in stack.containers(fleet)}

    def online() -> bool:
        page.goto("/workers")
        rows = page.locator("#workers-table tbody tr")
        rows.locator("td").nth(1).wait_for()
        return all(rows.filter(has_text=name).and_(page.locator(":not(.worker-offline)")).count() for name in names)

    wait_until(online, f"{names} are online")


def test_nothing_is_shown_without_the_password(stack: Stack) -> None:
    from flower.urls import handlers

    ours = extension.paths(None, None, None)  # type: ignore[arg-type]
    for path in [*map(path_of, [*ours, *handlers]), "/nothing"]:
        for authorization in ("", "Basic " + base64.b64encode(b"admin:admin").decode()):
            status, body = ask(stack, path, authorization)
            assert status in (401, 404, 405), f"{path} answers {status}"
            assert b"cpu@" not in body, path


def test_it_is_read_only(stack: Stack) -> None:
    token = "Basic " + base64.b64encode(f"admin:{stack.flower_password}".encode()).decode()
    worker = f"cpu@{stack.containers('cpu')[0]['Config']['Hostname']}"
    ours = ("/api/batches/x/cancel", "/api/batches/x/rerun", "/api/quarantine/x/purge")
    theirs = (f"/api/worker/shutdown/{worker}", "/api/task/async-apply/tasks.mine.wait", "/api/task/revoke/x")
    for path in (*ours, *theirs):
        assert ask(stack, path, token, method="POST")[0] == 403, path


def test_its_own_user_on_the_server_may_do_what_the_buttons_do(connected: Cluster, stack: Stack) -> None:
    stack.compose("up", "-d", "--wait", "--no-deps", "flower", MANYCORE_FLOWER_READ_ONLY="0")
    try:
        token = "Basic " + base64.b64encode(f"admin:{stack.flower_password}".encode()).decode()
        batch = connected.batch(NOTE, range(20_000), id="unwanted", kwargs={"batch": "unwanted", "seconds": 0.05})
        wait_until(lambda: batch.progress.done, "it runs")
        wait_until(lambda: ask(stack, "/api/batches/unwanted", token)[0] == 200, "Flower knows it")
        found = json.loads(ask(stack, "/api/batches?search=unwanted", token)[1])["batches"][0]
        assert (found["task"], found["total"], found["fleet"]) == (NOTE, 20_000, "cpu")
        for path in ("/api/slots", "/api/queues", "/api/quarantine"):
            assert ask(stack, path, token)[0] == 200, path
        assert ask(stack, "/api/batches/unwanted/cancel", token, method="POST")[0] == 200
        with pytest.raises(BatchCancelled):
            batch.gather()
        assert json.loads(ask(stack, "/api/batches/unwanted", token)[1])["state"] == "cancelled"
    finally:
        stack.compose("up", "-d", "--wait", "--no-deps", "flower")


def test_what_it_knows_survives_a_restart(connected: Cluster, page: Page, stack: Stack) -> None:
    connected.batch(NOTE, [1], id="kept", kwargs={"batch": "kept", "seconds": 0.0}).gather()

    def shown() -> bool:
        page.goto("/tasks?limit=100")
        page.locator("#tasks-table tbody tr td").first.wait_for()
        return "batch kept" in page.locator("#tasks-table tbody").inner_text()

    wait_until(shown, "the batch shows")
    stack.compose("restart", "flower")
    stack.up()
    wait_until(shown, "the batch still shows")


def path_of(handler: Any) -> str:
    """An example of the path that a Tornado handler's pattern takes."""
    pattern = handler[0] if isinstance(handler, tuple) else handler.regex.pattern
    if pattern.startswith(("/static", "/manycore")):
        return f"{pattern[:7]}/nothing"  # scripts and style sheets are public: nobody's data is in them
    for part, example in {
        "/?": "",
        "(.+)": "x",
        "(.*)": "x",
        "([^/]+)": "x",
        "(retry|purge)": "retry",
        ".*": "/x",
    }.items():
        pattern = pattern.replace(part, example)
    return str(pattern).rstrip("$")


def ask(stack: Stack, path: str, authorization: str, *, method: str = "GET") -> tuple[int, bytes]:
    connection = HTTPConnection(stack.flower.removeprefix("http://"), timeout=20)
    headers = {"X-Requested-With": "XMLHttpRequest"} | ({"Authorization": authorization} if authorization else {})
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    try:
        return response.status, response.read()
    finally:
        connection.close()
