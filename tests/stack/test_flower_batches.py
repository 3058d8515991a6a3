"""The life of a batch on the stack's own pages, in a real browser: watched, cancelled, failing, and Flower killed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from manycore import Cluster
from manycore.errors import BatchCancelled
from manycore.protocol import account
from tests.probe import Probe
from tests.stack.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

WAIT = "tasks.mine.wait"
RED = ("rgb(180, 35, 24)", "rgb(220, 53, 69)")
"""Of our badges, and of Flower's own."""


@pytest.fixture
def buttons(stack: Stack) -> Iterator[None]:
    """Flower with buttons meanwhile."""
    stack.compose("up", "-d", "--wait", "--no-deps", "flower", MANYCORE_FLOWER_READ_ONLY="0")
    yield
    stack.compose("up", "-d", "--wait", "--no-deps", "flower")


def seconds_of(text: str) -> float:
    """How long a page says: `1 min 5 s`, `4.2 s`, `310 ms`."""
    units = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 0.001, "µs": 1e-6}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+) (h|min|s|ms|µs)\b", text))


def test_a_batch_of_ten_thousand_is_watched_from_start_to_end(connected: Cluster, page: Page) -> None:
    """Without a reload; from half-way on, what the page says is left is right within a fifth, or within what a
    page may be late that looks every second, and says whole ones. Where the machine was slower until then, or is from
    then on, right is what lies between what its pace so far would give and what comes."""
    began = time.monotonic()
    batch = connected.batch(WAIT, [0.04] * 10_000, id="watched", fleet="io")
    page.goto("/batches")
    page.get_by_role("link", name="watched").click()
    expect(page.locator("#state")).to_have_text("running")
    expect(page.locator("#facts")).to_contain_text(f"{WAIT}(0.04)")
    told: list[tuple[float, float, float]] = []
    while not batch.wait(0.5):
        done = int(page.locator("#done").inner_text().partition(" /")[0].replace(",", ""))
        if done >= 5_000 and re.search(r"\d", left := page.locator("#eta").inner_text()):
            now = time.monotonic()
            told.append((now, seconds_of(left), (now - began) * (10_000 - done) / done))
    end = time.monotonic()
    expect(page.locator("#state")).to_have_text("done")
    expect(page.locator("#done")).to_have_text("10,000 / 10,000")
    assert len(told) > 3
    for when, promised, at_this_pace in told:
        least, most = sorted([end - when, at_this_pace])
        assert min(0.8 * least, least - 1.5) <= promised <= max(1.2 * most, most + 1.5), told


def test_a_batch_is_cancelled_by_button(connected: Cluster, page: Page, buttons: None) -> None:
    batch = connected.batch(WAIT, [0.05] * 50_000, id="by-button", fleet="io")
    wait_until(lambda: batch.progress.done, "it runs")
    page.goto("/batch/by-button")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#state")).to_have_text("cancelled")
    with pytest.raises(BatchCancelled):
        batch.gather()
    expect(page.get_by_role("button", name="Terminate")).to_be_disabled()


def test_read_only_it_has_no_buttons(connected: Cluster, page: Page) -> None:
    connected.batch(abs, [1], id="read-only").wait()
    page.goto("/batch/read-only")
    expect(page.locator("#state")).to_have_text("done")
    for name in ("Cancel", "Terminate", "Rerun failed"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.goto("/quarantine")
    expect(page.locator("#live-status")).to_have_text("Live")
    for name in ("Retry", "Purge"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)


def test_a_list_of_a_thousand_is_there_within_a_second(connected: Cluster, page: Page) -> None:
    pipe = Probe(connected).redis.pipeline(transaction=False)
    facts = {"task": "t", "total": 200}
    told = [account.tell(pipe, f"many-{n:04}", 600, {"facts": facts, "counts": {"done": 7}}) for n in range(1_000)]
    account.execute(pipe, told)
    page.goto("/batches")
    page.get_by_label("Search batches").fill("many-")
    expect(page.locator("#info")).to_contain_text("50 of 1,000")

    def seconds_to_rows() -> float:
        started = time.monotonic()
        page.goto("/batches")
        page.locator("#batches tbody tr[data-batch]").nth(49).wait_for()
        return time.monotonic() - started

    assert min(seconds_to_rows() for _ in range(3)) < 1


def test_flower_killed_in_the_middle_shows_the_same(connected: Cluster, page: Page, stack: Stack) -> None:
    batch = connected.batch(WAIT, [0.05] * 20_000, id="outlives", fleet="io")
    wait_until(lambda: batch.progress.done > 500, "it is under way")
    page.goto("/batch/outlives")
    expect(page.locator("#live-status")).to_have_text("Live")
    done, started = page.locator("#done"), page.locator("#facts tr", has_text="Started")
    before, since = int(done.inner_text().partition(" /")[0].replace(",", "")), started.inner_text()
    assert before > 0
    stack.compose("kill", "flower")
    expect(page.locator("#live-status")).not_to_have_text("Live")
    stack.up()
    expect(page.locator("#live-status")).to_have_text("Live", timeout=20_000)  # it was never reloaded
    expect(page.locator("#state")).to_have_text("running")
    assert started.inner_text() == since
    now, total = (int(part.replace(",", "")) for part in done.inner_text().split(" / "))
    assert (now > before, total) == (True, 20_000)
    batch.cancel()


def test_a_failing_batch_is_red_everywhere(connected: Cluster, page: Page, stack: Stack) -> None:
    """In the list, on its page, on Flower's pages of tasks, and on the page of the worker that runs it. It has so many
    items that each slot gets several chunks, of which one ends soon."""
    batch = connected.batch("tasks.mine.fail_on_even", range(6_000), id="failing", kwargs={"seconds": 0.01})
    wait_until(lambda: batch.progress.failed > 500, "items have failed")
    page.goto("/batches")
    row = page.locator('tr[data-batch="failing"]')
    expect_red(row.locator(".state-column .batch-state"))
    assert colour(row.locator(".batch-failed"), "color") in RED
    page.goto("/batch/failing")
    expect_red(page.locator("#state .batch-state"))
    expect(page.locator("#errors summary")).to_contain_text("ValueError")
    assert page.locator(".batch-progress-bad").bounding_box()["width"] >= 3  # type: ignore[index]
    page.goto(f"/worker/cpu@{stack.containers('cpu')[0]['Config']['Hostname']}")
    expect_red(page.locator("#slots tbody .batch-state-bad").first)

    chunks = page.locator("#tasks-table tbody tr", has_text="failing.")

    def failed_chunk() -> bool:
        page.goto("/tasks?limit=100")
        page.locator("#tasks-table tbody tr td").first.wait_for()
        return chunks.filter(has_text="FAILURE").count() > 0

    wait_until(failed_chunk, "a chunk of it is shown as a failure")
    task = chunks.filter(has_text="FAILURE").first
    expect_red(task.get_by_text("FAILURE", exact=True))
    assert re.search(r"\d+ failed", task.inner_text())
    task.get_by_role("link", name="failing.").click()
    expect_red(page.locator("#task-page .badge", has_text="FAILURE"))
    batch.cancel()


def expect_red(badge: Locator) -> None:
    expect(badge).to_be_visible()
    assert colour(badge, "background-color") in RED


def colour(place: Locator, of: str) -> str:
    found: str = place.evaluate("(element, name) => getComputedStyle(element).getPropertyValue(name)", of)
    return found
