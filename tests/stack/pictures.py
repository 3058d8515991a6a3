"""`python -m tests.stack.pictures FOLDER [NAME...]`: pictures of our pages in Flower, while there is work.

Each page (see `NAMES`) at the width of a desk and of a phone, light
and dark: `batch-phone-dark.png`. Needs Chromium.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

from manycore import Cluster
from manycore.protocol.activity import activities
from tests.flower import Flower
from tests.probe import Probe
from tests.stack.conftest import FLAGS
from tests.waiting import wait_until

WIDTHS = {"desk": 1280, "phone": 390}
THEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
SPEAKING, FAILING, DEADLY = "captions:2026-11-26", "thumbnails:2026-11-26", "scans:2026-11-26"


def begin(cluster: Cluster, photos: Any) -> None:
    """Batches of many kinds: ended, at work, failing, deadly, speaking."""
    cluster.batch(abs, range(120_000), id="distances:2026-11-25").wait()
    cluster.batch(photos.scan, range(12), id=DEADLY).wait()
    cluster.batch(abs, range(10_000)).wait()
    cluster.batch(
        photos.thumbnail, range(5_000), kwargs={"size": (9, 9), "quality": 1}, id="thumbnails:2026-11-25"
    ).cancel()
    cluster.batch(photos.caption, range(2_000), id=SPEAKING)
    cluster.batch(photos.thumbnail, range(60_000), kwargs={"size": (320, 240), "quality": 80}, id=FAILING)


def looked_at(page: Page, name: str, worker: str) -> None:
    """Open a page, and wait until it shows what there is."""
    if name in ("batch", "log"):
        page.goto(f"/batch/{(SPEAKING if name == 'log' else FAILING).replace(':', '%3A')}")
        page.locator("#slots .slot").first.wait_for()
    elif name == "worker":
        page.goto(f"/worker/{worker}")
        page.locator("#slots tbody tr").first.wait_for()
    elif name == "tasks":
        page.goto("/tasks")
        page.locator("#tasks-table tbody tr td").nth(1).wait_for()
    else:
        page.goto(f"/{name}")
        page.locator("tbody tr").first.wait_for()
    if name in ("batches", "batch", "log", "quarantine", "broker"):
        expect(page.locator("#live-status")).to_have_text("Live")
    if name == "batch":
        page.locator("#errors summary").first.click()
    if name == "quarantine":
        page.get_by_role("button", name="Show").first.click()
        page.locator(".quarantine-facts").wait_for()
    if name == "log":
        page.locator("#log .log-line").nth(20).wait_for()
        page.locator(".batch-log").scroll_into_view_if_needed()


NAMES = ("batches", "batch", "log", "quarantine", "broker", "worker", "tasks")


def take(browser: Browser, flower: Flower, folder: Path, names: tuple[str, ...], worker: str) -> Iterator[Path]:
    known: Any = {"username": "admin", "password": flower.password}
    address = f"http://127.0.0.1:{flower.port}"
    for width in WIDTHS:
        for theme in THEMES:
            size: Any = {"width": WIDTHS[width], "height": 844 if width == "phone" else 900}
            context = browser.new_context(http_credentials=known, base_url=address, viewport=size, color_scheme=theme)
            context.set_default_timeout(20_000)
            page = context.new_page()
            for name in names:
                looked_at(page, name, worker)
                if name != "log":
                    page.evaluate("scrollTo(0, 0)")
                path = folder / f"{name}-{width}-{theme}.png"
                page.screenshot(path=path, full_page=name != "log")
                yield path
            context.close()


@contextmanager
def at_work() -> Iterator[tuple[Flower, str]]:
    """Flower beside a cluster at work, and the name of its worker."""
    with TemporaryDirectory(prefix="pictures-") as folder, Cluster(workers=8) as cluster:
        probe = Probe(cluster)
        assert probe.address is not None
        shutil.copy(Path(__file__).with_name("photos.py"), folder)
        sys.path.insert(0, folder)
        begin(cluster, import_module("photos"))
        flower = Flower(probe.address, Path(folder), read_only=False)
        try:
            flower.wait()
            wait_until(lambda: flower.batch(FAILING)["done"] > 3_000, "it is well under way", seconds=90)
            yield flower, activities(probe.redis)[0].worker
        finally:
            flower.stop()
            cluster.shutdown(cancel_futures=True)


def main(folder: str, *names: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    with at_work() as (flower, worker), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for path in take(browser, flower, Path(folder), names or NAMES, worker):
            print(path)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
