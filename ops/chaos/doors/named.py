"""A named batch of mixed items, which goes on with what is there when its client is run again; and one that hangs."""

from __future__ import annotations

from manycore import Cluster
from ops.chaos.doors.door import CRASHED, TIMED_OUT, Book, Door, Part, beginning, mixed_oracle, place_of
from ops.chaos.items import hang, work
from ops.chaos.order import Order

MAIN, TIMED = "main", "timed"
LIMIT_SECONDS = 2.0


def run(cluster: Cluster, order: Order, book: Book) -> None:
    name, timed = order.named(MAIN), order.named(TIMED)
    kwargs = place_of(order, name) | {"seconds": order.seconds}
    with beginning():
        batches = {MAIN: cluster.batch(work, range(order.items), id=name, kwargs=kwargs)}
        if order.hanging:
            where = {"batch": timed, "folder": order.folder}
            indices = range(order.hanging)
            batches[TIMED] = cluster.batch(hang, indices, id=timed, kwargs=where, timeout=LIMIT_SECONDS)
    for part, batch in batches.items():
        book.collect(book.page(part, batch.id), batch)


def parts(order: Order) -> dict[str, Part]:
    found = {MAIN: Part(mixed_oracle(order))}
    if order.hanging:
        found[TIMED] = Part(dict.fromkeys(range(order.hanging), frozenset([TIMED_OUT, CRASHED])))
    return found


DOOR = Door("named", run, parts)
