"""A batch that another client cancels, with and without `terminate`: the one that waits for it comes to its end too."""

from __future__ import annotations

from functools import partial

from manycore import Cluster
from manycore.client.batch import Batch
from ops.chaos.doors.door import CANCELLED, Book, Door, Page, Part, as_text, attach, beginning, place_of
from ops.chaos.items import answer, steady
from ops.chaos.order import Order

STOPPED = "stopped"
ITEM_SECONDS = 0.02
CANCELLED_AFTER = 5


def run(cluster: Cluster, order: Order, book: Book, *, terminate: bool) -> None:
    name = order.named(STOPPED)
    page = book.page(STOPPED, name)
    kwargs = place_of(order, name) | {"seconds": ITEM_SECONDS}
    with beginning():
        batch = cluster.batch(steady, range(order.items), id=name, kwargs=kwargs)
    take(batch, page, book, terminate=terminate)
    page.listed = [as_text(result) for result in batch.gather(return_exceptions=True)]


def take(batch: Batch, page: Page, book: Book, *, terminate: bool) -> None:
    """Take the outcomes; after the first few, have another client cancel."""
    for count, outcome in enumerate(batch.as_completed(), start=1):
        book.came(page, outcome.index, as_text(outcome.error if outcome.error else outcome.value))
        if count == CANCELLED_AFTER:
            cancel(batch.id, terminate=terminate)


def cancel(name: str, *, terminate: bool) -> None:
    with beginning(), Cluster() as other:
        attach(other, name).cancel(terminate=terminate)


def parts_of(order: Order, part: str) -> dict[str, Part]:
    """Each item ended well, or was cancelled."""
    right = {index: str(answer(order.seed, index)) for index in range(order.items)}
    return {part: Part({index: frozenset([text, CANCELLED]) for index, text in right.items()})}


def _parts(order: Order) -> dict[str, Part]:
    return parts_of(order, STOPPED)


CANCEL = Door("cancel", partial(run, terminate=False), _parts, size=lambda items: 60)
TERMINATE = Door("terminate", partial(run, terminate=True), _parts, size=lambda items: 60)
