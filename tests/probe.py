"""What tests look at inside a client, in one place: no other test file knows how a `Cluster` is made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from manycore import Cluster
from manycore.client.housekeeper import Housekeeper
from manycore.local.cluster import LocalCluster
from manycore.protocol.archive import Archive
from manycore.protocol.audit import Auditor
from manycore.protocol.parcel import Program
from manycore.protocol.roster import Worker, live_workers
from manycore.worker.parent.watchman import Watchman


class Probe:
    """Looks into one cluster's client."""

    def __init__(self, cluster: Cluster) -> None:
        self._session = cluster._session

    @property
    def redis(self) -> redis.Redis:
        """The client's own connection."""
        return self._session.redis

    @property
    def address(self) -> str | None:
        return self._session.settings.url

    @property
    def local(self) -> LocalCluster:
        """The private cluster behind it."""
        local = self._session.local
        assert local is not None, "this cluster is at an address"
        return local

    @property
    def submit_stream(self) -> str:
        """The key of the outcome stream of what was submitted."""
        lane = self._session.submits.lane
        assert lane is not None, "nothing was submitted"
        return f"mc:{lane.id}:out"

    @property
    def open_lanes(self) -> set[str]:
        """What a shutdown would wait for."""
        return {lane.id for lane in self._session.lanes()}

    @property
    def auditor(self) -> Auditor:
        """What looks for lost items."""
        return self._session.housekeeper._lookout._auditor

    @property
    def housekeeper(self) -> Housekeeper:
        """What looks after the rest, one duty after the other."""
        return self._session.housekeeper

    @property
    def refused_outcomes(self) -> int:
        return self._session.stream.refused

    @property
    def threads(self) -> set[int | None]:
        """The client's own threads, by identifier."""
        return {owner._thread.ident for owner in self._owners}

    @property
    def threads_live(self) -> bool:
        return all(owner.alive for owner in self._owners)

    @property
    def threads_ended(self) -> bool:
        return not any(owner.alive for owner in self._owners)

    @property
    def _owners(self) -> tuple[Any, ...]:
        session = self._session
        return session.dispatcher, session.reader, session.housekeeper

    @property
    def draining(self) -> set[str]:
        """The batches whose last message is looked for."""
        return set(self._session._tidier._draining)

    def free_objects(self) -> None:
        """Free now what nobody refers to."""
        self._session.objects.tidy()

    def another_client(self) -> Cluster:
        """One more client of the same local cluster, as another program would be."""
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("MANYCORE_KEY_FILE", str(self.local.key_file))
            return Cluster(self.address)

    def workers(self) -> list[Worker]:
        """The live workers as the client finds them now."""
        return live_workers(self.redis)

    def program(self, function: Callable[..., Any], kwargs: dict[str, Any] | None = None) -> Program:
        """How the client would send a function."""
        return self._session.shipper.program(function, kwargs)

    def watchman(self) -> Watchman:
        """Looks after detached batches as a worker does, whenever it is told to."""
        session = self._session
        known = {"keyring": session._keyring, "publisher": session._publisher}
        context: Any = SimpleNamespace(redis=session.redis, settings=session.settings, **known)
        return Watchman(context, "probe")

    @contextmanager
    def busy_housekeeper(self) -> Iterator[None]:
        """The housekeeper does nothing, until somebody waits for it."""
        keeper, asked = self._session.housekeeper, threading.Event()
        caught_up = keeper.caught_up
        keeper.later(asked.wait)
        with pytest.MonkeyPatch.context() as patch:

            def ask() -> bool:
                asked.set()
                return caught_up()

            patch.setattr(keeper, "caught_up", ask)
            yield

    @contextmanager
    def sending_code(self, archive: Archive) -> Iterator[None]:
        """Let functions go with this archive, whatever it is, instead of that of the modules that they need."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self._session.shipper._code, "current", lambda **_: archive)
            yield

    def stop_sending_and_reading(self) -> None:
        """As after a crash: nothing more is sent, and no stream is read."""
        self._session.dispatcher.close()
        self._session.reader.close()

    def close_now(self) -> None:
        """Give up whatever is out: some tests leave work that no worker is there for."""
        self._session.close()
