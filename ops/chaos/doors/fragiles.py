"""Items that die, hang or raise while they are rebuilt, and results that do while they are pickled."""

from __future__ import annotations

from manycore import Cluster
from ops.chaos import fragile
from ops.chaos.doors.door import CRASHED, TIMED_OUT, Book, Door, Part, beginning
from ops.chaos.fragile import CRASHING, HANGING, Argument, kind_of, unwrap
from ops.chaos.items import answer
from ops.chaos.order import Order

FRAGILE = "fragile"
LIMIT_SECONDS = 1.0
RAISING = frozenset(["NotPicklable", "NotUnpicklable"])


def run(cluster: Cluster, order: Order, book: Book) -> None:
    name = order.named(FRAGILE)
    items = [Argument(kind_of(index), index, order.seed, name, order.folder) for index in range(order.items)]
    with beginning():
        batch = cluster.batch(unwrap, items, id=name, timeout=LIMIT_SECONDS)
    book.collect(book.page(FRAGILE, name), batch)


def right(kind: fragile.Kind, value: int) -> frozenset[str]:
    if kind.endswith(CRASHING):
        return frozenset([CRASHED])
    if kind.endswith(HANGING):
        return frozenset([TIMED_OUT, CRASHED])
    return frozenset([str(value)]) if kind == "normal" else RAISING


def parts(order: Order) -> dict[str, Part]:
    kinds = {index: kind_of(index) for index in range(order.items)}
    return {FRAGILE: Part({index: right(kind, answer(order.seed, index)) for index, kind in kinds.items()})}


DOOR = Door("pickling", run, parts, size=lambda items: 60)
