"""What crosses the wire: a chunk of items on its way out, a block of outcomes on its way back.

Both are frozen, both carry the wire version in their sealed form (`signing`), and neither is read before its signature
has been checked. A chunk that is split, resumed or retried keeps its payload and changes only the positions to run.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, Literal

from manycore.errors import ManycoreError, MessageRefused
from manycore.protocol import keys, signing
from manycore.protocol.junk import UNREADABLE
from manycore.protocol.pickling import reason_of
from manycore.protocol.priority import PRIORITIES, Priority
from manycore.protocol.requirements import world_of
from manycore.protocol.retry import Backoff
from manycore.protocol.signing import Keyring
from manycore.protocol.tracing import Carried

CallForm = Literal["item", "star", "call"]
"""How an item becomes a call: `f(item)`, `f(*item)`, or `f(*item[0], **item[1])`."""


@dataclass(frozen=True, slots=True)
class ItemOptions:
    """What holds for each item of a chunk. Times are in seconds. `trace` is the trace context of the caller, `priority`
    what its batch has beside others."""

    form: CallForm = "item"
    retries: int = 0
    backoff: Backoff = field(default_factory=Backoff)
    timeout: float | None = None
    trace: Carried = ()
    priority: Priority = "normal"


LOST = "?"
"""In place of the names of runs that nobody knows."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some items of one batch: one Celery message.

    `first` is the index of the payload's item 0; the others follow it. `start` and `stop` bound the positions in the
    payload that this message still has to run. The payload travels inline or, when it is large, under a Redis key of
    its own (`payload_token`), vouched for by `payload_digest`. The items of a chunk may have died unseen: in
    one of the runs that `suspect` names (words), or, if that is `LOST` since its message was, in any run that may have
    begun them as another chunk's. The positions `skipped` are others'
    affair: what runs again need not lie side by side. `code` names the
    archive of the caller's modules, `packages` what is installed for the batch, `objects` the large objects that its
    arguments stand for, `home` where its client would find large results, `mark` which life of its named batch it is of
    (`Record`).
    """

    id: str
    batch: str
    task: str
    function: str | None
    options: ItemOptions
    first: int
    start: int
    stop: int
    payload_token: str | None
    payload_digest: bytes
    total: int | None = None
    attempt: int = 1
    ephemeral: bool = False
    suspect: str = ""
    postponed: int = 0
    code: str | None = None
    packages: tuple[str, ...] = ()
    home: str | None = None
    objects: tuple[str, ...] = ()
    skipped: tuple[int, ...] = ()
    mark: str = ""

    def __len__(self) -> int:
        return self.stop - self.start

    def is_outdated(self, mark: bytes | None) -> bool:
        """Whether it is of another life or an earlier run of its batch, whose record says `mark` (`Record`)."""
        return bool(self.mark and mark) and mark != self.mark.encode()

    def __reduce__(self) -> tuple[Any, ...]:
        """As its fields: a parent pickles it for its child with each call, and dataclasses take their time for it."""
        return type(self), tuple(getattr(self, name) for name in _CHUNK_FIELDS)

    @property
    def is_of_calls(self) -> bool:
        """Whether its items are calls of `submit`: those never come to an end together."""
        return self.ephemeral and self.batch.startswith(keys.CALLS)

    @property
    def is_of_map(self) -> bool:
        """Whether nobody is shown how long each of its items took."""
        return self.ephemeral and self.batch.startswith(keys.MAPS)

    @property
    def references(self) -> list[str]:
        """What it names by its digest: its function, and the archive of the caller's modules."""
        return [digest for digest in (self.function, self.code) if digest]

    @property
    def world(self) -> str | None:
        """What its items import from beside what their worker has, by one name."""
        return world_of(self.code, self.packages)

    def part(self, start: int, stop: int) -> Chunk:
        """The same chunk, but only its positions `[start, stop)`, as a new message."""
        return replace(self, id=new_chunk_id(self.batch), start=start, stop=stop, suspect="")

    def again(self, positions: Sequence[int], *, postponed: bool = False) -> Chunk:
        """The items at these positions, which ascend, as a new message: for their next attempt, or since they were not
        run."""
        start, stop, own = positions[0], positions[-1] + 1, set(positions)
        part = replace(self.part(start, stop), skipped=tuple(p for p in range(start, stop) if p not in own))
        if postponed:
            return replace(part, postponed=self.postponed + 1)
        return replace(part, attempt=self.attempt + 1, postponed=0)

    def moved(self) -> Chunk:
        """The same items over a payload that holds nothing else, and travels inline."""
        skipped = tuple(position - self.start for position in self.skipped)
        return replace(
            self,
            first=self.index(self.start),
            start=0,
            stop=len(self),
            payload_token=None,
            payload_digest=b"",
            skipped=skipped,
        )

    def index(self, position: int) -> int:
        return self.first + position

    def indices_of(self, start: int, stop: int) -> range:
        """The item indices at the positions `[start, stop)`."""
        return range(self.first + start, self.first + stop)

    def own_indices(self, start: int, stop: int) -> Sequence[int]:
        """The same, without those that are not this message's to run."""
        span = self.indices_of(start, stop)
        if not self.skipped:
            return span
        others = set(map(self.index, self.skipped))
        return [index for index in span if index not in others]

    def describe(self) -> str:
        """What Flower and the logs show for the arguments: `items 0-499 of 10000, batch pi-1e8`."""
        low, high = self.index(self.start), self.index(self.stop - 1)
        items = f"item {low}" if low == high else f"items {low}-{high}"
        total = f" of {self.total}" if self.total is not None else ""
        attempt = f", attempt {self.attempt}" if self.attempt > 1 else ""
        return f"{items}{total}, batch {self.batch}{attempt}"


@dataclass(frozen=True, slots=True)
class Block:
    """Outcomes of consecutive positions of one chunk: packed values with errors at a few places.

    `values` is a packed list with None where `errors` (offset -> pickled exception) has an entry. `seconds` has one
    duration for each item; for short ones of a `map` the mean of several. `cancelled` items did not run; they have
    neither values nor durations. `mark` is their chunk's.
    """

    batch: str
    chunk: str
    indices: Sequence[int]
    attempt: int
    worker: str
    seconds: array[float]
    errors: dict[int, bytes]
    cancelled: bool = False
    mark: str = ""


_CHUNK_FIELDS = tuple(entry.name for entry in fields(Chunk))
_USUAL = {entry.name: entry.default for entry in fields(Chunk) if entry.default is not MISSING}
"""What need not be written: it is read from what is missing."""


def new_chunk_id(batch: str) -> str:
    return f"{batch}.{secrets.token_hex(6)}"


def batch_of(chunk_id: str) -> str:
    """The batch of the chunk with this id; empty for the id of a plain call."""
    return chunk_id.rpartition(".")[0]


def seal_chunk(keyring: Keyring, chunk: Chunk, payload: bytes | memoryview) -> bytes:
    """Sign a chunk with its inline payload, empty when that travels beside it."""
    options = chunk.options
    backoff = options.backoff
    head = {name: getattr(chunk, name) for name in _CHUNK_FIELDS if name != "options"}
    for name, usual in _USUAL.items():
        if head[name] == usual:
            del head[name]
    head["options"] = (options.form, options.retries, options.timeout)
    head["trace"] = options.trace
    if options.priority != "normal":
        head["priority"] = options.priority
    head["backoff"] = (backoff.initial, backoff.factor, backoff.maximum, backoff.jitter)
    return keyring.seal(signing.CHUNK, head, payload)


def open_chunk(keyring: Keyring, message: bytes, *, max_bytes: int | None = None) -> tuple[Chunk, memoryview]:
    """Verify a chunk's message; gives the chunk and its inline payload. Raises `MessageRefused`.

    What another version writes beyond what is known here is left out.
    """
    head, payload = keyring.open(signing.CHUNK, message, max_bytes=max_bytes)
    try:
        form, retries, timeout = head.pop("options")
        said = head.pop("priority", "normal")
        priority: Priority = next((known for known in PRIORITIES if known == said), "normal")
        options = ItemOptions(form, retries, Backoff(*head.pop("backoff")), timeout, head.pop("trace", ()), priority)
        return Chunk(options=options, **{name: head[name] for name in _CHUNK_FIELDS if name in head}), payload
    except (*UNREADABLE, ManycoreError) as exc:
        raise MessageRefused(f"it is no chunk of this version: {reason_of(exc)}") from exc


def seal_block(keyring: Keyring, block: Block, values: bytes) -> bytes:
    """Sign a block of outcomes with its packed values."""
    indices = block.indices
    span: Any = (indices.start, indices.stop) if isinstance(indices, range) else list(indices)
    head = (block.batch, block.chunk, span, block.attempt, block.worker, block.seconds.tobytes(), block.errors)
    marks = (block.mark,) if block.mark else ()  # an older client reads what has none
    return keyring.seal(signing.OUTCOMES, (*head, block.cancelled, *marks), values)


def open_block(keyring: Keyring, message: bytes, batch: str) -> tuple[Block, memoryview]:
    """Verify a block that was found in the stream of `batch`; gives it with its packed values.

    Raises `MessageRefused`, also for a genuine block of another batch: a replay.
    """
    head, values = keyring.open(signing.OUTCOMES, message)
    owner, chunk, span, attempt, worker, seconds, errors, cancelled, *marks = head
    if owner != batch:
        raise MessageRefused(f"it belongs to batch {owner!r}, and was found in the stream of {batch!r}")
    indices = range(*span) if isinstance(span, tuple) else span
    return Block(owner, chunk, indices, attempt, worker, array("f", seconds), errors, cancelled, *marks[:1]), values
