"""A batch without a name, over an input in memory and over one that is pulled."""

from __future__ import annotations

from manycore import Cluster
from ops.chaos.doors.door import Book, Door, Part, beginning, mixed_oracle, place_of
from ops.chaos.items import work
from ops.chaos.order import Order

MEMORY, LAZY = "memory", "lazy"


def run(cluster: Cluster, order: Order, book: Book) -> None:
    pages = {part: book.page(part, order.unnamed(part)) for part in (MEMORY, LAZY)}
    inputs = {MEMORY: list(range(order.items)), LAZY: iter(range(order.items))}
    with beginning():
        batches = {
            part: cluster.batch(work, inputs[part], kwargs=place_of(order, page.batch)) for part, page in pages.items()
        }
    for part, batch in batches.items():
        book.collect(pages[part], batch)


def parts(order: Order) -> dict[str, Part]:
    return {part: Part(mixed_oracle(order)) for part in (MEMORY, LAZY)}


DOOR = Door("batch", run, parts, size=lambda items: max(40, items // 5))
