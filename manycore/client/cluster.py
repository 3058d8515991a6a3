"""`Cluster`: a `concurrent.futures.Executor` whose workers are the processes of a whole cluster.

     submit ─┐                                              ┌─▶ Future.set_result
     map ────┼─▶ Lane ─▶ Dispatcher ─▶ Redis ─▶ workers      ├─▶ MapResults (ordered, lazy)
     batch ──┘    ▲                      └─▶ Reader ─▶ Lane ─┴─▶ Batch (gather, as_completed)

Importing this file imports neither Celery nor redis; constructing a `Cluster` does.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from manycore.client.callbacks import CALLBACKS
from manycore.client.checks import check_count, check_options, check_priority, check_url, check_workers
from manycore.client.future import Future
from manycore.client.halt import NEVER, Halt
from manycore.fleet import DEFAULT_QUEUE, check_fleet
from manycore.protocol.retry import DEFAULT_BACKOFF, Backoff, backoff_of

if TYPE_CHECKING:
    from manycore.client.batch import Batch
    from manycore.client.code import Code
    from manycore.client.initializer import Initializer
    from manycore.client.lane import Lane
    from manycore.client.results import MapResults
    from manycore.client.session import Session
    from manycore.local.cluster import LocalCluster
    from manycore.protocol.account import Account
    from manycore.protocol.priority import Priority
    from manycore.protocol.refs import Ref
    from manycore.protocol.settings import Settings

T = TypeVar("T")


class Cluster(Executor):
    """Runs functions on the workers at `url`, or on a private cluster of this machine without one.

    `url` is `redis://`, `rediss://` or `unix://`; it defaults to MANYCORE_URL (or MANYCORE_URL_FILE). Without one, an
    embedded server and `workers` processes (one for each granted CPU) are started, and ended with this object.
    `code` says which of the caller's own modules go along: "auto" (all that are not installed), "off", or a `Code`.
    `initializer(*initargs)` runs once in each worker process before its first item; what it returns,
    `manycore.worker_state()` gives to the items there. If it fails, its batch fails with `InitializerFailed`.
    Functions must be safe to run twice: after a crash an item may run again.

    Raises `ConnectionFailed`, `AuthenticationFailed`, `SigningKeyMissing`, `SigningKeyMismatch`, `SettingsError`,
    `LocalClusterFailed`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        workers: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        code: Code | str = "auto",
    ) -> None:
        from manycore.client.code import Code
        from manycore.client.initializer import Initializer

        check_url(url)
        self._session = _connect(url, check_workers(workers), Code.of(code), Initializer.of(initializer, initargs))
        weakref.finalize(self, self._session.release).atexit = False

    def submit(self, fn: Callable[..., T] | str, /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn(*args, **kwargs)` on a worker; the future can be waited for, awaited, and cancelled until sent.

        `fn` may be the name of a task. What cannot be sent (`NotPicklable`, `PayloadTooLarge`, `FunctionsNotAllowed`,
        `UnknownTask`) is the future's exception. Raises `RuntimeError` after `shutdown`.
        """
        session = self._session
        session.check_open()
        future = session.submits.add(fn, args, kwargs)
        session.dispatcher.wake()
        return future

    def map(
        self,
        fn: Callable[..., T] | str,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
    ) -> MapResults[T]:
        """Apply `fn` to each item, or to the items of several iterables side by side; results come in order.

        Work starts at once. What is in memory is taken as it is now. Any other input is pulled by a thread, in the
        context of this call, only as far ahead as the workers need, and at most `buffersize` items beyond what was
        read. `chunksize` is never needed; given, each message has that many items. Raises `TimeoutError` from the
        iterator when a result is not there `timeout` seconds after this call.
        """
        from manycore.client.inputs import Input
        from manycore.client.results import MapResults, OrderedReading
        from manycore.client.sinks import OrderedInbox
        from manycore.client.spans import watched
        from manycore.protocol.message import ItemOptions

        chunksize, buffersize = check_count("chunksize", chunksize), check_count("buffersize", buffersize)
        deadline = None if timeout is None else monotonic() + timeout
        inbox = OrderedInbox()
        feed = Input.of(*iterables, chunksize=chunksize, buffersize=buffersize)
        session = self._session
        session.check_open()
        program = session.shipper.submitted(fn)
        name = session.reader.new_id("map")
        sink, trace = watched(inbox, program.name, name)
        options = ItemOptions("item" if len(iterables) == 1 else "star", trace=trace)

        def give(lane: Lane) -> MapResults[T]:
            reading = OrderedReading(
                lane,
                inbox,
                cancel=lambda: self._session.batches.cancel(lane),  # by `self`: whoever reads holds the cluster
                wake=lambda: session.more_room(lane),
                deadline=deadline,
                wake_each=buffersize is not None,
                check_owner=session.check_owner,
            )
            return MapResults(reading, later=session.housekeeper.later)

        return session.batches.start(name, feed, program, options, sink, halt=NEVER, ordered=True, give=give)

    def batch(
        self,
        fn: Callable[..., Any] | str,
        items: Iterable[Any],
        *,
        id: str | None = None,
        star: bool = False,
        kwargs: dict[str, Any] | None = None,
        retries: int = 0,
        backoff: Backoff | float = DEFAULT_BACKOFF,
        timeout: float | None = None,
        fleet: str | None = None,
        halt: str = "never",
        priority: Priority = "normal",
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        packages: Iterable[str] = (),
        progress: bool = False,
        on_change: Literal["refuse", "accept"] = "refuse",
    ) -> Batch:
        """Run `fn` on each item, to be gathered as a whole or as it completes.

        `star` unpacks each item into arguments, `kwargs` go with every call. A failed item is tried `retries` times
        more, each after its `backoff` (a `Backoff`, or its first wait in seconds). `timeout` bounds each item's run,
        in seconds, without the fetching of large objects (of threads, in C code once that returns). `fleet` names its
        workers; a local cluster has but one.
        `halt` ends it early: `"soon,fail=10%"` after what runs, `"now,fail=3"` at once: that runs on, for nothing.
        `priority="low"`: others first.
        `initializer` and `initargs` take the place of the cluster's. `packages` (`["polars==1.*"]`) are installed for
        it once a host, if workers allow it (MANYCORE_ALLOW_PACKAGES=1); if they cannot be, it fails with
        `PackagesFailed`. `progress` shows a bar while it is gathered.

        `id` names the batch (letters, digits, `_`, `:`, `-`), which lets it outlive this process: the same call with
        the same id, after any crash, runs only what is missing, and `attach` gathers it elsewhere. With another
        function, arguments or input (a generator's is not known) it raises `BatchChanged` unless `on_change="accept"`.

        Raises `SettingsError` for an option that cannot work, and at once what `submit` says of the function.
        """
        from manycore.client.batch import Batch as BatchClass
        from manycore.client.initializer import Initializer
        from manycore.client.inputs import Input
        from manycore.client.sinks import Inbox
        from manycore.client.spans import watched
        from manycore.protocol.message import ItemOptions
        from manycore.protocol.packing import name_of
        from manycore.protocol.record import Identity
        from manycore.protocol.requirements import requirements_of

        id, retries, timeout, kwargs = check_options(id, retries, timeout, kwargs, on_change)
        fleet, priority = None if fleet is None else check_fleet(fleet), check_priority(priority)
        inbox, feed, limit, pauses = Inbox(), Input.of(items), Halt.parse(halt), backoff_of(backoff)
        session = self._session
        batch_id = id or session.reader.new_id("batch")
        session.check_open()
        setup, added = Initializer.of(initializer, initargs) or session.initializer, requirements_of(packages)
        # What cannot be sent leaves an earlier run's record alone.
        program = session.shipper.program(fn, kwargs, fleet=fleet, initializer=setup, packages=added)
        record, resumed = None, False
        if id is not None:  # written down before its first item leaves
            called = (setup.function, setup.args) if setup else None
            identity = Identity.of(fn, kwargs, feed.items, feed.length, star=star, initializer=called, packages=added)
            record = session.batches.record(id)
            resumed = session.batches.begin(record, identity, accept_changes=on_change == "accept")
        sink, trace = watched(inbox, program.name, batch_id)
        options = ItemOptions("star" if star else "item", retries, pauses, timeout, trace, priority)

        def give(lane: Lane) -> Batch:
            return BatchClass(lane, inbox, name_of(fn), session.batches, session.check_owner, show_progress=progress)

        return session.batches.start(
            batch_id,
            feed,
            program,
            options,
            sink,
            halt=limit,
            ordered=False,
            record=record,
            resumed=resumed,
            give=give,
        )

    def attach(self, batch_id: str, *, progress: bool = False) -> Batch:
        """The batch of this id, begun by any client, alive or not: gather it, watch it, cancel it from here.

        Raises `UnknownBatch`, or `BatchIncomplete` if its client has not sent all of its items.
        """
        from manycore.client.batch import Batch as BatchClass
        from manycore.client.sinks import Inbox

        session = self._session
        session.check_open()
        lane, name = session.batches.attach(batch_id, inbox := Inbox())
        return BatchClass(lane, inbox, name, session.batches, session.check_owner, show_progress=progress)

    def batches(self, limit: int = 1_000) -> list[Account]:
        """What is known of the batches of this cluster, the newest first: begun by any client, alive or not.

        Named ones stay listed as long as their outcomes, others for an hour. Raises `ConnectionFailed`.
        """
        return self._session.batches.accounts(limit)

    def put(self, obj: T) -> Ref[T]:
        """Send an object once: the `Ref` may be an argument of any number of items. Waits for room.

        Raises `ObjectStoreFull`, `ServerFull`, `NotPicklable`, `VersionMismatch`, `RuntimeError` after `shutdown`."""
        return self._session.put(obj)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; with `wait`, return when what is out is done and a local cluster has ended.

        With `wait`, the callbacks of futures have run too; called from one of them, it does not wait for those.
        `cancel_futures` gives up what has not been sent, and the rest of every `map` and `batch`. Ctrl-C while
        waiting gives up everything and ends at once.
        """
        with CALLBACKS.until_interrupted():
            self._session.begin_close(cancel=cancel_futures)
            if wait:
                self._session.drain()
                CALLBACKS.drained()
            else:
                self._session.drain_in_background()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shut down and wait; after Ctrl-C, give up what is out instead of waiting for it."""
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            self.shutdown(wait=True)
            return
        CALLBACKS.given_up = True
        with CALLBACKS.until_interrupted():
            self._session.close()

    @property
    def _max_workers(self) -> int:
        """How many calls run at a time: of this name in the standard library's pools, where Dask and others read it."""
        return self._session.roster.slots(DEFAULT_QUEUE)

    def __repr__(self) -> str:
        return f"<Cluster at {self._session.place}>"


def _connect(url: str | None, workers: int | None, code: Code | None, initializer: Initializer | None) -> Session:
    """The session for an address, or for a new local cluster. Heavy imports happen while that one starts."""
    local = None if url else _start_local(workers)
    try:
        from manycore.client import batch, results, spans  # noqa: F401 - or the first call of each would pay for it
        from manycore.client.session import Session
        from manycore.protocol.settings import load_settings

        if local is not None:
            settings: Settings = load_settings(url=local.url, key_file=local.key_file, key=None)
            local.wait_for_server()
        else:
            settings = load_settings(url=url)
        return Session(settings, local, code, initializer)
    except BaseException:
        if local is not None:
            local.stop()
        raise


def _start_local(workers: int | None) -> LocalCluster | None:
    """A local cluster, None if the environment names a server."""
    import os

    if os.environ.get("MANYCORE_URL") or os.environ.get("MANYCORE_URL_FILE"):
        return None
    from manycore.local.cluster import LocalCluster

    return LocalCluster(workers)
