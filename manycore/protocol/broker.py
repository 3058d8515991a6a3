"""The Celery application that both ends share, and how a chunk becomes one ordinary Celery message.

Clients use it to publish only; `manycore.worker.app` adds what workers need. Importing this file imports Celery.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import redis
from celery import Celery
from celery.app.control import Control
from kombu import Queue
from kombu.exceptions import BatchPublishError
from redis.backoff import NoBackoff
from redis.retry import Retry

from manycore.errors import AuthenticationFailed, ConnectionFailed, ServerFull
from manycore.protocol.codec import CONTENT_TYPE, Keyring
from manycore.protocol.message import Chunk, seal_chunk
from manycore.protocol.settings import Settings, redacted

FUNCTION_TASK = "manycore.call"
"""The task that runs functions shipped by value. Each message shows under its function's name (`shadow`)."""
QUEUES = ("cpu", "io")
PRIORITY_SUFFIXES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
"""How kombu's Redis transport names the lists of a queue's priorities (a test holds it against kombu)."""
UNACKED = "unacked"
"""kombu's hash of deliveries that are not acknowledged (likewise)."""
SWEEP_SECONDS = 2.0
"""How often each worker looks for deliveries whose lease has ended (`worker.leases`)."""
SOCKET_SECONDS = 30.0
"""A server silent for this long counts as lost. Must stay above kombu's BRPOP timeout of 10 s."""
BRIEF_SECONDS = 2.0
"""How long an answer is waited for where nothing depends on it: waking a thread, tidying up."""
RECONNECT_SECONDS = 0.25
"""The pause before a server that is away is tried again."""
AWAY = (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, redis.exceptions.MasterDownError)
"""What redis-py raises while the server is away, or is a replica that a failover has not promoted yet."""
FULL = redis.OutOfMemoryError
"""What redis-py raises when the server has no memory left for this command."""
MAX_SOCKET_READ = 65_536


def reason(exc: BaseException) -> str:
    """Why a command failed, for a log: redis-py puts the command before it, with all its bytes."""
    return str(exc).rpartition("caused error: ")[2]


@contextmanager
def typed_errors(settings: Settings) -> Iterator[None]:
    """Turn what redis-py raises into `AuthenticationFailed`, `ConnectionFailed` or `ServerFull`."""
    place = redacted(settings.url or "")
    try:
        yield
    except redis.AuthenticationError as exc:
        raise AuthenticationFailed(place, exc) from exc
    except FULL as exc:
        raise ServerFull(place, reason(exc)) from exc
    except (*AWAY, OSError) as exc:
        if "NOAUTH" in str(exc) or "WRONGPASS" in str(exc):
            raise AuthenticationFailed(place, exc) from exc
        raise ConnectionFailed(place, exc) from exc


class JsonControl(Control):
    """Remote control that keeps to JSON, while tasks accept manycore's signed messages only."""

    def __init__(self, app: Celery | None = None) -> None:
        super().__init__(app)
        self.mailbox.accept = ["json"]
        self.mailbox.serializer = "json"


def create_app(settings: Settings, name: str = "manycore", **options: object) -> Celery:
    """A Celery application for `settings.url`, with the queues, the leases and the refusal of anything unsigned."""
    app = Celery(name, control=JsonControl, set_as_current=False, **options)
    app.conf.update(
        broker_url=broker_url(settings.url or ""),
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": settings.lease_seconds,
            "unacked_restore_interval": SWEEP_SECONDS,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 5,
            "socket_timeout": SOCKET_SECONDS,
            "socket_connect_timeout": 5.0,
            "socket_keepalive": True,
        },
        task_queues=[Queue(queue, routing_key=queue) for queue in QUEUES],
        task_default_queue=QUEUES[0],
        task_serializer="manycore",
        result_serializer="manycore",
        accept_content=[CONTENT_TYPE],
        result_expires=settings.batch_ttl_seconds,
    )
    return app


def broker_url(url: str) -> str:
    """The address as kombu writes it: it says `redis+socket://` where redis-py says `unix://`."""
    return f"redis+{_socket_url(url)}" if urlsplit(url).scheme == "unix" else url


def backend_url(url: str) -> str:
    """The address as Celery's result backend writes it: it says `socket://` where redis-py says `unix://`."""
    return _socket_url(url) if urlsplit(url).scheme == "unix" else url


def _socket_url(url: str) -> str:
    parts = urlsplit(url)
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"socket://{parts.netloc}{parts.path}?virtual_host={database}"


def connect(settings: Settings, seconds: float = SOCKET_SECONDS) -> redis.Redis:
    """A Redis client for outcomes and state, which waits `seconds` for an answer.

    It never retries by itself: callers know what a repeat would mean.
    """
    return redis.Redis.from_url(
        settings.url or "",
        socket_timeout=seconds,
        socket_connect_timeout=min(seconds, 5.0),
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        socket_read_size=MAX_SOCKET_READ,
    )


class Publisher:
    """Publishes chunks as Celery messages. One for each thread that publishes: a connection of its own."""

    def __init__(self, app: Celery, keyring: Keyring) -> None:
        self._app = app
        self._keyring = keyring

    def close(self) -> None:
        """Close the connections that were used."""
        self._app.close()

    def publish(
        self,
        chunks: Sequence[tuple[Chunk, bytes | memoryview]],
        *,
        queue: str,
        shadow: str | None = None,
        delay_seconds: float = 0.0,
    ) -> None:
        """Send chunks with their inline payloads in one round trip. Raises redis-py's errors when it fails.

        Which of the chunks have arrived is then unknown; sending them again is safe, outcomes are deduplicated.
        """
        try:
            self._publish(chunks, queue, shadow, delay_seconds)
        except BatchPublishError as exc:
            raise exc.__cause__ or exc from None  # why is what decides whether it is tried again

    def _publish(
        self, chunks: Sequence[tuple[Chunk, bytes | memoryview]], queue: str, shadow: str | None, delay_seconds: float
    ) -> None:
        eta = datetime.now(UTC) + timedelta(seconds=delay_seconds) if delay_seconds > 0 else None
        with self._app.producer_pool.acquire(block=True) as producer, producer.batch():
            for chunk, payload in chunks:
                message = self._app.amqp.as_task_v2(
                    chunk.id,
                    chunk.task,
                    argsrepr=chunk.describe(),
                    kwargsrepr="",
                    shadow=shadow,
                    eta=eta,
                    retries=chunk.attempt - 1,
                    ignore_result=True,
                )
                producer.publish(
                    seal_chunk(self._keyring, chunk, payload),
                    exchange="",
                    routing_key=queue,
                    content_type=CONTENT_TYPE,
                    content_encoding="binary",
                    headers=message.headers,
                    **message.properties,
                )
