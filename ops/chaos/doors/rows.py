"""`submit`, one call after the other: each is handed to the slot that has ended the one before, if that is there."""

from __future__ import annotations

from manycore import Cluster
from ops.chaos.doors.door import Book, Door, Part, mixed_oracle, place_of
from ops.chaos.doors.futures import text_of
from ops.chaos.items import work
from ops.chaos.order import Order

ROW = "row"


def run(cluster: Cluster, order: Order, book: Book) -> None:
    page = book.page(ROW, order.unnamed(ROW))
    where = place_of(order, page.batch)
    for index in range(order.items):
        book.came(page, index, text_of(cluster.submit(work, index, **where)))


def parts(order: Order) -> dict[str, Part]:
    return {ROW: Part(mixed_oracle(order), listed=False)}


DOOR = Door("row", run, parts, size=lambda items: max(40, items // 3))
