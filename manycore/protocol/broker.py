"""The server that both ends share: what lies there under which names, how it is reached, what its errors mean.

Nothing here needs Celery; its application is in `app`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, cast

import redis
from redis._parsers.base import BaseParser
from redis.backoff import NoBackoff
from redis.retry import Retry

from manycore.errors import AuthenticationFailed, ConnectionFailed, NotTrusted, ServerFull, SettingsError
from manycore.protocol.address import Address
from manycore.protocol.settings import Settings, redacted
from manycore.protocol.store import Store
from manycore.protocol.trust import hint, reason_of

FUNCTION_TASK = "manycore.call"
"""The task that runs functions shipped by value. Each message shows under its function's name (`shadow`)."""
QUEUES = ("cpu", "io")
"""Of the fleets that are always spoken of. Others are there while a worker has them (`roster`)."""
UNACKED, UNACKED_INDEX, UNACKED_MUTEX = "manycore-unacked", "manycore-unacked-index", "manycore-unacked-mutex"
"""kombu's hash of deliveries that are not acknowledged, when each was taken, and who sweeps. By names of our own: with
kombu's, we would take over another application's long tasks on the same database after our short lease."""
SWEEP_SECONDS = 2.0
"""How often each worker looks for deliveries whose lease has ended (`worker.leases`)."""
SOCKET_SECONDS = 30.0
"""A server silent for this long counts as lost. Must stay above the second that a worker waits for messages."""
BRIEF_SECONDS = 2.0
"""How long an answer is waited for where nothing depends on it: waking a thread, tidying up."""
RECONNECT_SECONDS = 0.25
"""The pause before a server that is away is tried again."""

UNNAMED: dict[str, Any] = dict.fromkeys(
    ("driver_info",) if find_spec("redis.driver_info") else ("lib_name", "lib_version")  # before redis-py 7
)
"""Options of a connection: redis-py's name is not told. For that it reads its own metadata each time, 2 ms, and asks
twice."""


class WritesRefused(redis.ResponseError):
    """The server is there, but takes no writes for now: too few replicas are, or it cannot write to its disk."""

    def __init__(self, *args: object, status_code: str | None = None) -> None:
        text = " ".join(map(str, args))  # redis-py has cut off the code: put it back, others match on it
        super().__init__(f"{status_code} {text}" if status_code else text, status_code=status_code)


for _code in ("NOREPLICAS", "MISCONF"):
    # redis-py knows no class for them, and an `except` cannot ask for a text.
    BaseParser.EXCEPTION_CLASSES.setdefault(_code, WritesRefused)

AWAY = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.ReadOnlyError,
    redis.exceptions.MasterDownError,
    WritesRefused,
)
"""What redis-py raises while the server is away, takes no writes, or is a replica that no failover has promoted yet."""
FULL = redis.OutOfMemoryError
"""What redis-py raises when the server has no memory left for this command."""
MAX_SOCKET_READ = 65_536
OLDEST_SERVER = (6, 2)
"""Of Redis; every Valkey calls itself 7.2 there."""


def reason(exc: BaseException) -> str:
    """Why a command failed, in midst of a sentence: redis-py puts the command before it, with all its bytes."""
    return str(exc).rpartition("caused error: ")[2].rstrip(".")


@contextmanager
def typed_errors(settings: Settings) -> Iterator[None]:
    """Turn what redis-py raises into `AuthenticationFailed`, `ConnectionFailed`, `ServerFull` or `SettingsError`."""
    place = redacted(settings.url or "")
    try:
        yield
    except redis.AuthenticationError as exc:
        raise AuthenticationFailed(place, reason(exc)) from exc
    except FULL as exc:
        raise ServerFull(place, reason(exc)) from exc
    except (*AWAY, redis.InvalidResponse, OSError) as exc:
        if "NOAUTH" in str(exc) or "WRONGPASS" in str(exc):
            raise AuthenticationFailed(place, reason(exc)) from exc
        raise no_connection(place, exc) from exc
    except redis.ResponseError as exc:
        if "DB index is out of range" not in str(exc):
            raise
        raise SettingsError(
            f"The server at {place} has no database of that number. It has 16, 0 to 15, unless its `databases` says "
            "otherwise: name one of them at the end of the address, the same for clients and workers."
        ) from exc


def no_connection(place: str, exc: BaseException) -> ConnectionFailed:
    """The error for a server that could not be reached, by what redis-py says of it."""
    words = reason_of(exc)
    if words:
        return NotTrusted(place, f"{words} ({exc})")
    if isinstance(exc, redis.InvalidResponse):
        return ConnectionFailed(place, f"what is there speaks another language ({reason(exc)})")
    return ConnectionFailed(place, reason(exc) + hint(place, exc))


def connect(settings: Settings, seconds: float = SOCKET_SECONDS) -> Store:
    """A Redis client for outcomes and state, which waits `seconds` for an answer.

    It never retries by itself: callers know what a repeat would mean.
    """
    store: Any = Store.from_url(
        Address.parse(settings.url or "").redis_url,
        socket_timeout=seconds,
        socket_connect_timeout=min(seconds, 5.0),
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        socket_read_size=MAX_SOCKET_READ,
        **UNNAMED,
    )
    return cast(Store, store)


def run_of(client: redis.Redis) -> str:
    """What tells this run of the server from one that began anew; empty where that may not be asked."""
    return str(_server(client).get("run_id", ""))


def check_server_kind(client: redis.Redis, settings: Settings) -> None:
    """Refuse what answers but cannot work: a node of a cluster, a Sentinel, a server that is too old.

    Raises `SettingsError`, or redis-py's errors.
    """
    server = _server(client)
    if not server:
        return  # what does not work says so later
    place = redacted(settings.url or "")
    mode = server.get("redis_mode") or server.get("server_mode") or "standalone"  # Valkey 9 has the second name
    if mode != "standalone":
        raise SettingsError(
            f"The server at {place} runs in {mode} mode, which manycore does not support: a batch's keys would lie on "
            "several nodes. Give the address of a single server (cluster-enabled no), with a replica if you like."
        )
    version = str(server.get("redis_version", ""))
    if _version(version) < OLDEST_SERVER:
        raise SettingsError(f"The server at {place} is Redis {version}. manycore needs 6.2 or newer, or Valkey.")


def _server(client: redis.Redis) -> dict[str, Any]:
    """What the server says of itself; nothing where this user may not ask."""
    try:
        found: dict[str, Any] = client.info("server")
    except redis.exceptions.NoPermissionError:
        return {}
    return found


def _version(text: str) -> tuple[int, ...]:
    parts = text.split(".")[:2]
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else OLDEST_SERVER
