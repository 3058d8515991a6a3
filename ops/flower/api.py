"""`/api/batches`: batches as JSON, behind Flower's own password. What changes something is refused when read-only."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from tornado.ioloop import IOLoop
from tornado.web import HTTPError, authenticated

from manycore.protocol.broker import AWAY
from ops.flower.board import Board, Wish
from ops.flower.inside import BaseApiHandler
from ops.flower.queues import Queues

T = TypeVar("T")
ENTRY = re.compile(r"(\d{1,20}-\d{1,20})?", re.ASCII)
CUSTOM_HEADER = "X-Requested-With"
"""A form of another site cannot send it, and a script of another site is asked for leave first, which nobody gives."""


class OurHandler(BaseApiHandler):
    """What every path of ours has: questions are asked on a thread of the pool, changes only from pages of our own."""

    async def ask(self, question: Callable[[], T]) -> T:
        """The answer; 503 while the server is away."""
        try:
            return await IOLoop.current().run_in_executor(None, question)
        except AWAY as exc:
            raise HTTPError(503, f"Redis does not answer: {exc}") from exc

    def check_may_change(self) -> None:
        """Raise 403 unless this Flower may change something, and the request comes from a page of its own."""
        if self.application.options.read_only:
            raise HTTPError(403, "Read only mode is enabled (MANYCORE_FLOWER_READ_ONLY=0 ends it)")
        if not self.request.headers.get(CUSTOM_HEADER):
            raise HTTPError(403, f"The header {CUSTOM_HEADER} is missing: it shows that no other site asks")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if status_code == 401:  # else a browser that knows the password for a page does not send it to the API
            self.set_header("WWW-Authenticate", 'Basic realm="flower"')
        super().write_error(status_code, **kwargs)

    def number(self, name: str, default: int) -> int:
        found: int = self.get_argument(name, str(default), type=int)
        if found < 0:
            raise HTTPError(400, f"{name} must not be negative")
        return found


class BoardHandler(OurHandler):
    def initialize(self, board: Board, queues: Queues) -> None:
        self.board = board
        self.queues = queues


class ListBatches(BoardHandler):
    """`GET /api/batches?search=&state=&sort=started&order=desc&start=0&length=50`"""

    @authenticated
    async def get(self) -> None:
        wish = Wish(
            search=self.get_argument("search", "", escape=False),
            state=self.get_argument("state", ""),
            sort=self.get_argument("sort", "started"),
            descending=self.get_argument("order", "desc") != "asc",
            start=self.number("start", 0),
            length=self.number("length", 50),
        )
        self.write(await self.ask(lambda: self.board.page(wish)))


class ShowBatch(BoardHandler):
    """`GET /api/batches/ID`"""

    @authenticated
    async def get(self, batch: str) -> None:
        found: dict[str, Any] | None = await self.ask(lambda: self.board.batch(batch))
        if found is None:
            raise HTTPError(404, f"Nothing is known of a batch {batch}")
        self.write(found)


class ShowLog(BoardHandler):
    """`GET /api/batches/ID/log?after=ENTRY`: what its items print and log; `last` of the answer is the next `after`."""

    @authenticated
    async def get(self, batch: str) -> None:
        after: str = self.get_argument("after", "")
        if not ENTRY.fullmatch(after):
            raise HTTPError(400, "after must be the `last` of an earlier answer")
        self.write(await self.ask(lambda: self.board.log(batch, after)))


class CancelBatch(BoardHandler):
    """`POST /api/batches/ID/cancel?terminate=1`"""

    @authenticated
    async def post(self, batch: str) -> None:
        self.check_may_change()
        terminate: bool = self.get_argument("terminate", "0", type=bool)
        if not await self.ask(lambda: self.board.cancel(batch, terminate=terminate)):
            raise HTTPError(409, f"The batch {batch} has ended, or nothing is known of it")
        self.write({"message": f"{batch} is being cancelled"})


class ListWorkers(BoardHandler):
    """`GET /api/slots`: what the slots of each worker do."""

    @authenticated
    async def get(self) -> None:
        self.write(await self.ask(self.board.workers))


class ListQueues(BoardHandler):
    """`GET /api/queues`: what waits in each fleet's queue, for how long, and who takes it."""

    @authenticated
    async def get(self) -> None:
        names = self.get_active_queue_names()
        self.write(await self.ask(lambda: {"queues": self.queues.rows(names)}))
