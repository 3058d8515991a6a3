"""What passes through a lane, and what stands at its ends: a source of items, a sink of outcomes, an observer."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from manycore.client.givenup import OneError
from manycore.protocol.ledger import Part, Sent
from manycore.protocol.message import Block, ItemOptions
from manycore.protocol.parcel import Program

if TYPE_CHECKING:
    from manycore.client.lane import Lane


@dataclass(frozen=True, slots=True)
class Cut:
    """The next items of a lane, on their way into chunks: they get the indices from `first` on."""

    first: int
    program: Program
    options: ItemOptions
    items: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Outcomes of consecutive items, each for the first time: values, and errors (by offset) where there is none."""

    start: int
    values: Sequence[Any]
    errors: Mapping[int, BaseException] = field(default_factory=dict)
    seconds: Sequence[float] = ()
    attempts: int = 1
    worker: str = ""

    @property
    def stop(self) -> int:
        return self.start + len(self.values)

    @property
    def first_error(self) -> int | None:
        """At which offset the first error is."""
        return next(filter(self.errors.__contains__, range(len(self.values))), None) if self.errors else None

    @classmethod
    def of(
        cls, part: Part, values: Sequence[Any], errors: Mapping[int, BaseException], block: Block | None = None
    ) -> Arrival:
        """One part of what came, in `block` or from this client itself."""
        count, offset = len(part.span), part.offset
        if count != len(values):
            values = values[offset : offset + count]
            errors = _errors_of(part, errors) if errors else {}
        seconds = block.seconds[offset : offset + count] if block else array("f")
        attempts, worker = (block.attempt, block.worker) if block else (0, "")
        return cls(part.span.start, values, errors, seconds, attempts, worker)


def _errors_of(part: Part, errors: Mapping[int, BaseException]) -> Mapping[int, BaseException]:
    count, offset = len(part.span), part.offset
    if isinstance(errors, OneError):
        return OneError(errors.error, count)
    return {at - offset: errors[at] for at in range(offset, offset + count) if at in errors}


class Source(Protocol):
    """Where a lane's items come from. Never called with the lane's lock held, but for its pure questions."""

    total: int | None
    """How many items there are in all, None while that is unknown."""
    error: BaseException | None
    """What the input itself raised; it ends the batch after the items before it."""
    first_call: str
    """The first call that was taken, as people are shown it; empty where there are many alike or none."""

    @property
    def held_back(self) -> bool:
        """Whether a `buffersize` bounds how far it is taken beyond what was read."""

    def ready(self) -> bool:
        """Whether `take` would give items at once."""

    def exhausted(self) -> bool:
        """Whether no more items will come."""

    def take(self, most: int) -> tuple[Program, ItemOptions, Sequence[Any]] | None:
        """At most `most` items that share a program, None if those that were there are gone; called when `ready`."""

    def next_size(self, slots: int, seconds_per_item: float | None, bytes_per_item: float) -> int:
        """How many items the next chunk should take."""

    def start(self) -> None:
        """Begin to look at the input; the lane is open now."""

    def more_room(self) -> None:
        """Look again whether the input may be pulled further."""

    def give_back(self, error: BaseException) -> None:
        """Take no more from the input; who waits for a call that was not taken gets `error`."""

    def cut_off(self, error: BaseException) -> None:
        """Take no more from the input, and end the batch with `error` if there was more of it."""


class Sink(Protocol):
    """Where a lane's outcomes go. Called without any lock, in order, by one thread at a time."""

    def deliver(self, arrivals: Sequence[Arrival]) -> None: ...

    def fail(self, error: BaseException) -> None:
        """The lane ended without its outcomes: the connection or the cluster is gone."""

    def finish(self) -> None:
        """Every item has its outcome."""


class Observer(Protocol):
    """Who has to know what becomes of a lane. Called without any lock."""

    def stopped(self, lane: Lane, flag: bytes, abandoned: Sequence[Sent]) -> None:
        """Its workers have to be told `flag`; nobody waits for these chunks any more."""

    def over(self, lane: Lane) -> None:
        """It has ended, or failed."""


class Unobserved:
    """For a lane that stands alone."""

    def stopped(self, lane: Lane, flag: bytes, abandoned: Sequence[Sent]) -> None:
        """There is nobody to tell."""

    def over(self, lane: Lane) -> None:
        """There is nobody to tell."""
