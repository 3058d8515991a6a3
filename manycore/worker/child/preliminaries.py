"""What comes before the items of a chunk, each step under a note of its own: if it kills its process, it is to blame.

Two steps run foreign code: the function is rebuilt (`FUNCTION`), and its initializer runs (`SETUP`). Their deaths are
counted as an item's are, so they come to an end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from redis import RedisError

from manycore.protocol import keys
from manycore.protocol.message import Chunk
from manycore.protocol.resume import Resume
from manycore.worker import strikes
from manycore.worker.blackbox import SETUP, Reading
from manycore.worker.child.suspects import WAIT_SECONDS, alone
from manycore.worker.context import WorkerContext
from manycore.worker.strikes import Strike

UNSEEN = "its whole worker died with it"


@dataclass(frozen=True, slots=True)
class Preliminaries:
    """Of one chunk. When it is `careful`, they are noted in Redis as well: the death of a whole worker names them."""

    context: WorkerContext
    chunk: Chunk
    strikes: dict[bytes, bytes]
    resume: Resume | None
    careful: bool

    def strike(self, step: int) -> Strike | None:
        """The deaths of this step; one that only the resume point tells of is counted now."""
        if self.resume is None or self.resume.running != step:
            return strikes.of_step(self.strikes, step, self.chunk.function or "")
        first_noted = step == SETUP  # the other step, only when the chunk had come again
        function, items = self.chunk.function or "", items_of(self.chunk)
        reading = Reading(self.chunk.id, step, items, suspect=not first_noted, function=function)
        return strikes.record(self.context.redis, reading, UNSEEN, self.context.settings.batch_ttl_seconds)

    @contextmanager
    def noted(self, step: int) -> Iterator[None]:
        """Blame a death meanwhile on this step.

        An initializer is always noted in Redis: on a worker of threads each chunk of its batch could be the first to
        run it, and none a suspect. But it waits for no other suspect: the processes of a worker run it side by side.
        """
        if not (self.careful or step == SETUP):
            with self._in_the_box(step):
                yield
            return
        wait_seconds = 0.0 if step == SETUP else WAIT_SECONDS
        with alone(self.context.box.folder, wait_seconds) as chosen, self._in_the_box(step):
            if chosen:
                self._write(step)
            yield
            if chosen:
                with suppress(RedisError):  # the first report says it too
                    self._write(None)

    @contextmanager
    def _in_the_box(self, step: int) -> Iterator[None]:
        self.context.box.note[0] = step
        try:
            yield
        finally:
            self.context.box.end()

    def _write(self, step: int | None) -> None:
        key, chunk = keys.resume(self.chunk.batch), self.chunk
        pipe = self.context.redis.pipeline(transaction=False)
        pipe.hset(key, chunk.id, str(Resume(chunk.start, chunk.stop, step)))
        pipe.expire(key, self.context.settings.batch_ttl_seconds)
        pipe.execute()


def items_of(chunk: Chunk) -> range:
    """The items of a chunk, by index."""
    return range(chunk.index(chunk.start), chunk.index(chunk.stop - 1) + 1)
