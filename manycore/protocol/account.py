"""The account of a batch: what Redis knows of it for whoever watches, however it was begun, whoever lives.

Clients say what it is and how it ended, workers count in the round trips that carry outcomes. It is not signed: nothing
but what people are shown comes of it. While a batch runs, an item counts twice that ran and was answered twice (its
message was taken for lost); its client, or the worker on watch, sets the numbers right at the end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from redis.exceptions import NoScriptError

from manycore.protocol import keys
from manycore.protocol.flag import set_flag
from manycore.protocol.junk import UNREADABLE, number, whole
from manycore.protocol.message import Chunk
from manycore.protocol.script import Script

SCRIPT = Script(__package__, "account")
MAX_ACCOUNTS = 10_000
MAX_TRACE = 4_000
"""Characters of a traceback that are kept."""
SILENT_SECONDS = 20.0
"""A client that has not been seen for so long is gone."""
RECENT_SHARE = 0.25
"""Of a batch's life: what its rate is told from, since items at its end may take longer than those at its start."""
UNTOLD_SECONDS = 0.5
"""What ended since then may not have been told yet: a process tells of its items about twice a second."""
READ_AT_ONCE = 500
HALF = re.compile("[\ud800-\udfff]")
State = Literal["running", "waiting", "detached", "orphaned", "done", "cancelled", "halted", "failed"]
"""`waiting`: its fleet has no worker. `orphaned`: its client is gone. `failed`: it could not go on."""


@dataclass(frozen=True, slots=True)
class Account:
    """One batch, as `Cluster.batches` lists them. Times are epoch seconds of the server.

    `end` is None until it has one: done, cancelled, halted or failed. `errors` says how often each class of error came,
    with the first traceback. `total` is None while nobody knows it. `retried` counts further attempts, `repeats` chunks
    that came again after a death. It is `idle` while all that there is of it has an outcome; `resumed` is when it last
    ran again, or had work again, `before` what was done by then. `run_seconds` is how long all its items ran together,
    `seconds` says how many took up to 2^k seconds; of a report with many items a sample stands for all. `points` are
    (seconds since the start, items done by then). `call` is its first call, as far as it can be shown.
    """

    id: str
    task: str
    fleet: str
    client: str
    started: float
    total: int | None
    done: int
    failed: int
    retried: int
    repeats: int
    named: bool
    detached: bool
    last: float
    seen: float
    ended: float | None
    end: State | None
    idle: bool = False
    resumed: float = 0.0
    before: int = 0
    call: str = ""
    run_seconds: float = 0.0
    seconds: dict[int, int] = field(default_factory=dict)
    errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    points: tuple[tuple[float, int], ...] = ()

    @property
    def fleets(self) -> tuple[str, ...]:
        """Those that it asks for."""
        return tuple(fleet for fleet in self.fleet.split(", ") if fleet)

    @property
    def begun(self) -> float:
        """Since when it runs: what stood between two runs of it is no slowness, and no silence."""
        return max(self.started, self.resumed)

    def is_past_cancelling(self, *, terminate: bool) -> bool:
        """Whether nothing is left to cancel. Of what ended otherwise than `done`, some may run that can be killed."""
        return self.end == "done" or (self.end is not None and not terminate)

    def state(self, now: float, fleets: Iterable[str]) -> State:
        """What it is doing, seen which fleets have a worker."""
        if self.end is not None:
            return self.end
        if self.total is not None and self.done >= self.total:
            return "done"
        if self.fleets and not set(self.fleets) & set(fleets):
            return "waiting"
        if self.detached:
            return "detached"
        return "orphaned" if now - max(self.seen, self.last, self.begun) > SILENT_SECONDS else "running"

    def rate(self, now: float) -> float:
        """Items a second since it has begun: lately, while it runs; at the end, over the whole of it."""
        if self.ended is not None:
            return max(0, self.done - self.before) / max(self.last - self.begun, 0.001) if self.last else 0.0
        begun = self.begun - self.started
        life = max(begun, self._told_until(now) - self.started)
        since = life - (life - begun) * RECENT_SHARE
        then, done = max([(begun, self.before), *(point for point in self.points if point[0] <= since)])
        return (self.done - done) / max(life - then, 0.001)

    def eta_seconds(self, now: float) -> float | None:
        """How long it will still take at this rate, None while that cannot be said."""
        rate = self.rate(now)
        if self.ended is not None or self.total is None or not rate:
            return None
        return max(0.0, (self.total - self.done) / rate - (now - self._told_until(now)))

    def _told_until(self, now: float) -> float:
        """Up to when its items are counted. Their end is news that comes late; where none comes, none ended."""
        return min(now, max(self.last, now - UNTOLD_SECONDS))

    def shown(self, now: float, fleets: Iterable[str]) -> dict[str, Any]:
        """What a list of batches shows of it, as JSON has it."""
        names = ("id", "task", "fleet", "client", "named", "started", "total", "done", "failed", "retried", "repeats")
        found = {name: getattr(self, name) for name in names}
        found |= {"last": self.last or None, "ended": self.ended, "state": self.state(now, fleets)}
        return found | {"rate": round(self.rate(now), 3), "eta_seconds": self.eta_seconds(now)}


class Told(NamedTuple):
    """What was queued on a pipeline to be shown: its place there, and what it takes to queue it again."""

    place: int
    keys: list[str]
    args: tuple[Any, ...]
    script: Script = SCRIPT


def tell(pipe: Any, batch: str, ttl_seconds: int, told: Mapping[str, Any], teller: str | None = None) -> Told:
    """Queue on `pipe` what is to be told (`account.lua` says what can be); `execute` wants to know of it."""
    names = [keys.account(batch), keys.ACCOUNTS, *([keys.told(teller)] if teller else [])]
    told_as = Told(len(pipe), names, (ttl_seconds, MAX_ACCOUNTS, _written(told)))
    SCRIPT.queue(pipe, told_as.keys, told_as.args)
    return told_as


def _written(told: Mapping[str, Any]) -> str:
    """As JSON. Half of a surrogate pair, as a file's name may have it, is shown as its code: cjson would refuse it."""
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return HALF.sub(lambda half: rf"\\u{ord(half[0]):x}", text)


def execute(pipe: Any, told: Sequence[Told]) -> list[Any]:
    """Execute a pipeline on which this was queued.

    Raises as it would, but for nothing that comes of what is told: an account that cannot be kept costs no outcome.
    """
    if not told:
        return list(pipe.execute())
    answers: list[Any] = pipe.execute(raise_on_error=False)
    places = {each.place for each in told}
    for place, answer in enumerate(answers):
        if isinstance(answer, Exception) and place not in places:
            raise answer
    unknown = [each for each in told if isinstance(answers[each.place], NoScriptError)]
    for each in unknown:  # a server that has just started knows no script
        each.script.queue_whole(pipe, each.keys, each.args)
    if unknown:
        pipe.execute(raise_on_error=False)
    return answers


def facts(chunk: Chunk, name: str, fleet: str) -> dict[str, Any]:
    """What a chunk tells of its batch."""
    told = {"task": name, "fleet": fleet, "named": int(not chunk.ephemeral)}
    return told if chunk.total is None else told | {"total": chunk.total}


def remove(client: Any, batch: str) -> None:
    """Forget a batch, and what its items wrote. Raises redis-py's errors."""
    pipe = client.pipeline(transaction=False)
    pipe.unlink(keys.account(batch), keys.log(batch))
    pipe.zrem(keys.ACCOUNTS, keys.account(batch))
    pipe.zrem(keys.LOGS, keys.log(batch))
    pipe.execute()


class Accounts:
    """Those of a server. Raises redis-py's errors when it is away."""

    def __init__(self, client: Any) -> None:
        self._redis = client

    def newest(self, count: int = MAX_ACCOUNTS) -> list[Account]:
        """Those that were told of last, the one that began last first."""
        found = self.read(map(_batch, self._redis.zrevrange(keys.ACCOUNTS, 0, count - 1)))
        return sorted(found, key=lambda account: account.started, reverse=True)

    def told_since(self, when: float) -> dict[str, float]:
        """The batches of which something was told since then, and when."""
        found = self._redis.zrangebyscore(keys.ACCOUNTS, when, "+inf", withscores=True)
        return {_batch(name): score for name, score in found}

    def find(self, batch: str) -> Account | None:
        return next(self.read([batch]), None)

    def cancel(self, account: Account, ttl_seconds: int, *, terminate: bool = False) -> None:
        """Stop a batch from outside: its workers meet the flag, and its client, if it lives, asks for it.

        One that has ended stays what it was.
        """
        flag = keys.TERMINATED if terminate else keys.GIVEN_UP
        set_flag(self._redis, account.id, "cancelled", flag, ttl_seconds)
        if account.end is None:
            pipe = self._redis.pipeline(transaction=False)
            execute(pipe, [tell(pipe, account.id, keys.EPHEMERAL_TTL_SECONDS, {"end": "cancelled"})])

    def read(self, batches: Iterable[str]) -> Iterator[Account]:
        """These batches, without those that nobody knows any more."""
        names = list(batches)
        for start in range(0, len(names), READ_AT_ONCE):
            pipe = self._redis.pipeline(transaction=False)
            some = names[start : start + READ_AT_ONCE]
            for name in some:
                pipe.hgetall(keys.account(name))
            for name, fields in zip(some, pipe.execute(raise_on_error=False), strict=True):
                if isinstance(fields, dict) and b"started" in fields:
                    yield parse(name, fields)


def _batch(key: bytes) -> str:
    return keys.batch_of(key.decode(errors="replace"))


def parse(batch: str, fields: Mapping[bytes, bytes]) -> Account:
    """An account from its hash; what is not there, or is nobody's of ours, counts as nothing."""
    texts = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}
    step = _number(texts.get("step"), 1.0)
    points = sorted(_numbered(texts, "at:"))
    return Account(
        id=batch,
        task=texts.get("task", ""),
        fleet=texts.get("fleet", ""),
        client=texts.get("client", ""),
        started=_number(texts.get("started")),
        total=int(_number(texts["total"])) if texts.get("total") else None,
        done=int(_number(texts.get("done"))),
        failed=int(_number(texts.get("failed"))),
        retried=int(_number(texts.get("retried"))),
        repeats=int(_number(texts.get("repeats"))),
        named=texts.get("named") == "1",
        detached=texts.get("detached") == "1",
        last=_number(texts.get("last")),
        seen=_number(texts.get("seen")),
        ended=_number(texts["ended"]) if texts.get("ended") else None,
        end=texts.get("end"),  # type: ignore[arg-type]
        idle=texts.get("idle") == "1",
        resumed=_number(texts.get("resumed")),
        before=int(_number(texts.get("before"))),
        call=texts.get("call", ""),
        run_seconds=_number(texts.get("ran")) / 1e6,
        seconds=dict(_numbered(texts, "s:")),
        errors={name: (int(_number(n)), texts.get(f"trace:{name}", "")) for name, n in _beginning(texts, "error:")},
        points=tuple(((at + 1) * step, done) for at, done in points),
    )


def _beginning(texts: Mapping[str, str], start: str) -> Iterator[tuple[str, str]]:
    return ((name.removeprefix(start), value) for name, value in texts.items() if name.startswith(start))


def _numbered(texts: Mapping[str, str], start: str) -> Iterator[tuple[int, int]]:
    for name, value in _beginning(texts, start):
        try:
            place = whole(name)
        except UNREADABLE:
            continue
        yield place, int(_number(value))


def _number(text: str | None, default: float = 0.0) -> float:
    try:
        return number(text or default)
    except UNREADABLE:
        return default
