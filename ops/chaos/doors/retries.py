"""Items that fail a few times and then succeed, and some that never do: within their retries, and with attempts told.

An execution whose failure was lost with its process still counts for the item, so it may succeed earlier.
"""

from __future__ import annotations

from typing import Any

from manycore import Cluster
from manycore.client.outcome import Outcome
from ops.chaos.doors.door import CRASHED, Book, Door, Part, as_text, beginning, place_of
from ops.chaos.items import answer, flaky
from ops.chaos.order import Order

TRIED = "tried"
RETRIES = 3
BACKOFF_SECONDS = 0.05
FOREVER = -1


def failures_of(index: int) -> int:
    """How often an item fails: seldom; up to as often as it is retried; or always."""
    return FOREVER if index % 20 == 7 else (index // 5) % (RETRIES + 1) if index % 5 == 0 else 0


def run(cluster: Cluster, order: Order, book: Book) -> None:
    name = order.named(TRIED)
    page = book.page(TRIED, name)
    items = [(index, failures_of(index)) for index in range(order.items)]
    with beginning():
        batch = cluster.batch(
            tried, items, id=name, star=True, kwargs=place_of(order, name), retries=RETRIES, backoff=BACKOFF_SECONDS
        )
    texts: dict[int, str] = {}
    for outcome in batch.as_completed():
        texts[outcome.index] = text_of(outcome)
        book.came(page, outcome.index, texts[outcome.index])
    for index, result in enumerate(batch.gather(return_exceptions=True)):
        told, _, attempts = texts[index].partition(" after ")
        page.listed.append(f"{as_text(result)} after {attempts}" if attempts and as_text(result) == told else told)


def tried(index: int, failures: int, **where: Any) -> int:
    return flaky(index, failures=failures, **where)


def text_of(outcome: Outcome) -> str:
    """What came and after how many attempts; of one that crashed the number says nothing."""
    text = as_text(outcome.error if outcome.error else outcome.value)
    return text if text == CRASHED else f"{text} after {outcome.attempts}"


def parts(order: Order) -> dict[str, Part]:
    oracle = {}
    for index in range(order.items):
        failures = failures_of(index)
        if failures == FOREVER:
            oracle[index] = frozenset([f"Flaw after {RETRIES + 1}"])
        else:
            value = answer(order.seed, index)
            oracle[index] = frozenset(f"{value} after {attempts}" for attempts in range(1, failures + 2))
    return {TRIED: Part(oracle)}


DOOR = Door("retries", run, parts, size=lambda items: max(40, items // 10))
