"""An address is read once, strictly; whatever is wrong with it is said without a part of its password."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection
from kombu.transport.redis import Channel

from manycore.errors import SettingsError
from manycore.protocol import serializer
from manycore.protocol.address import Address
from manycore.protocol.app import create_app
from manycore.protocol.settings import load_settings
from manycore.protocol.signing import Keyring

SECRET = "zq#xw"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"redis://:{SECRET}@host", "percent-encoded: %23 for #"),
        ("redis://:zq/xw@host", "raw '#', '/' or '?'"),
        ("redis://:zq?xw@host", "raw '#', '/' or '?'"),
        (f"unix://:{SECRET}@/run/redis.sock", "percent-encoded"),
        ("redis://host:zq", "port in the address is no number"),
        ("redis://host:66000", "port in the address is no number"),
        ("redis://host:0", "port in the address is no number"),
        ("redis:/host", "must begin with redis://"),
        ("host:6379", "must begin with redis://"),
        ("", "is empty"),
        ("  \n", "is empty"),
        ("redis://", "names no host"),
        ("redis://:6379/0", "names no host"),
        ("redis://host/zero", "database in the address must be a number"),
        ("redis://host?db=zero", "database in the address must be a number"),
        ("redis://host/1?db=2", "names two databases"),
        ("redis://host?health_check_interval=30", "unknown option 'health_check_interval'.*Leave it out"),
        ("redis://host?dbs=3", "Did you mean 'db'"),
        ("redis://host?ssl_cert_reqs=none", "needs TLS: write rediss://"),
        ("rediss://host?ssl_cert_reqs=maybe", "ssl_cert_reqs of the address is one of"),
        ("sentinel://host:26379/0", "sentinel:// is not supported"),
        ("redis+sentinel://host:26379/mymaster", "not supported.*no Sentinel"),
        ("redis+cluster://host", "not supported.*no cluster mode"),
        ("unix://run/redis.sock", "absolute path"),
        ("unix:///", "absolute path"),
        ("redis://ho st:6379/0", "a space or a line break"),
        ("redis://::1:6379/0", "in brackets"),
        ("amqp://guest@host//", "must begin with redis://"),
    ],
)
def test_what_is_wrong_is_said_without_a_part_of_the_password(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        load_settings(url=text)
    assert "zq" not in str(caught.value)
    assert "xw" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "database"),
    [
        ("redis://host", 0),
        ("redis://host:7000/3", 3),
        ("redis://host?db=3", 3),
        ("  redis://host/3\n", 3),
        ("redis://[::1]:6379/2", 2),
        ("redis://user:p%23%2F%3F%40%3Bss@host/1", 1),
        ("redis://user:sec@ret:s@host/1", 1),
        ("redis://host/0?username=u&password=s", 0),
        ("unix:///run/redis.sock?db=4", 4),
        ("unix://:pw@/tmp/a%20b%3F%23/redis.sock?db=4", 4),
        ("rediss://host/5", 5),
    ],
)
def test_the_client_and_celery_mean_the_same_server_and_database(text: str, database: int) -> None:
    address = Address.parse(text)
    ours = redis.ConnectionPool.from_url(address.redis_url).connection_kwargs
    serializer.install(Keyring([b"k" * 16]), max_message_bytes=1_000_000, max_result_bytes=1_000_000)
    app = create_app(load_settings(url=text), backend=address.backend_url)
    theirs: dict[str, Any] = _connection_of_kombu(app)
    results: dict[str, Any] = app.backend.connparams
    for found in (ours, theirs, results):
        assert int(found.get("db", 0)) == database
        assert found.get("path") == ours.get("path")
        assert found.get("host") == ours.get("host")
        assert (found.get("password") or None) == (ours.get("password") or None) == address.password
        assert (found.get("username") or None) == address.user


def _connection_of_kombu(app: Celery) -> dict[str, Any]:
    """What kombu's Redis channel would connect to, asked of the channel itself, without connecting."""
    connection = app.connection_for_write()
    channel = Channel.__new__(Channel)
    channel.connection = connection.get_transport_cls()(client=connection)
    found: dict[str, Any] = channel._connparams()
    return found


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_password_of_any_characters_arrives_as_it_is(user: str, password: str) -> None:
    address = Address("host", 6379, None, 0, user, password)
    ours = redis.ConnectionPool.from_url(address.redis_url).connection_kwargs
    theirs = Connection(address.broker_url)
    assert (ours["username"], ours["password"]) == (theirs.userid, theirs.password) == (user, password)
    assert Address.parse(address.redis_url) == address


def test_tls_verifies_unless_the_address_says_otherwise() -> None:
    assert Address.parse("rediss://host").tls == {"ssl_cert_reqs": "required"}
    unchecked = Address.parse("rediss://host?ssl_cert_reqs=CERT_NONE")
    assert unchecked.tls == {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    private = Address.parse("rediss://host?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=false")
    assert private.tls == {"ssl_cert_reqs": "required", "ssl_ca_certs": "/etc/ca.pem", "ssl_check_hostname": False}
    assert redis.ConnectionPool.from_url(private.redis_url).connection_kwargs["ssl_ca_certs"] == "/etc/ca.pem"


def test_an_address_is_a_secret() -> None:
    assert "secret" not in repr(load_settings(url="redis://:secret@host"))
    assert "secret" not in repr(Address.parse("redis://:secret@host"))
