"""What `worker.transport` overrides in kombu is private: a changed text there has to be looked at here."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from ssl import CERT_REQUIRED
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kombu import Connection
from kombu.transport import redis, virtual
from redis import ConnectionPool, Redis, SSLConnection

from manycore.protocol import channel as clients
from manycore.protocol import serializer
from manycore.protocol.address import Address
from manycore.protocol.app import create_app
from manycore.protocol.channel import transport_settings
from manycore.protocol.settings import load_settings
from manycore.protocol.signing import Keyring
from manycore.worker.context import WorkerApp, WorkerContext
from manycore.worker.parent import deliveries, transport

KNOWN = {
    redis.Channel.conn_or_acquire: "d55b22b0764acddd",
    redis.Channel._create_client: "fdbfb281907d1d43",
    redis.Channel._brpop_start: "8903856b30f6c7ea",
    redis.Channel._brpop_read: "7a1eb77d862a2f05",
    redis.Channel._put: "9fb981a42f1c7b50",
    redis.PublishBatch.add: "174e56c285e036e1",
    redis.Channel._receive_one: "6c096791ba386880",
    redis.Channel._deliver_fanout_message: "79cf73de88e11a9c",
    redis.Channel._do_restore_message: "8bafa7da4082fe3c",
    redis.QoS.restore_by_tag: "eb257d2106d671f0",
    redis.QoS.restore_visible: "27676c6924f97d45",
    redis.QoS.restore_unacked: "e641d59956c17544",
    redis.QoS._remove_from_indices: "273c2ae49def14b7",
    redis.QoS.append: "a9011c7d1ab14a82",
    virtual.Message.__init__: "d259a873e88697bc",
    virtual.Channel.basic_consume: "9777ed0381409ddd",
    virtual.Transport._deliver: "502abeebec137ad3",
}


@pytest.mark.parametrize("function", KNOWN, ids=lambda function: function.__qualname__)
def test_kombu_is_as_we_know_it(function: Callable[..., Any]) -> None:
    """A new digest belongs here only once `worker.transport` has been compared with the new text."""
    assert blake2b(inspect.getsource(function).encode(), digest_size=8).hexdigest() == KNOWN[function]


@pytest.mark.parametrize(
    ("url", "kind", "host"),
    [
        ("redis://:pw@example:7000/3", transport.Transport, "example"),
        ("rediss://:pw@example:7000/3", transport.Transport, "example"),
        (
            "unix://:pw@/tmp/a/redis.sock?db=2",
            transport.SocketTransport,
            "socket://:pw@/tmp/a/redis.sock?virtual_host=2",
        ),
    ],
)
def test_each_address_has_its_transport(url: str, kind: type, host: str) -> None:
    chosen = transport_settings(Address.parse(url), transport.__name__)
    connection = Connection(chosen["broker_url"], transport=chosen["broker_transport"])
    assert connection.get_transport_cls() is kind
    assert (connection.hostname, connection.clone().hostname) == (host, host)
    assert connection.clone().get_transport_cls() is kind


def test_tls_is_not_lost_and_is_checked() -> None:
    """kombu speaks TLS when the transport is called `rediss`; ours is not, and without this it would speak plainly."""
    address = Address.parse("rediss://example")
    settings = load_settings(url=address.redis_url)
    app = create_app(settings, transport=transport.__name__, backend=address.backend_url)
    serializer.install(Keyring([b"k" * 16]), max_message_bytes=1_000_000, max_result_bytes=1_000_000)
    connection = app.connection_for_read()
    assert connection.get_transport_cls() is transport.Transport
    channel = transport.Channel.__new__(transport.Channel)
    channel.connection = connection.get_transport_cls()(client=connection)
    asked: dict[str, Any] = channel._connparams()
    assert issubclass(asked["connection_class"], SSLConnection)
    assert asked["ssl_cert_reqs"] == "required"
    assert app.backend.connparams["ssl_cert_reqs"] is CERT_REQUIRED


def test_a_channel_finds_its_worker_by_its_connection() -> None:
    """By a copy of one, too: Celery copies them for remote control."""
    url = "redis://127.0.0.1/0"
    apps = [create_app(load_settings(url=url), kind=WorkerApp) for _ in range(2)]
    for app in apps:
        connection = app.connection_for_read().clone(transport=transport.Transport)
        assert connection.app is app
        assert connection.get_transport_cls()(client=connection).client is connection


def test_a_connection_that_is_gone_does_not_end_the_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As kombu fails when it closes a channel whose connection was closed before (seen in 5.7.0). It is said, and in
    words: each restart of a server would be eighty lines of traceback that end in an AttributeError."""

    def gone(*_: Any) -> None:
        raise AttributeError("'NoneType' object has no attribute 'hostname'")

    monkeypatch.setattr(redis.QoS, "restore_unacked", gone)
    own = object.__new__(deliveries.QoS)
    own._delivered, own._context = OrderedDict(tag="message"), cast(WorkerContext, SimpleNamespace(owed={}))
    own.restore_unacked()
    (record,) = caplog.records
    assert record.getMessage() == "The connection is gone. Deliveries that are restored when their leases end: 1"
    assert record.exc_info is None


def test_a_sweep_waits_a_lease_after_a_time_in_which_nobody_could_renew_and_no_longer() -> None:
    own = object.__new__(deliveries.QoS)
    context = SimpleNamespace(swept_at=None, sweeps_from=0.0)
    own._context, own.channel = cast(WorkerContext, context), SimpleNamespace(visibility_timeout=30.0)

    def waits(*moments: float) -> list[bool]:
        found = []
        for now in moments:
            found.append(own._must_wait(now))
            context.swept_at = now
        return found

    assert waits(100, 105) == [True] * 2, "it has just started"
    assert waits(110, 115, 120, 125, 130, 135) == [False] * 6
    assert waits(150, 155, 160, 165, 170, 175) == [True] * 6, "for 15 s it could not look"
    assert waits(180) == [False]
    assert waits(200, -3_400) == [True, False], "the server's clock was set back"


@pytest.mark.parametrize("transport_too", [True, False])
def test_a_channel_that_was_closed_is_gone(transport_too: bool) -> None:
    """Whichever of its connection, and that one's transport, was closed first."""
    channel = clients.Channel.__new__(clients.Channel)
    channel.connection = None if transport_too else SimpleNamespace(client=None)
    with pytest.raises(clients.ChannelGone), channel.conn_or_acquire():
        pass


def test_a_channel_keeps_its_redis_client_until_its_pool_is_another() -> None:
    """kombu would make one for each command; one of another process's pool would share its sockets."""
    app = create_app(load_settings(url="redis://127.0.0.1:1"))
    channel = clients.Channel.__new__(clients.Channel)
    channel.connection = app.connection_for_write().get_transport_cls()(client=app.connection_for_write())
    channel.Client, channel._pool = Redis, ConnectionPool()
    with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
        assert first is second
    channel._pool = ConnectionPool()
    with channel.conn_or_acquire() as third:
        assert third is not first
