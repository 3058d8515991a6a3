"""What one worker process knows: its settings, keys, connection and caches. One for each worker's application.

Celery gives its application to tasks, bootsteps and backends, and kombu a connection to channels: from either one comes
to the context by `worker_context`.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

from kombu import Connection

from manycore.errors import (
    FunctionsNotAllowed,
    MessageRefused,
    NotUnpicklable,
    PackagesFailed,
    VersionMismatch,
)
from manycore.protocol import keys, signing
from manycore.protocol.app import OurAMQP, OurCelery
from manycore.protocol.archive import open_archive
from manycore.protocol.broker import connect
from manycore.protocol.clock import ServerClock
from manycore.protocol.line import Line
from manycore.protocol.message import Chunk
from manycore.protocol.pickling import reason_of
from manycore.protocol.publisher import Publisher
from manycore.protocol.python import here, shown
from manycore.protocol.settings import Settings
from manycore.protocol.signing import Keyring
from manycore.protocol.store import Store
from manycore.worker.blackbox import BlackBox
from manycore.worker.code import CodeStore, Imports
from manycore.worker.folder import RunFolder
from manycore.worker.functions import Function, FunctionCache
from manycore.worker.noticeboard import Noticeboard
from manycore.worker.objects import WorkerObjects
from manycore.worker.outage import outlast
from manycore.worker.packages import PackageStore, packages_folder
from manycore.worker.states import Setup, States


class WorkerConnection(Connection):
    """A connection that knows whose it is, as do its copies: each application has a class of its own."""

    app: WorkerApp


class WorkerAMQP(OurAMQP):
    """Makes connections of the application."""

    def __init__(self, app: WorkerApp) -> None:
        super().__init__(app)
        self.Connection = type(WorkerConnection.__name__, (WorkerConnection,), {"app": app})

    @cached_property
    def send_task_message(self) -> Callable[..., Any]:
        """Callbacks and retries wait for a server that takes nothing now."""
        send, app = super().send_task_message, self.app
        return lambda *args, **options: outlast(worker_context(app), lambda: send(*args, **options))


class WorkerApp(OurCelery):
    """The Celery application of a worker."""

    amqp_cls = WorkerAMQP
    context: WorkerContext

    @cached_property
    def Worker(self) -> Any:  # noqa: N802
        return self.subclass_with_self("manycore.worker.parent.hangup:Worker")


def worker_context(app: Any) -> WorkerContext:
    """The context of a worker's application, which Celery hands on without its type."""
    context: WorkerContext = app.context
    return context


class WorkerContext:
    """Connections and files are opened at first use, in the process that uses them: after the fork, never before."""

    def __init__(self, app: WorkerApp, settings: Settings, keyring: Keyring) -> None:
        self.app = app
        self.settings = settings
        self.keyring = keyring
        self.run_folder = RunFolder(settings.run_folder, keyring.ids[0])
        self.folder = self.run_folder.path
        # Empty until a child, whose own they are, runs something.
        self.imports = Imports(CodeStore(self.folder / "code"), self._forget, PackageStore(packages_folder(settings)))
        self.states = States()
        self.objects = WorkerObjects(settings, keyring, lambda: self.redis)
        self._functions = FunctionCache()
        self._loading = threading.Lock()
        self._local = threading.local()
        self.counts: Counter[str] = Counter()
        """What the parent has counted since it began, for metrics: its heartbeat tells."""
        self.reruns: dict[tuple[str, str], tuple[str, Any]] = {}
        """The new batch of each request to run again what failed of one, and what comes of it."""
        self.owed: dict[str, Callable[[], None]] = {}
        """By the tag of its delivery, the end of one that the server has refused to be told of."""
        self.swept_at: float | None = None
        """When the parent last looked for leases that are over, by the server's clock."""
        self.sweeps_from = 0.0
        """Until then it does not look."""
        self.slots = 1
        """Of this worker: how many chunks it runs at a time."""
        self.is_private = False
        """Whether it is a local cluster's: its client has the same packages, there is nothing to compare."""
        self.noticeboard = Noticeboard()
        self.runs_items = False
        """Whether this process runs items and calls: a child does, and a worker of threads."""

    def begin_items(self, **_: Any) -> None:
        """Say that this process runs items from now on; takes what Celery's signals tell."""
        self.runs_items = True
        self.objects.begin()

    @cached_property
    def redis(self) -> Store:
        return connect(self.settings)

    @cached_property
    def clock(self) -> ServerClock:
        return ServerClock(self.redis)

    @cached_property
    def publisher(self) -> Publisher:
        return Publisher(self.redis, self.keyring)

    @property
    def box(self) -> BlackBox:
        """The box of this thread."""
        if not hasattr(self._local, "box"):
            self._local.box = BlackBox(self.folder)
        box: BlackBox = self._local.box
        return box

    @property
    def line(self) -> Line:
        """The line of this thread to the server."""
        if not hasattr(self._local, "line"):
            self._local.line = Line(self.redis)
        line: Line = self._local.line
        return line

    @cached_property
    def name(self) -> str:
        """What outcomes call this process: `<host>/<pid>`."""
        return f"{os.uname().nodename}/{os.getpid()}"

    def importing(self, chunk: Chunk) -> AbstractContextManager[None]:
        """Import what the chunk asks for meanwhile. Raises what fetching it does, or `PackagesFailed`."""
        if chunk.packages and not self.settings.allow_packages:
            why = "its workers install none; MANYCORE_ALLOW_PACKAGES=1 lets them"
            raise PackagesFailed(" ".join(chunk.packages), os.uname().nodename, why)
        if chunk.function is None and chunk.world is None:
            self.imports.own()
            return nullcontext()
        return self.imports.of(chunk.code, lambda: self._fetch_code(chunk.code or ""), chunk.packages)

    def _fetch_code(self, digest: str) -> dict[str, bytes]:
        """Raises `MessageRefused`, `FunctionsNotAllowed`, or redis-py's errors."""
        if not self.settings.allow_functions:
            raise FunctionsNotAllowed("a function of the client's own modules")
        sealed: Any = self.redis.get(keys.reference(digest))
        if sealed is None:
            raise MessageRefused(f"its archive of code {digest} is no longer in Redis (MANYCORE_BATCH_TTL_SECONDS)")
        return open_archive(self.keyring, sealed, digest)

    def _forget(self, world: str) -> list[object]:
        """Drop what was built from modules which are dropped; gives it, to end later."""
        with self._loading:
            functions = self._functions.forget(world)
        return [*functions, *self.states.forget(world)]

    def cached(self, digest: str | None) -> Function | None:
        """The shipped function of this digest if it is here already; no function at all for None."""
        if digest is None:
            return Function(None, {})
        with self._loading:
            return self._functions.get(digest)

    def function(self, digest: str, sealed: bytes | None, world: str | None = None) -> Function:
        """The shipped function of this digest, from its sealed form and the modules of its `world`; threads share it.

        Raises `MessageRefused`, `FunctionsNotAllowed`, `VersionMismatch`, or `NotUnpicklable`.
        """
        gone: list[Function] = []  # they end outside the lock: a destructor is foreign code
        with self._loading:
            function = self._functions.get(digest)
            if function is None:
                function = self._load(digest, sealed, world)
                gone = self._functions.add(digest, function, len(sealed or b""), world)
        del gone
        return function

    def _load(self, digest: str, sealed: bytes | None, world: str | None) -> Function:
        if sealed is None:
            raise MessageRefused(f"its function {digest} is no longer in Redis (MANYCORE_BATCH_TTL_SECONDS)")
        head, blob = self.keyring.open(signing.FUNCTION, sealed)
        if head["digest"] != digest:
            raise MessageRefused(f"its function is {head['digest']}, the message names {digest}")
        if head["setup"] and not self.settings.allow_functions:
            raise FunctionsNotAllowed("an initializer")
        try:
            function, kwargs, *setup = pickle.loads(blob)
        except VersionMismatch:
            raise
        except BaseException as exc:  # importing a user's module may raise anything, and leave by sys.exit()
            where = f"worker {self.name} ({shown(here())})"
            raise NotUnpicklable(f"The function {head['name']}", where, reason_of(exc)) from exc
        if function is not None and not self.settings.allow_functions:
            raise FunctionsNotAllowed(head["name"])
        made = Setup(head["setup"], setup[0], setup[1], world) if setup else None
        return Function(function, {}, made, kwargs) if type(kwargs) is bytes else Function(function, kwargs, made)
