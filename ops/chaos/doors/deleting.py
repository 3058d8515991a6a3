"""A batch that is deleted while it runs: its client comes to its end, and nothing of it stays."""

from __future__ import annotations

from manycore import Cluster
from ops.chaos.doors.cancelling import CANCELLED_AFTER, ITEM_SECONDS, parts_of
from ops.chaos.doors.door import Book, Door, as_text, beginning, is_gone, place_of
from ops.chaos.items import steady
from ops.chaos.order import Order

DELETED = "deleted"


def run(cluster: Cluster, order: Order, book: Book) -> None:
    name = order.named(DELETED)
    page = book.page(DELETED, name)
    kwargs = place_of(order, name) | {"seconds": ITEM_SECONDS}
    with beginning():
        batch = cluster.batch(steady, range(order.items), id=name, kwargs=kwargs)
    for count, outcome in enumerate(batch.as_completed(), start=1):
        book.came(page, outcome.index, as_text(outcome.error if outcome.error else outcome.value))
        if count == CANCELLED_AFTER:
            with beginning():
                batch.delete()
    page.listed = [as_text(result) for result in batch.gather(return_exceptions=True)]
    if not is_gone(name):
        book.complaints.append(f"{name} is still there after it was deleted")


DOOR = Door("delete", run, lambda order: parts_of(order, DELETED), size=lambda items: 60)
