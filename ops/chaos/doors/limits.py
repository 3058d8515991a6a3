"""Time limits: items that can be interrupted, items that cannot, and their neighbours, which end well."""

from __future__ import annotations

from manycore import Cluster
from ops.chaos.doors.door import CRASHED, TIMED_OUT, Book, Door, Part, beginning, place_of
from ops.chaos.items import answer, doze, hang, steady
from ops.chaos.order import Order

LIMITED = "limited"
SECONDS = 1.0
SOFT, HARD = (4, 22), (13,)


def run(cluster: Cluster, order: Order, book: Book) -> None:
    name = order.named(LIMITED)
    with beginning():
        batch = cluster.batch(limited, range(order.items), id=name, kwargs=place_of(order, name), timeout=SECONDS)
    book.collect(book.page(LIMITED, name), batch)


def limited(index: int, *, seed: int, batch: str, folder: str) -> int:
    if index in SOFT:
        return doze(index, batch=batch, folder=folder)
    if index in HARD:
        return hang(index, batch=batch, folder=folder)
    return steady(index, seed=seed, batch=batch, folder=folder)


def parts(order: Order) -> dict[str, Part]:
    oracle = {index: frozenset([str(answer(order.seed, index))]) for index in range(order.items)}
    oracle |= dict.fromkeys(SOFT, frozenset([TIMED_OUT]))
    oracle |= dict.fromkeys(HARD, frozenset([TIMED_OUT, CRASHED]))  # others may kill it three times while it hangs
    return {LIMITED: Part(oracle)}


DOOR = Door("limits", run, parts, size=lambda items: 30)
