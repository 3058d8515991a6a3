"""The names of all Redis keys, each with its type, owner and life. No other file builds one.

| key                  | type   | written by       | lives                                                      |
|----------------------|--------|------------------|------------------------------------------------------------|
| `mc:batch:<id>`      | hash   | client           | batch TTL; `cancelled` is the flag that stops the batch    |
| `mc:<id>:out`        | stream | worker children  | until its client has read it; see `stream_ttl`             |
| `mc:<id>:in:<token>` | string | client           | payload beside its message: until answered, or batch TTL   |
| `mc:<id>:val:<token>`| string | worker children  | outcomes beside the stream: as long as the stream          |
| `mc:<id>:chunks`     | hash   | client           | chunks of a named batch, to send again from; batch TTL     |
| `mc:<id>:resume`     | hash   | worker children  | chunk id -> where a redelivery resumes; until its message  |
|                      |        |                  | is acknowledged, or batch TTL                              |
| `mc:<id>:stay:<program>` | hash | worker children | the deliveries of slots that wait for a call; seconds      |
| `mc:<id>:next:<tag>` | list   | client           | the call that such a slot was handed; seconds              |
| `mc:<id>:strikes`    | hash   | worker           | item -> how often and how it killed its worker, and where  |
|                      |        |                  | a suspect runs now (`strike.lua`); batch TTL               |
| `mc:plain:<task id>` | hash   | workers          | execution of a plain Celery call -> how it ended; batch TTL |
| `mc:ref:<digest>`    | string | client           | a shipped function with its keyword arguments, or an       |
|                      |        |                  | archive of the client's modules: while it is held, or TTL  |
| `mc:holders:<digest>`| set    | client, workers  | the batches that need it; the last one takes it along      |
| `mc:account:<id>`    | hash   | client, workers  | what is shown of a batch; not trusted; `stream_ttl` after  |
|                      |        |                  | the last word                                              |
| `mc:accounts`        | zset   | client, workers  | account's key -> when it was last told; bounded; as the longest |
| `mc:<id>:log`        | stream | worker children  | what its items printed and logged; not trusted, bounded;   |
|                      |        |                  | `stream_ttl` after the last word                           |
| `mc:logs`            | zset   | worker children  | log's key -> when it was last written; bounded; as the longest |
| `mc:told:<teller>`   | string | worker children  | the last report of a slot, so that it counts once; minutes |
| `mc:obj:<name>`      | hash   | client           | a large object in pieces: as long as its client needs it,  |
|                      |        |                  | `OBJECT_TTL_SECONDS` refreshed; of a named batch also      |
|                      |        |                  | batch TTL, if that is longer, refreshed                    |
| `mc:worker:<name>`   | hash   | worker parent    | slots, tasks, versions; `WORKER_TTL_SECONDS`, refreshed    |
| `mc:activity:<name>` | string | worker parent    | what its slots do; as above, refreshed                     |
| `mc:inventory:<digest>` | string | worker parent | what workers can import; `WORKER_TTL_SECONDS`, refreshed   |
| `mc:workers`         | zset   | worker parent    | worker name -> last heartbeat (epoch); as above            |
| `mc:tasks:<queue>`   | zset   | worker parent    | task -> when a worker of this queue last said that it      |
|                      |        |                  | knows it (epoch); `TASKS_SECONDS`, refreshed               |
| `mc:detached`        | zset   | client, workers  | named batch that workers look after -> since when; batch TTL |
| `mc:watch`           | string | worker parent    | the worker on watch; seconds, refreshed                    |
| `mc:bell:<queue>`    | zset   | client, workers  | one member while a message may wait; `BELL_TTL_SECONDS`    |
| `mc:quarantine`      | stream | worker parent    | refused messages, bounded; a week after the last one       |
| `mc:quarantine:count`| hash   | worker parent    | queue -> how many were refused; likewise                   |
| `mc:quarantine:items`| hash   | worker children  | poison item -> when, bytes, queue, cause; bounded; likewise |
| `mc:quarantine:item:<id>` | string | worker children | a poison item with what runs it again; a week          |

Each `<id>` is one segment (`_segment`), so no name of one thing is the name of another, whatever ids are.
The broker's own keys (the queues, `manycore-unacked*`, `_kombu.binding.*`) are kombu's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from urllib.parse import quote, unquote

HEARTBEAT_SECONDS = 2.0
WORKER_TTL_SECONDS = 15
TASKS_SECONDS = 60
"""How long a task is left to a worker that has known it and is gone: its container stops, is replaced, and starts."""
EPHEMERAL_TTL_SECONDS = 3_600
"""How long outcomes that only their client can want wait for it: it reads them at once, or is gone."""
OBJECT_TTL_SECONDS = 3_600
"""How long a large object outlives a client that was killed."""
BELL_TTL_SECONDS = 60
"""A bell is a hint: who waits for it looks for messages every second all the same."""
CALLS, MAPS = "submit-", "map-"
"""How the ids begin under which the calls of `submit` travel, and the items of a `map`."""
WORKERS = "mc:workers"
ACCOUNTS, LOGS = "mc:accounts", "mc:logs"
DETACHED, WATCH = "mc:detached", "mc:watch"
QUARANTINE, QUARANTINE_COUNTS, QUARANTINE_ITEMS = "mc:quarantine", "mc:quarantine:count", "mc:quarantine:items"
QUARANTINE_TTL_SECONDS = 7 * 86_400

GIVEN_UP, STOPPING, TERMINATED = b"now", b"soon", b"kill"
"""What the `cancelled` flag says: nobody waits for outcomes any more; those of running items still count; nobody
waits, and the processes of running items are killed."""


def stream_ttl(ephemeral: bool, batch_ttl_seconds: int) -> int:
    """How long the outcomes of a batch stay after the last one was written."""
    return min(EPHEMERAL_TTL_SECONDS, batch_ttl_seconds) if ephemeral else batch_ttl_seconds


_OF_BATCHES = ("account", "accounts", "batch", "detached", "logs", "quarantine", "told", "watch")
_OF_OTHERS = ("activity", "bell", "holders", "inventory", "obj", "plain", "ref", "worker", "workers")
_TAKEN = frozenset((*_OF_BATCHES, *_OF_OTHERS))
"""What stands behind `mc:` in the names of other things."""


@lru_cache(maxsize=256)
def _segment(batch_id: str) -> str:
    """A batch's id as one part of a name: without `:`, and never a word of ours."""
    if batch_id in _TAKEN:
        return f"%{ord(batch_id[0]):02X}{batch_id[1:]}"
    return quote(batch_id, safe="", errors="surrogatepass")


def batch(batch_id: str) -> str:
    return f"mc:batch:{_segment(batch_id)}"


def outcomes(batch_id: str) -> str:
    return f"mc:{_segment(batch_id)}:out"


def payload(batch_id: str, token: str) -> str:
    return f"mc:{_segment(batch_id)}:in:{token}"


def values(batch_id: str, token: str) -> str:
    return f"mc:{_segment(batch_id)}:val:{token}"


def chunks(batch_id: str) -> str:
    return f"mc:{_segment(batch_id)}:chunks"


def resume(batch_id: str) -> str:
    return f"mc:{_segment(batch_id)}:resume"


def strikes(batch_id: str) -> str:
    return f"mc:{_segment(batch_id)}:strikes"


def stay(batch_id: str, program: str) -> str:
    return f"mc:{_segment(batch_id)}:stay:{program}"


def handed(batch_id: str, tag: str = "") -> str:
    return f"mc:{_segment(batch_id)}:next:{tag}"


def log(batch_id: str) -> str:
    return f"mc:{_segment(batch_id)}:log"


def plain_executions(task_id: str) -> str:
    return f"mc:plain:{task_id}"


def reference(digest: str) -> str:
    return f"mc:ref:{digest}"


def holders(digest: str) -> str:
    return f"mc:holders:{digest}"


def object_pieces(name: str) -> str:
    return f"mc:obj:{name}"


def quarantined(item_id: str) -> str:
    return f"mc:quarantine:item:{item_id}"


def account(batch_id: str) -> str:
    return f"mc:account:{_segment(batch_id)}"


def batch_of(account_key: str) -> str:
    """The batch whose account this is."""
    return unquote(account_key.rpartition(":")[2], errors="surrogatepass")


def bell(queue: str) -> str:
    return f"mc:bell:{queue}"


def told(teller: str) -> str:
    return f"mc:told:{teller}"


def activity(name: str) -> str:
    return f"mc:activity:{name}"


def worker(name: str) -> str:
    return f"mc:worker:{name}"


def of_worker(kind: Callable[[str], str], name: bytes) -> bytes:
    """The key of a worker whose name stands in the index: anybody can have written it, so it may be no text."""
    return kind("").encode() + name


def tasks(queue: str) -> str:
    return f"mc:tasks:{quote(queue, safe='')}"


def inventory(digest: str) -> str:
    return f"mc:inventory:{digest}"


_TYPES = {
    **dict.fromkeys((ACCOUNTS, LOGS, WORKERS, DETACHED, "bell"), b"zset"),
    **dict.fromkeys(("out", "log", QUARANTINE), b"stream"),
    "holders": b"set",
    "next": b"list",
    "stay": b"hash",
    **dict.fromkeys((WATCH, "activity", "inventory", "ref", "told", "quarantine", "in", "val"), b"string"),
    **dict.fromkeys(("account", "batch", "worker", "plain", "chunks", "resume", "strikes"), b"hash"),
    **dict.fromkeys((QUARANTINE_COUNTS, QUARANTINE_ITEMS), b"hash"),
}
"""By the whole name, by the word behind `mc:`, or by the one behind a batch's id."""


def type_of(key: str) -> bytes | None:
    """What a key of ours holds, as the server calls it; None for a key that is not ours."""
    owner, word, *rest = [*key.split(":"), "", ""]
    if owner != "mc":
        return None
    return _TYPES.get(key) or _TYPES.get(word if word in _TAKEN else rest[0])


def owned_by(batch_id: str) -> tuple[str, ...]:
    """The keys of a batch whose names need no token: what deleting a batch deletes at once."""
    return tuple(name(batch_id) for name in (batch, outcomes, chunks, resume, strikes))


def of_callers(batch_id: str) -> tuple[str, ...]:
    """Those of them that nobody needs once every item is answered.

    A message may still come again: what is left says that it has nothing to run, and what killed. The one goes with the
    messages themselves, the other with its TTL.
    """
    return tuple(name(batch_id) for name in (batch, outcomes, chunks))
