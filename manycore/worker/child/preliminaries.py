"""What comes before the items of a chunk, each step under a note of its own: if it kills its process, it is to blame.

Two steps run foreign code: the function is rebuilt (`FUNCTION`), and its initializer runs (`SETUP`). Their deaths are
counted as an item's are, so they come to an end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass

from redis import RedisError

from manycore.protocol.message import Chunk
from manycore.worker import strikes
from manycore.worker.blackbox import SETUP, step_field
from manycore.worker.child.claims import Claims
from manycore.worker.child.suspects import WAIT_SECONDS, alone
from manycore.worker.context import WorkerContext
from manycore.worker.strikes import Strike


@dataclass(frozen=True, slots=True)
class Preliminaries:
    """Of one chunk. When it is `careful`, they are claimed in Redis as well: the death of a whole worker names them."""

    context: WorkerContext
    chunk: Chunk
    strikes: dict[bytes, bytes]
    claims: Claims
    careful: bool

    def strike(self, step: int) -> Strike | None:
        """The deaths of this step."""
        return strikes.of_step(self.strikes, step, self.chunk.function or "")

    @contextmanager
    def noted(self, step: int) -> Iterator[None]:
        """Blame a death meanwhile on this step.

        An initializer is always claimed in Redis: on a worker of threads each chunk of its batch could be the first to
        run it, and none a suspect. But it waits for no other suspect: the processes of a worker run it side by side.
        """
        with self._claimed(step) if self.careful or step == SETUP else nullcontext():
            self.context.box.note[0] = step
            try:
                yield
            finally:
                self.context.box.end()

    @contextmanager
    def _claimed(self, step: int) -> Iterator[None]:
        """One of them at a time in a worker: its death is one."""
        subject = step_field(step, self.chunk.function or "")
        with alone(self.context.box.folder, 0.0 if step == SETUP else WAIT_SECONDS) as chosen:
            if chosen:
                self.claims.take_step(subject)
            try:
                yield
            finally:
                if chosen:
                    with suppress(RedisError):  # it counts as a death then, if the chunk comes again
                        self.claims.end_step(subject)
