"""A named batch that two clients gather at the same time: both get all of it."""

from __future__ import annotations

from manycore import Cluster
from ops.chaos.doors.door import Book, Door, Part, attach, beginning, mixed_oracle, place_of
from ops.chaos.items import work
from ops.chaos.order import Order

HERE, ELSEWHERE = "shared", "elsewhere"


def run(cluster: Cluster, order: Order, book: Book) -> None:
    name = order.named(HERE)
    with beginning():
        batch = cluster.batch(work, range(order.items), id=name, kwargs=place_of(order, name))
        other = Cluster()
    with other:
        book.collect(book.page(ELSEWHERE, name), attach(other, name))
        book.collect(book.page(HERE, name), batch)


def parts(order: Order) -> dict[str, Part]:
    return {part: Part(mixed_oracle(order)) for part in (HERE, ELSEWHERE)}


DOOR = Door("attach", run, parts, size=lambda items: max(40, items // 6))
