"""Named batches outlive their client: what is written down of them, and how a later run goes on from it.

Before its first item leaves, a named batch is described in `mc:batch:<id>`; each chunk that leaves is entered in
`mc:<id>:chunks`. Outcomes stay in the stream. So the same script, run again with the same id, sends only what is
missing, and another process can attach and gather the rest.
"""

from __future__ import annotations

import pickle
import secrets
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, cast

import redis

from manycore.errors import BatchChanged, BatchIncomplete, ManycoreError, MessageRefused, UnknownBatch
from manycore.protocol import account, keys
from manycore.protocol.broker import run_of
from manycore.protocol.clock import ServerClock
from manycore.protocol.entries import Answered
from manycore.protocol.failure import dump_error
from manycore.protocol.fingerprint import digest_of, digest_of_items
from manycore.protocol.message import Block, Chunk, open_chunk, seal_block, seal_chunk
from manycore.protocol.packing import module_of, name_of, pack
from manycore.protocol.parcel import Parcel, Program
from manycore.protocol.references import release
from manycore.protocol.script import Script
from manycore.protocol.signing import Keyring

ENTRIES_PER_READ = 32
"""With blocks of at most 1 MiB in a stream, one read holds 32 MiB at most."""
_complete = Script(__package__, "complete")


MAX_DIGITS = 18
"""Of a number of items."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a second run the same batch: all that decides its results. An input that is pulled is left out."""

    function: str
    code: str = ""
    arguments: str = ""
    input: str = ""
    initializer: str = ""

    @classmethod
    def of(
        cls,
        function: Callable[..., Any] | str,
        kwargs: dict[str, Any] | None,
        items: Iterable[Any],
        length: int | None,
        *,
        star: bool = False,
        initializer: tuple[Callable[..., Any], tuple[Any, ...]] | None = None,
        packages: tuple[str, ...] = (),
    ) -> Identity:
        own = [module_of(function)]
        setup = digest_of(*initializer, own=[*own, module_of(initializer[0])]) if initializer else ""
        named = dict(sorted((kwargs or {}).items()))
        can_look = length is not None and not isinstance(items, Iterator)  # which would be used up
        found = digest_of_items(items, own) if can_look else ""
        return cls(
            name_of(function), digest_of(function, own=own), digest_of(star, named, packages, own=own), found, setup
        )


class Record:
    """The record of one named batch.

    `mark` stands in each chunk and each outcome. It tells the batch's life from that of an earlier one of the same
    name, which was deleted, and counts (`life.2`) how often it was run again after a cancel, which drops the payloads
    of what waits: a message with another mark, however late it comes, is nobody's.
    """

    def __init__(self, client: redis.Redis, keyring: Keyring, batch_id: str, ttl_seconds: int) -> None:
        self._redis = client
        self._keyring = keyring
        self.batch = self._id = batch_id
        self._ttl = ttl_seconds
        self.total: int | None = None
        self.mark = ""
        self.server = ""
        """Which run of the server has it (`broker.run_of`), as far as was looked."""

    def begin(self, identity: Identity, *, accept_changes: bool) -> bool:
        """Describe the batch; says whether it had been begun before. Raises `BatchChanged` if it was another one."""
        self.server = run_of(self._redis)
        key, pipe = keys.batch(self._id), self._redis.pipeline(transaction=False)
        pipe.hgetall(key)
        pipe.hkeys(keys.strikes(self._id))
        known, struck = pipe.execute()
        if b"deleted" in known:  # a message of it may still come up: its mark tells that from what begins now
            self.erase(self._redis)
            known, struck = {}, []
        before = {_text(field): _text(value) for field, value in known.items()}
        now: dict[Any, Any] = asdict(identity)
        if "function" in before and not accept_changes:
            changed = [field for field, value in now.items() if before.get(field) != value]
            if changed:
                raise BatchChanged(self._id, " and ".join(changed), before["function"])
        failed = [field for field in struck if b"function " in field or b"initializer " in field]
        if failed:
            pipe.hdel(keys.strikes(self._id), *failed)  # what comes before its items may have been mended
        pipe.hset(key, mapping=now)
        if "mark" not in before:
            pipe.hsetnx(key, "mark", secrets.token_hex(4))  # of two who begin at once, one draws it
        elif "cancelled" in before:
            life, run = _parted(before["mark"])
            pipe.hset(key, "mark", f"{life}.{run + 1}")  # of two who begin at once, both say the same
        pipe.hget(key, "mark")
        drawn = len(pipe) - 1
        pipe.hdel(key, "cancelled", "total")  # to run it again is to want it; it is not sent whole before this run is
        pipe.delete(keys.chunks(self._id))  # this run cuts anew
        pipe.expire(key, self._ttl)
        told = account.tell(pipe, self._id, self._ttl, {"begins": True, "set": {"task": identity.function, "named": 1}})
        self.mark = _text(account.execute(pipe, [told])[drawn])
        return "function" in before

    def owns(self, answered: Answered) -> bool:
        """Whether an outcome is of this life of the batch, as far as it says.

        It may be of a run before this one, if its items ran: what such a run did not begin is this one's to do.
        """
        mark = answered.block.mark
        if mark in ("", self.mark):
            return True
        (life, run), (own_life, own_run) = _parted(mark), _parted(self.mark)
        return life == own_life and (run > own_run or (answered.begun and not answered.block.cancelled))

    def enter(self, pipe: Any, parcel: Parcel) -> None:
        """Note a chunk that leaves, in the same round trip as its payload."""
        key = keys.chunks(self._id)
        program = pickle.dumps((parcel.program.queue, parcel.program.shadow))
        pipe.hset(key, str(parcel.chunk.first), seal_chunk(self._keyring, parcel.chunk, program))
        pipe.expire(key, self._ttl)

    def refuse(self, index: int, error: ManycoreError) -> None:
        """Write the outcome of an item that cannot be sent, as a worker would: others who gather the batch need it."""
        errors = {0: dump_error(error, "")}
        block = Block(self._id, "", range(index, index + 1), 0, "", array("f", [0.0]), errors, mark=self.mark)
        pipe = self._redis.pipeline(transaction=False)
        pipe.xadd(keys.outcomes(self._id), {b"o": seal_block(self._keyring, block, pack([None]))})
        pipe.expire(keys.outcomes(self._id), self._ttl)
        pipe.execute()

    def complete(self, total: int) -> None:
        """Note that every item has been sent: from here on, others can finish the batch. Nothing if it was deleted."""
        if _complete.run(self._redis, [keys.batch(self._id)], [total]):
            pipe = self._redis.pipeline(transaction=False)
            account.execute(pipe, [account.tell(pipe, self._id, self._ttl, {"set": {"total": total}})])
        self.total = total

    def hand_over(self) -> None:
        """Let the workers look after the batch from now on: it was sent whole. Raises `UnknownBatch` if it is deleted,
        of which nothing may come back."""
        if not self._redis.hexists(keys.batch(self._id), "function"):
            raise UnknownBatch(self._id)
        pipe = self._redis.pipeline(transaction=False)
        pipe.zadd(keys.DETACHED, {self._id: ServerClock(self._redis).now()})
        pipe.expire(keys.DETACHED, self._ttl)
        account.execute(pipe, [account.tell(pipe, self._id, self._ttl, {"set": {"detached": 1}})])

    def erase(self, client: redis.Redis) -> None:
        """Delete every key of the batch, and let go of what it shares with others. Raises redis-py's errors."""
        chunks = list(self._chunks())
        found = {keys.payload(self._id, chunk.payload_token) for chunk in chunks if chunk.payload_token}
        client.zrem(keys.DETACHED, self._id)
        client.unlink(*keys.owned_by(self._id), *found, *self._values())
        release(client, self._id, {digest for chunk in chunks for digest in chunk.references})

    def _chunks(self) -> Iterator[Chunk]:
        """The chunks that were noted, as far as they can be read."""
        sealed: Any = self._redis.hvals(keys.chunks(self._id))
        for text in sealed:
            with suppress(MessageRefused):
                yield open_chunk(self._keyring, text)[0]

    def _values(self) -> set[str]:
        """The keys of outcomes that lie beside the stream."""
        found: set[str] = set()
        last = "-"
        while entries := cast(Any, self._redis.xrange(keys.outcomes(self._id), min=last, count=ENTRIES_PER_READ)):
            found |= {keys.values(self._id, _text(fields[b"k"])) for _, fields in entries if b"k" in fields}
            last = f"({entries[-1][0].decode()}"
        return found

    def attach(self) -> tuple[str, list[Parcel]]:
        """The function's name and the chunks of a batch that was sent whole.

        Raises `UnknownBatch`, `BatchIncomplete` when its client has not sent all of it, or `MessageRefused` when what
        is there is not what a client has written.
        """
        self.server = run_of(self._redis)
        pipe = self._redis.pipeline(transaction=False)
        pipe.hgetall(keys.batch(self._id))
        pipe.hgetall(keys.chunks(self._id))
        described, chunks = pipe.execute()
        if b"function" not in described:
            raise UnknownBatch(self._id)
        if b"total" not in described:
            raise BatchIncomplete(self._id, len(chunks))
        if not described[b"total"].isdigit() or len(described[b"total"]) > MAX_DIGITS:
            raise MessageRefused(f"the record of batch {self._id} is of {described[b'total']!r:.100} items")
        self.total, self.mark = int(described[b"total"]), _text(described.get(b"mark", b""))
        parcels = sorted(map(self._parcel, chunks.values()), key=lambda parcel: parcel.chunk.first)
        return _text(described[b"function"]), parcels

    def _parcel(self, sealed: bytes) -> Parcel:
        chunk, rest = open_chunk(self._keyring, sealed)
        queue, shadow = pickle.loads(rest)
        # Payload and function are in Redis already: to send the chunk again, naming them is enough.
        return Parcel(chunk, Program(chunk.task, queue, shadow, chunk.function), b"")


def _parted(mark: str) -> tuple[str, int]:
    life, _, run = mark.partition(".")
    return life, int(run) if run.isdecimal() and len(run) <= MAX_DIGITS else 0


def _text(found: bytes) -> str:
    return found.decode(errors="replace")


def covers(chunk: Chunk) -> range:
    """The item indices of a chunk as its client cut it."""
    return range(chunk.first + chunk.start, chunk.first + chunk.stop)
