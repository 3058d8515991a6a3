"""The io fleet: a registered task whose items run side by side in the threads of one process."""

from __future__ import annotations

from manycore import Cluster
from ops.chaos.doors.door import Book, Door, Part, beginning, mixed_oracle, place_of
from ops.chaos.order import Order
from ops.chaos.tasks import wait

WAITS = "waits"


def run(cluster: Cluster, order: Order, book: Book) -> None:
    name = order.named(WAITS)
    with beginning():
        batch = cluster.batch(wait, range(order.items), id=name, kwargs=place_of(order, name))
    book.collect(book.page(WAITS, name), batch)


def parts(order: Order) -> dict[str, Part]:
    return {WAITS: Part(mixed_oracle(order))}


DOOR = Door("io", run, parts, size=lambda items: max(60, items // 5))
