"""Flower in a real browser: the queues and the tasks of a batch while it runs."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from manycore import Cluster
from tests.stack.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

NOTE = "tasks.mine.note"


def queue_lengths(page: Page) -> dict[str, int]:
    """The rows of the Broker page."""
    page.goto("/broker")
    page.locator("#queue-table tbody tr").first.wait_for()
    rows = [row.locator("td").all_inner_texts() for row in page.locator("table tbody tr").all()]
    return {name: int(length) for name, length, *_ in rows}


def test_a_queue_fills_and_drains_on_the_broker_page(connected: Cluster, page: Page) -> None:
    wait_until(lambda: queue_lengths(page) == {"cpu": 0, "io": 0}, "the page shows the queues, which are empty")
    batch = connected.batch(NOTE, range(400), id="flower", kwargs={"batch": "flower", "seconds": 0.02})
    second = connected.batch(NOTE, range(400), kwargs={"batch": "behind", "seconds": 0.02})
    wait_until(lambda: queue_lengths(page)["cpu"] > 0, "the queue fills")
    wait_until(lambda: batch.progress.done > 150, "some chunks are done")
    page.goto("/tasks")
    page.get_by_text("flower.").first.wait_for()
    batch.gather()
    second.gather()
    wait_until(lambda: queue_lengths(page) == {"cpu": 0, "io": 0}, "the queue drains")


def test_tasks_show_under_their_names_with_readable_arguments_and_results(connected: Cluster, page: Page) -> None:
    connected.batch(NOTE, range(300), id="readable", kwargs={"batch": "readable", "seconds": 0.0}).gather()

    def shown() -> bool:
        page.goto("/tasks")
        page.locator("#tasks-table tbody tr td").first.wait_for()
        text = page.locator("#tasks-table tbody").inner_text()
        return "of 300" in text and "readable." in text and NOTE in text and " ok\t" in text and "SUCCESS" in text

    wait_until(shown, "the tasks page shows the batch")


def test_workers_show_online(page: Page, stack: Stack) -> None:
    names = {f"{fleet}@{c['Config']['Hostname']}" for fleet in ("cpu", "io") for c in stack.containers(fleet)}

    def online() -> bool:
        page.goto("/workers")
        rows = page.locator("#workers-table tbody tr")
        rows.locator("td").nth(1).wait_for()
        return all(rows.filter(has_text=name).and_(page.locator(":not(.worker-offline)")).count() for name in names)

    wait_until(online, f"{names} are online")


def test_what_it_knows_survives_a_restart(connected: Cluster, page: Page, stack: Stack) -> None:
    connected.batch(NOTE, [1], id="kept", kwargs={"batch": "kept", "seconds": 0.0}).gather()

    def shown() -> bool:
        page.goto("/tasks?limit=100")
        page.locator("#tasks-table tbody tr td").first.wait_for()
        return "kept." in page.locator("#tasks-table tbody").inner_text()

    wait_until(shown, "the batch shows")
    stack.compose("restart", "flower")
    stack.up()
    wait_until(shown, "the batch still shows")
