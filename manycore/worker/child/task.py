"""The task class of every task on our workers: runs a chunk of items, or a plain Celery call."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from time import time
from typing import Any

from celery import Task
from celery.exceptions import Reject

from manycore.errors import ConnectionFailed, ManycoreError, MessageRefused
from manycore.protocol.calls import PlainCall
from manycore.protocol.failure import class_name
from manycore.protocol.message import Chunk
from manycore.protocol.resume import new_run
from manycore.protocol.serializer import Delivery
from manycore.worker.child import copies
from manycore.worker.child.capture import Capture
from manycore.worker.child.courier import Courier
from manycore.worker.child.ears import ears
from manycore.worker.child.intake import prepare
from manycore.worker.child.limits import rest
from manycore.worker.child.plain import PlainTurn, excepting
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.spans import chunk_span
from manycore.worker.child.staying import Stay
from manycore.worker.child.turn import Call as Turn
from manycore.worker.child.turn import NotBegun
from manycore.worker.context import WorkerContext, worker_context
from manycore.worker.followed import Call, Notes
from manycore.worker.summary import OPEN, REFUSED, Summary

_local = threading.local()
"""One courier for each thread that runs items: a prefork child has one, a worker of threads several."""
_RECURSION_LIMIT = sys.getrecursionlimit()


class ManycoreTask(Task):
    """Acknowledged when all is delivered; requeued when its process dies, with its strikes counted."""

    abstract = True
    Request = "manycore.worker.parent.request:ChunkRequest"
    Strategy = "manycore.worker.parent.strategy:signed_only"
    acks_late = True
    reject_on_worker_lost = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        context = worker_context(self.app)
        if args and isinstance(args[0], Delivery):
            return excepting(lambda: self._run_chunk(context, args[0]))
        if args and isinstance(args[0], PlainCall):
            return PlainTurn(self, args[0])()
        return excepting(
            lambda: self.run(*args, **kwargs)
        )  # as a function: Celery does, after a failure (`link_error`)

    def _run_chunk(self, context: WorkerContext, delivery: Delivery) -> Summary:
        """Run the chunk, and the calls that are handed to this slot after it."""
        first, request = delivery.chunk, self.request  # once: Celery looks for it anew each time
        _raise_recursion_limit()
        self._check_headers(first, request.id)
        delivered = request.delivery_info or {}
        queue = delivered.get("routing_key") or context.app.conf.task_default_queue
        stay = Stay(context, first, (request.properties or {}).get("delivery_tag") or "", queue)
        repeated = bool(delivered.get("redelivered")) or bool(first.suspect)
        notes, began = Notes(context.folder, first.id), time()
        try:
            courier = Courier.for_thread(_local, context)
            summary, fate = self._run_one(context, courier, delivery, stay, repeated=repeated)
            seconds = time() - began
            while (handed := stay.next(fate, courier.riding_out)) is not None:
                if delivery.chunk is first:  # before the next one, which may take this process along
                    notes.add(Call(first.id, first.describe(), began, seconds, summary))
                began, (token, delivery) = time(), handed
                text, fate = self._run_one(context, courier, delivery, stay, token)
                chunk = delivery.chunk
                notes.add(Call(chunk.id, chunk.describe(), began, time() - began, text))
        except BaseException as exc:  # a signal's handler may raise here, too
            if not stay.was_asked or isinstance(exc, Reject):
                raise
            raise Reject(class_name(exc), requeue=True) from exc  # whatever the delivery is of by now comes again
        return Summary.of(summary, acknowledged=fate != OPEN or stay.has_left)

    def _run_one(
        self,
        context: WorkerContext,
        courier: Courier,
        delivery: Delivery,
        stay: Stay,
        begun: str = "",
        *,
        repeated: bool = False,
    ) -> tuple[str, int]:
        """Run a chunk, of which the run `begun` has begun, if any has. Says what it came to, and what became of its
        delivery."""
        chunk, queue, shadow = delivery.chunk, stay.queue, self.request.shadow
        token = begun or new_run(chunk)
        capture = Capture(chunk, context.box.note, token, context.settings.capture_item_bytes)
        with ears.given_to(capture), chunk_span(chunk, shadow or self.name), ExitStack() as world:
            world.callback(context.box.close)
            try:
                courier.riding_out(lambda: world.enter_context(context.importing(chunk)))
                run, turn = courier.riding_out(
                    lambda: prepare(
                        context, delivery, self.run, world, token=token, queue=queue, shadow=shadow, begun=bool(begun)
                    )
                )
            except ConnectionFailed as exc:
                raise Reject(exc, requeue=True) from exc  # a server that is away is no outcome of any item
            except ManycoreError as exc:
                return self._refuse(courier, chunk, exc, capture), OPEN
            run.capture = capture
            run.stay = stay if stay.tag else None
            run.repeated = repeated
            world.callback(context.objects.let_go)
            self._execute(context, courier, run, turn)
        _raise_recursion_limit()
        return run.summary(), run.fate

    def _execute(self, context: WorkerContext, courier: Courier, run: ChunkRun, turn: Callable[[], Turn]) -> None:
        courier.care_for(run)
        finished = False
        while not finished:
            try:
                finished = self._finish(context, courier, run, turn)
            except (NotBegun, ConnectionFailed) as exc:
                courier.leave()
                # What came of the others has been noted; the outcomes that could not be written are run for again.
                raise Reject(exc, requeue=True) from exc
            except BaseException as exc:
                copies.leave_if_copy(exc)
                rest()
                courier.recover(run, exc)

    def _finish(self, context: WorkerContext, courier: Courier, run: ChunkRun, turn: Callable[[], Turn]) -> bool:
        try:
            run.execute(turn())
        finally:
            context.box.end()
        return courier.finish(run)

    def _refuse(self, courier: Courier, chunk: Chunk, error: ManycoreError, capture: Capture) -> str:
        try:
            courier.fail(chunk, error, capture)
        except ConnectionFailed as exc:
            raise Reject(exc, requeue=True) from exc
        return f"{REFUSED}{error}"

    def _check_headers(self, chunk: Chunk, task_id: str) -> None:
        """Celery's headers are not signed: what they say must be what the chunk says."""
        if (chunk.task, chunk.id) != (self.name, task_id):
            raise MessageRefused(f"it was signed as {chunk.task}[{chunk.id}] and came as {self.name}[{task_id}]")


def _raise_recursion_limit() -> None:
    """An item may have lowered it."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION_LIMIT))
