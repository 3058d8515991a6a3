"""Large arguments and large results, by `submit` and by `map`; and one that was put, for many items."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from itertools import repeat
from typing import Any

from manycore import Cluster
from ops.chaos.doors.door import Book, Door, Part, as_text, beginning, place_of
from ops.chaos.items import END, START, note
from ops.chaos.order import Order

SUBMITTED, MAPPED, PUT = "submitted", "mapped", "put"
PARTS = (SUBMITTED, MAPPED, PUT)
BYTES = 1024 * 1024


def run(cluster: Cluster, order: Order, book: Book) -> None:
    with beginning():
        ref = cluster.put(block(order.seed, 0))
    pages = {part: book.page(part, order.unnamed(part)) for part in PARTS}
    calls = {part: partial(turned, **place_of(order, page.batch)) for part, page in pages.items()}
    futures = [cluster.submit(calls[SUBMITTED], index, block(order.seed, index)) for index in range(order.items)]
    blocks = (block(order.seed, index) for index in range(order.items))
    book.iterate(pages[MAPPED], map(digest, cluster.map(calls[MAPPED], range(order.items), blocks)))
    book.iterate(pages[PUT], map(digest, cluster.map(calls[PUT], range(order.items), repeat(ref, order.items))))
    for index, future in enumerate(futures):
        try:
            text = digest(future.result())
        except Exception as exc:
            text = as_text(exc)
        book.came(pages[SUBMITTED], index, text)


def turned(index: int, data: bytes, *, seed: int, batch: str, folder: str) -> bytes:
    note(folder, START, batch, index)
    result = data[::-1]
    note(folder, END, batch, index)
    return result


def block(seed: int, index: int) -> bytes:
    """Bytes that cannot be compressed away, different in each item."""
    start = blake2b(b"%d:%d" % (seed, index)).digest()
    return b"".join(blake2b(start, salt=b"%d" % place).digest() for place in range(BYTES // 64))


def digest(data: Any) -> str:
    return blake2b(data, digest_size=8).hexdigest()


def parts(order: Order) -> dict[str, Part]:
    own = {index: frozenset([digest(block(order.seed, index)[::-1])]) for index in range(order.items)}
    shared = dict.fromkeys(own, own[0])
    return {part: Part(shared if part == PUT else own, listed=False) for part in PARTS}


DOOR = Door("large", run, parts, size=lambda items: 12)
