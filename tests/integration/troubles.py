"""What may be the matter with a server, for as long as a block takes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.conftest import Server


@contextmanager
def full(server: Server) -> Iterator[None]:
    """The server has no byte left."""
    server.client().config_set("maxmemory", "1")
    try:
        yield
    finally:
        server.client().config_set("maxmemory", "0")


@contextmanager
def demoted(server: Server) -> Iterator[None]:
    """The server is a replica, as during a failover: it takes no writes, and blocked reads end with an error."""
    server.client().replicaof("127.0.0.1", "1")
    try:
        yield
    finally:
        server.client().replicaof("NO", "ONE")


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


@contextmanager
def without_replicas(server: Server, _folder: Path | None = None) -> Iterator[None]:
    """NOREPLICAS: the server takes writes only with a replica, and has none."""
    server.client().config_set("min-replicas-to-write", "1")
    try:
        yield
    finally:
        server.client().config_set("min-replicas-to-write", "0")
