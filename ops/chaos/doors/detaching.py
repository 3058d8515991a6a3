"""A batch that its client hands over, and then ends; another process gathers it, and deletes it."""

from __future__ import annotations

from manycore import Cluster
from manycore.errors import UnknownBatch
from ops.chaos.doors.door import Book, Door, Part, attach, beginning, is_gone, mixed_oracle, place_of
from ops.chaos.items import work
from ops.chaos.order import RUN_AGAIN, Order

HANDED = "handed"
SENT_SECONDS = 60.0


def run(cluster: Cluster, order: Order, book: Book) -> None:
    name = order.named(HANDED)
    if not order.handed_over.exists():
        hand_over(cluster, order, name)
    if order.answers.exists():  # killed after it had written them
        book.pages = Book.read(order).pages
    else:
        book.collect(book.page(HANDED, name), attach(cluster, name))
        book.write()
    delete(cluster, name, book)


def hand_over(cluster: Cluster, order: Order, name: str) -> None:
    with beginning():
        batch = cluster.batch(work, range(order.items), id=name, kwargs=place_of(order, name), priority="low")
        batch.detach(SENT_SECONDS)
    order.handed_over.touch()
    raise SystemExit(RUN_AGAIN)


def delete(cluster: Cluster, name: str, book: Book) -> None:
    """Delete a batch that is done, and see that it is gone."""
    try:
        attach(cluster, name).delete()
    except UnknownBatch:  # likewise
        return
    if not is_gone(name):
        book.complaints.append(f"{name} is still there after it was deleted")


def parts(order: Order) -> dict[str, Part]:
    return {HANDED: Part(mixed_oracle(order))}


DOOR = Door("detach", run, parts, size=lambda items: max(40, items // 6))
