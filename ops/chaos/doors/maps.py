"""`map` over an input in memory, over one that is pulled, and one that is closed before its end."""

from __future__ import annotations

from functools import partial
from itertools import islice

from manycore import Cluster
from ops.chaos.doors.door import Book, Door, Part, place_of
from ops.chaos.items import answer, steady
from ops.chaos.order import Order

MEMORY, LAZY, CLOSED = "memory", "lazy", "closed"
AHEAD = 50
CLOSED_AFTER = 10
ENDLESS = 1_000_000


def run(cluster: Cluster, order: Order, book: Book) -> None:
    pages = {part: book.page(part, order.unnamed(part)) for part in (MEMORY, LAZY, CLOSED)}
    calls = {part: partial(steady, **place_of(order, page.batch)) for part, page in pages.items()}
    memory = cluster.map(calls[MEMORY], range(order.items))
    lazy = cluster.map(calls[LAZY], (index for index in range(order.items)), buffersize=AHEAD)
    closed = cluster.map(calls[CLOSED], (index for index in range(ENDLESS)))
    book.iterate(pages[CLOSED], islice(closed, CLOSED_AFTER))
    closed.close()
    book.iterate(pages[LAZY], lazy)
    book.iterate(pages[MEMORY], memory)


def parts(order: Order) -> dict[str, Part]:
    counts = {MEMORY: order.items, LAZY: order.items, CLOSED: CLOSED_AFTER}
    return {
        part: Part({index: frozenset([str(answer(order.seed, index))]) for index in range(count)}, listed=False)
        for part, count in counts.items()
    }


DOOR = Door("map", run, parts, size=lambda items: max(40, items // 6))
