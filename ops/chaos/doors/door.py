"""What a door is, and the book in which a client writes what came out of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event
from time import monotonic
from typing import Any

from redis import RedisError

from manycore import Cluster
from manycore.client.batch import Batch
from manycore.errors import BatchIncomplete, ConnectionFailed, ServerFull
from manycore.protocol import keys
from manycore.protocol.broker import connect
from manycore.protocol.settings import load_settings
from ops.chaos.items import CAME, expected, note
from ops.chaos.order import ARRIVALS, RUN_AGAIN, Order

Oracle = Mapping[int, frozenset[str]]
CRASHED, CANCELLED, TIMED_OUT = "WorkerCrashed", "BatchCancelled", "ItemTimeout"
ATTACH_SECONDS = GONE_SECONDS = 60.0
ATTACH_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Part:
    """Calls that are judged together. `listed` says that they are gathered as a list too."""

    oracle: Oracle
    listed: bool = True


@dataclass(frozen=True)
class Door:
    """A way into the cluster: `run` is the client's part, `parts` gives what must come out.

    `size` says how many items an order has, of the number that is asked for.
    """

    name: str
    run: Callable[[Cluster, Order, Book], None]
    parts: Callable[[Order], dict[str, Part]]
    size: Callable[[int], int] = lambda items: items


@dataclass
class Page:
    """What came of one part; `batch` is its name in the log of executions.

    `until` is where an iteration ended with an error: of the items from there on nothing can be known.
    """

    batch: str
    came: list[tuple[int, str]] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    until: int | None = None


@dataclass
class Book:
    """What a client knows in the end; it judges nothing but what only it can see (`complaints`)."""

    order: Order
    pages: dict[str, Page] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    sent_again: int = 0

    def page(self, part: str, batch: str) -> Page:
        """The page of a part, empty at first."""
        return self.pages.setdefault(part, Page(batch))

    def came(self, page: Page, index: int, text: str) -> None:
        """An outcome is there."""
        note(self.order.folder, CAME, page.batch, index, ARRIVALS)
        page.came.append((index, text))

    def collect(self, page: Page, batch: Batch, text: Callable[[Any], str] | None = None) -> None:
        """Take a batch's outcomes one by one and as a list."""
        text = text or as_text
        for outcome in batch.as_completed():
            self.came(page, outcome.index, text(outcome.error if outcome.error else outcome.value))
        page.listed = [text(result) for result in batch.gather(return_exceptions=True)]

    def iterate(self, page: Page, results: Iterable[Any]) -> None:
        """Take the results of an iterator, which an item's error ends."""
        reading, index = iter(results), 0
        while True:
            try:
                value = next(reading)
            except StopIteration:
                return
            except Exception as exc:
                page.until = index
                self.came(page, index, as_text(exc))
                return
            self.came(page, index, as_text(value))
            index += 1

    def write(self) -> None:
        """Write it down, whole or not at all."""
        path = self.order.answers
        draft = path.with_suffix(".new")
        pages = {part: vars(page) for part, page in self.pages.items()}
        draft.write_text(json.dumps({"pages": pages, "complaints": self.complaints, "sent_again": self.sent_again}))
        draft.rename(path)

    @classmethod
    def read(cls, order: Order) -> Book:
        """The book of an order; empty if its client did not come so far."""
        book = cls(order)
        if order.answers.exists():
            found = json.loads(order.answers.read_text())
            book.pages = {part: Page(**page) for part, page in found["pages"].items()}
            book.complaints, book.sent_again = found["complaints"], found["sent_again"]
        return book


def as_text(result: Any) -> str:
    """A value as it is written, an error as the name of its class."""
    return type(result).__name__ if isinstance(result, BaseException) else str(result)


@contextmanager
def beginning() -> Iterator[None]:
    """Around what raises at once when the server is away just now: what a user does is to run it again."""
    try:
        yield
    except (ConnectionFailed, ServerFull) as exc:
        print(exc, flush=True)
        raise SystemExit(RUN_AGAIN) from exc


def attach(cluster: Cluster, batch_id: str) -> Batch:
    """Attach from elsewhere, as soon as the batch's client has sent it whole."""
    deadline = monotonic() + ATTACH_SECONDS
    while True:
        try:
            with beginning():
                return cluster.attach(batch_id)
        except BatchIncomplete:
            if monotonic() > deadline:
                raise
            Event().wait(ATTACH_POLL_SECONDS)


def is_gone(name: str) -> bool:
    """Whether nothing more is known of a batch, soon: what was not done is deleted once its last message is gone."""
    deadline = monotonic() + GONE_SECONDS
    client = connect(load_settings())
    while monotonic() < deadline:
        with suppress(RedisError):
            if not client.hexists(keys.batch(name), "function"):
                return True
        Event().wait(ATTACH_POLL_SECONDS)
    return False


def mixed_oracle(order: Order, items: int | None = None) -> dict[int, frozenset[str]]:
    """The right outcomes of `items.work`."""
    return {index: frozenset([expected(order.seed, index)]) for index in range(items or order.items)}


def place_of(order: Order, batch: str) -> dict[str, Any]:
    """The keyword arguments that tell items where they are."""
    return {"seed": order.seed, "batch": batch, "folder": order.folder}
