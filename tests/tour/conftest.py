"""The tour runs on one private cluster of this machine; the last stop has a server and a worker of its own."""

from __future__ import annotations

from tests.integration.conftest import cluster, connect, no_ambient_settings, ranked_locks, server, start_worker

__all__ = ["cluster", "connect", "no_ambient_settings", "ranked_locks", "server", "start_worker"]
