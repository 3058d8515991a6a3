"""`submit`: calls one by one, of which a third each is gathered by `as_completed`, by `await`, and by `result`.

Every other is of a function of its own. Every tenth is cancelled at once, which works for one that has not left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, as_completed
from typing import Any

from manycore import Cluster
from ops.chaos.doors.door import Book, Door, Page, Part, as_text, mixed_oracle, place_of
from ops.chaos.items import work
from ops.chaos.order import Order

CALLS = "calls"
CANCELLED_EVERY = 10
GONE = "CancelledError"


def run(cluster: Cluster, order: Order, book: Book) -> None:
    page = book.page(CALLS, order.unnamed(CALLS))
    where = place_of(order, page.batch)
    functions = [work if index % 2 else _one_more(index) for index in range(order.items)]
    futures: dict[Any, int] = {cluster.submit(run, index, **where): index for index, run in enumerate(functions)}
    for future, index in futures.items():
        if index % CANCELLED_EVERY == 0:
            future.cancel()
    thirds: list[dict[Any, int]] = [
        {future: index for future, index in futures.items() if index % 3 == third} for third in range(3)
    ]
    for future in as_completed(thirds[0]):
        book.came(page, futures[future], text_of(future))
    asyncio.run(_await(thirds[1], page, book))
    for future, index in thirds[2].items():
        book.came(page, index, text_of(future))


def _one_more(index: int) -> Callable[..., int]:
    """The same as a function that there is once: its call brings it along."""
    return lambda given, **where: work(given, **where) if given == index else -1


async def _await(futures: Mapping[Any, int], page: Page, book: Book) -> None:
    async def one(future: Any, index: int) -> None:
        try:
            text = as_text(await future)
        except asyncio.CancelledError:
            text = GONE
        except BaseException as exc:  # SystemExit is an item's outcome here
            text = as_text(exc)
        book.came(page, index, text)

    await asyncio.gather(*(one(future, index) for future, index in futures.items()))


def text_of(future: Future[Any]) -> str:
    try:
        return as_text(future.result())
    except CancelledError as exc:
        return as_text(exc)
    except BaseException as exc:  # likewise
        return as_text(exc)


def parts(order: Order) -> dict[str, Part]:
    oracle = mixed_oracle(order)
    for index in range(0, order.items, CANCELLED_EVERY):
        oracle[index] |= {GONE}
    return {CALLS: Part(oracle, listed=False)}


DOOR = Door("submit", run, parts, size=lambda items: max(40, items // 3))
