"""The log of a batch: what its items printed, logged and warned, as a bounded Redis stream that anybody may follow.

Children add to it in the round trips that carry outcomes, and only when there is something. It is not signed: nothing
but what people are shown comes of it. It holds whatever items wrote, escape sequences too: who shows it
neutralises them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis

from manycore.protocol import keys
from manycore.protocol.account import Told
from manycore.protocol.junk import UNREADABLE, moment, whole
from manycore.protocol.script import Script

SCRIPT = Script(__package__, "logs")
MAX_LOGS = 100
"""How many batches have one; those that were written to longest ago leave."""
MAX_ENTRY_BYTES = 64 * 1024
READ_AT_ONCE = 64
STDOUT, STDERR, LOG, DROPPED = "stdout", "stderr", "log", "dropped"
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
STREAMS = frozenset({STDOUT, STDERR, LOG, DROPPED})


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that an item wrote, or a part of one if it did not write it at once.

    `index` is the item's place in the input, None for what ran before items (an initializer). `attempt` is 1 for the
    first, `worker` the process (`host/pid`), `time` epoch seconds of the server. `stream` is "stdout", "stderr", "log"
    (by `logging` or `warnings`; with `level` and `logger`), or "dropped": the text says how much is missing here.
    """

    index: int | None
    attempt: int
    worker: str
    time: float
    stream: str
    text: str
    level: str = ""
    logger: str = ""


class Piece(NamedTuple):
    """What one item wrote to one stream within a moment."""

    item: int | None
    time: float
    stream: str
    text: str
    level: str = ""
    logger: str = ""


def tell(pipe: Any, batch: str, ttl_seconds: int, max_bytes: int, entries: Sequence[bytes]) -> Told:
    """Queue entries on `pipe`; `account.execute` wants to know of it."""
    told = Told(len(pipe), [keys.log(batch), keys.LOGS], (ttl_seconds, max_bytes, MAX_LOGS, *entries), SCRIPT)
    SCRIPT.queue(pipe, told.keys, told.args)
    return told


def entry(run: str, number: int, worker: str, attempt: int, pieces: Iterable[Piece]) -> bytes:
    """The wire form of what a run wrote. `number` counts its entries: one that comes twice is read once."""
    told = {"r": run, "s": number, "w": worker, "n": attempt, "p": list(pieces)}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


class LogReader:
    """Reads the log of one batch from its start, or from behind the entry `after`. Not thread-safe.

    Raises redis-py's errors when the server is away.
    """

    def __init__(self, client: redis.Redis, batch: str, after: str = "") -> None:
        self._redis = client
        self._key = keys.log(batch)
        self._last = f"({after}" if after else "-"
        self._seen: dict[str, int] = {}

    @property
    def last(self) -> str:
        """The entry that was read last; empty if none was."""
        return self._last[1:]

    def skip_to_newest(self, count: int) -> None:
        """Read no more than so many entries."""
        found: Any = self._redis.xrevrange(self._key, count=count + 1)
        if len(found) > count:
            self._last = f"({found[-1][0].decode()}"

    def new(self) -> Iterator[LogLine]:
        """The lines that have not been read."""
        while entries := self._entries():
            for entry_id, fields in entries:
                if self._last == "-" and (lost := _lost_before(fields)):
                    yield LogLine(None, 0, "", 0.0, DROPPED, f"[{lost:,} bytes of older output left out]\n")
                self._last = f"({entry_id.decode()}"
                yield from self._lines(fields)

    def await_new(self, seconds: float) -> None:
        """Wait until there is more, so long at most."""
        self._redis.xread({self._key: self.last or "0"}, count=1, block=int(seconds * 1000))

    def _entries(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        found: Any = self._redis.xrange(self._key, min=self._last, count=READ_AT_ONCE)
        return list(found)

    def _lines(self, fields: dict[bytes, bytes]) -> Iterator[LogLine]:
        """Those of an entry. What cannot be read, somebody else wrote: it is left out."""
        try:
            told = json.loads(fields[b"l"])
            run, number, worker, attempt = str(told["r"]), whole(told["s"]), str(told["w"]), whole(told["n"])
            pieces = [_piece(raw) for raw in told["p"]]
        except UNREADABLE:
            return
        if number <= self._seen.get(run, 0):
            return
        self._seen[run] = number
        for index, time, stream, text, level, logger in pieces:
            for line in _LINES.findall(text) if stream != LOG else (text,):
                yield LogLine(index, attempt, worker, time, stream, line, level, logger)


def _piece(raw: Sequence[Any]) -> Piece:
    index, time, stream, text, *more = raw
    level, logger = (*more, "", "")[:2]
    if stream not in STREAMS:
        raise ValueError(stream)
    return Piece(None if index is None else whole(index), moment(time), stream, str(text), str(level), str(logger))


def _lost_before(fields: dict[bytes, bytes]) -> int:
    """How many bytes of the log had been written before this entry."""
    try:
        return whole(fields[b"b"]) - len(fields[b"l"])
    except UNREADABLE:
        return 0
