"""Shows what runs and what ran in a delivery after its own call (`child/staying`): each as a task of its own.

Celery knows one task, which goes on. Flower is told of each call that has ended, and of one that takes longer, as soon
as this looks; and such a one can be revoked by its own id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any

import redis
from celery.worker import state

from manycore.protocol import keys
from manycore.protocol.handing import program_of
from manycore.protocol.message import Chunk
from manycore.protocol.script import Script
from manycore.worker import blackbox
from manycore.worker.context import WorkerContext, worker_context
from manycore.worker.followed import Reader, read
from manycore.worker.parent.periodic import PeriodicStep
from manycore.worker.summary import as_it_ended

if TYPE_CHECKING:
    from manycore.worker.parent.request import ChunkRequest

CALL_OFF = Script(__package__, "calloff")
LOOK_SECONDS = 1.0
"""How often it looks for calls that take longer; a row of short ones is over sooner (`LONGEST_SECONDS`)."""


class Followers:
    """Of one request."""

    def __init__(self, request: ChunkRequest, chunk: Chunk) -> None:
        self._request = request
        self._folder = worker_context(request.app).folder
        self._reader = Reader(self._folder, request.id)
        self._program = program_of(chunk, request.delivery_info["routing_key"])
        self._shown = ""

    @property
    def tag(self) -> str:
        """Of the delivery."""
        tag: str = self._request.message.delivery_tag
        return tag

    @property
    def are_some(self) -> bool:
        """Whether others have followed; then the request's own end is told with theirs."""
        return self._reader.has_any

    def look(self) -> None:
        """Tell of what has ended, and of a call that runs now and is not the request's own."""
        self._tell(self._reader.take())
        request = self._request
        reading = blackbox.read(self._folder, request.worker_pid) if request.worker_pid else None
        if reading is None or reading.index < 0 or reading.batch != request.batch:
            return
        if reading.chunk not in (request.id, self._shown):
            self._forget_shown()
            self._shown = reading.chunk
            state.requests[reading.chunk] = request  # who revokes it, ends its process
            begin(request.eventer, request.name, reading.chunk, f"item {reading.index}, batch {reading.batch}", time())

    def call_off(self, pipe: Any) -> None:
        """Queue what wakes its slot, if that stays."""
        batch = self._request.batch
        CALL_OFF.queue_whole(
            pipe,
            [keys.stay(batch, self._program), keys.handed(batch, self.tag)],
            [self.tag, keys.BELL_TTL_SECONDS],
        )

    def end(self) -> None:
        """The delivery has come to its end."""
        if self.are_some:
            self._tell(self._reader.take())
            self._reader.end()
        self._forget_shown()

    def _forget_shown(self) -> None:
        state.requests.pop(self._shown, None)

    def _tell(self, lines: list[bytes]) -> None:
        request = self._request
        steps = [partial(tell, request.name, request.id, self._shown, line) for line in lines]
        deferred = request.eventer and request.eventer.on_send_buffered
        if deferred:
            deferred.later(steps)
            return
        for step in steps:
            step(request.eventer)


def tell(name: str, own: str, shown: str, line: bytes, dispatcher: Any) -> None:
    """Tell of a call that is noted in this line, and count it. Of its delivery's own call (id `own`) Celery has told
    that it began; of the one that was `shown`, we have."""
    call = read(line)
    if call is None:
        return
    if call.id != own:
        state.total_count.update({name: 1})
        state.all_total_count[0] += 1
        if call.id != shown:
            begin(dispatcher, name, call.id, call.shown, call.began)
    kind, how = as_it_ended(call.summary, {"runtime": call.seconds, "timestamp": call.began + call.seconds})
    send(dispatcher, kind, uuid=call.id, **how)


def begin(dispatcher: Any, name: str, uuid: str, shown: str, began: float) -> None:
    """Celery's events of a task that has begun (epoch seconds)."""
    known = {"name": name, "args": shown, "kwargs": "", "root_id": uuid, "retries": 0}
    send(dispatcher, "task-received", uuid=uuid, timestamp=began, **known)
    send(dispatcher, "task-started", uuid=uuid, timestamp=began)


def send(dispatcher: Any, kind: str, **fields: Any) -> None:
    """Send an event, if anybody wants any."""
    if dispatcher and dispatcher.enabled:
        dispatcher.send(kind, **fields)


def _of(requests: Iterable[Any]) -> list[Followers]:
    return [found for request in list(requests) if (found := getattr(request, "followers", None))]


def look_at_all() -> None:
    for followers in _of(state.active_requests):
        followers.look()


def call_off(context: WorkerContext, taken: Sequence[str]) -> None:
    """Let the slots that stay for a call leave at once: no other one is idle by now, for what comes from others. Those
    that have just been `taken` do not stay yet. Of the others some may have come to their end before this parent has
    seen that they began."""
    staying = [each for each in _of(state.reserved_requests) if each.tag not in taken]
    if not staying:
        return
    pipe = context.redis.pipeline(transaction=False)
    for followers in staying:
        followers.call_off(pipe)
    with suppress(redis.RedisError):  # they leave soon in any case
        pipe.execute()


class FollowersStep(PeriodicStep):
    """Looks every `LOOK_SECONDS` while something runs."""

    idle_seconds = 2.0

    def begin(self, consumer: Any) -> tuple[float, Callable[[], object]]:
        return LOOK_SECONDS, look_at_all
