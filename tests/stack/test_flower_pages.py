"""Our pages in Flower in a real browser, beside a local cluster: live, by button, at every width."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from manycore import Cluster
from manycore.protocol import account
from tests.flower import Flower
from tests.functions import fail_while, leave_while, rest
from tests.probe import Probe
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(120)
WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(workers=4) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def flower(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flower]:
    url = Probe(cluster).address
    assert url is not None
    flower = Flower(url, tmp_path_factory.mktemp("flower"), read_only=False)
    yield flower.wait()
    flower.stop()


def opened(browser: Browser, flower: Flower, width: int = 1280) -> Page:
    known: Any = {"username": "admin", "password": flower.password}
    context = browser.new_context(
        http_credentials=known, base_url=f"http://127.0.0.1:{flower.port}", viewport={"width": width, "height": 800}
    )
    context.set_default_timeout(20_000)
    return context.new_page()


@pytest.fixture
def page(browser: Browser, flower: Flower) -> Iterator[Page]:
    page = opened(browser, flower)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    page.context.close()
    assert not wrong


def test_what_items_write_shows_as_text_while_they_do(cluster: Cluster, page: Page, tmp_path: Path) -> None:
    def speak(number: int) -> None:
        print("<b>begun</b> \x1b[31m\u202e", number)
        wait_until((tmp_path / "go").exists, "it may end")
        print("ended")

    batch = cluster.batch(speak, [1], id="speaking")
    page.goto("/batch/speaking")
    expect(page.locator("#log .log-text").first).to_have_text("<b>begun</b> \\u001b[31m\\u202e 1")
    expect(page.locator("#log b")).to_have_count(0)
    (tmp_path / "go").touch()
    expect(page.locator("#log .log-text").last).to_have_text("ended")
    batch.gather()


def test_a_failing_batch_is_red_and_runs_again_by_button(cluster: Cluster, page: Page, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    cluster.batch(fail_while, range(60), id="failing", kwargs={"flag": str(flag), "each": 6}).wait()
    flag.unlink()
    page.goto("/batches")
    row = page.locator('tr[data-batch="failing"]')
    expect(row.locator(".state-column .batch-state-bad")).to_have_text("done")
    expect(row.locator(".batch-failed")).to_have_text("10")
    page.goto("/batch/failing")
    page.locator("#errors summary").click()
    expect(page.locator("#errors pre")).to_contain_text("in fail_while")
    page.get_by_role("button", name="Rerun failed").click()
    page.wait_for_url(re.compile("failing%3Aretry-"))
    expect(page.locator("#done")).to_have_text("10 / 10")


def test_quarantined_items_stand_on_their_batchs_page(cluster: Cluster, page: Page, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    cluster.batch(leave_while, range(9), id="deadly", kwargs={"flag": str(flag), "at": 4}).wait()
    page.goto("/batch/deadly")
    expect(page.locator("#quarantined")).to_contain_text(re.compile(r"item 4: .*SIGKILL.*, 3 times"))
    expect(page.locator("#facts")).to_contain_text(f"leave_while(0, flag='{flag}', at=4)")
    page.goto("/batch/speaking")
    expect(page.locator("#live-status")).to_have_text("Live")
    expect(page.locator("#quarantined")).to_be_hidden()


def test_names_arguments_and_errors_are_text(cluster: Cluster, page: Page) -> None:
    """Whatever stands there, as in rq-dashboard#526 and sidekiq#1297: nothing of it becomes a part of the page."""
    bad = "<img id=owned src=x onerror=\"document.title='owned'\">"
    facts = {"task": bad, "client": bad, "fleet": bad, "call": bad, "total": 10}
    pipe = Probe(cluster).redis.pipeline(transaction=False)
    told = account.tell(pipe, "odd", 600, {"set": facts, "counts": {"done": 5, "failed": 2}, "errors": {bad: [2, bad]}})
    account.execute(pipe, [told])
    for path in ("/batches", "/batch/odd"):
        page.goto(path)
        expect(page.get_by_text(bad).first).to_be_visible()
        expect(page.locator("#owned")).to_have_count(0)
    page.locator("#errors summary").click()
    expect(page.locator("#errors pre")).to_have_text(bad)
    assert "owned" not in page.title()


def test_an_answer_that_is_a_page_is_not_shown_as_a_message(page: Page) -> None:
    page.route("**/api/batches/nowhere", lambda route: route.fulfill(status=502, content_type="text/html", body="<p>"))
    page.goto("/batch/nowhere")
    expect(page.locator("#live-status")).to_have_text(re.compile("502"))
    page.unroute("**/api/batches/nowhere")
    expect(page.locator("#live-status")).to_have_text("Nothing is known of a batch nowhere")


def test_a_list_of_many_is_sorted_searched_and_paged(cluster: Cluster, page: Page) -> None:
    pipe = Probe(cluster).redis.pipeline(transaction=False)
    told = [
        account.tell(pipe, f"many-{n:03}", 600, {"facts": {"task": "t", "total": 200}, "counts": {"done": n}})
        for n in range(120)
    ]
    account.execute(pipe, told)
    page.goto("/batches")
    page.get_by_label("Search batches").fill("many-")
    expect(page.locator("#info")).to_contain_text("50 of 120")
    page.locator('th[data-sort="done"]').click()
    first = page.locator("#batches tbody tr").first
    expect(first).to_contain_text("many-119")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#info")).to_contain_text("100 of 120")
    expect(first).to_contain_text("many-069")


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("path", ["/batches", "/batch/fits", "/quarantine", "/broker"])
def test_pages_fit(cluster: Cluster, browser: Browser, flower: Flower, path: str, width: int) -> None:
    cluster.batch(rest, [0.0], id="fits").wait()
    page = opened(browser, flower, width)
    page.goto(path)
    expect(page.locator("#live-status")).to_have_text("Live")
    page.wait_for_function("document.querySelector('main').innerText.length > 40")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()
