"""`/api/quarantine`: what was put aside, and its retry; and what failed of a batch, to run again. A worker does it."""

from __future__ import annotations

from typing import Any

from tornado.web import HTTPError, authenticated

from ops.flower.api import OurHandler
from ops.flower.desk import Desk, Unanswered


class DeskHandler(OurHandler):
    def initialize(self, desk: Desk) -> None:
        self.desk = desk

    async def answer(self, command: str, **arguments: Any) -> None:
        """Write a worker's answer: 409 if it cannot be done, 503 while there is nobody to ask."""
        try:
            said = await self.ask(lambda: self.desk.ask(command, **arguments))
        except Unanswered as exc:
            raise HTTPError(503, str(exc)) from exc
        if "error" in said:
            raise HTTPError(409, str(said["error"]))
        self.write(said)


class ListQuarantine(DeskHandler):
    """`GET /api/quarantine?batch=ID`: of one batch; else the newest of all."""

    @authenticated
    async def get(self) -> None:
        await self.answer("quarantine_list", batch=self.get_argument("batch", "", escape=False))


class ShowQuarantined(DeskHandler):
    """`GET /api/quarantine/ID`"""

    @authenticated
    async def get(self, entry: str) -> None:
        await self.answer("quarantine_show", entry=entry)


class ChangeQuarantined(DeskHandler):
    """`POST /api/quarantine/ID/retry` or `/purge`"""

    @authenticated
    async def post(self, entry: str, what: str) -> None:
        self.check_may_change()
        await self.answer(f"quarantine_{what}", entries=[entry])


class RerunBatch(DeskHandler):
    """`POST /api/batches/ID/rerun?request=WORD`: its failed items, as a new batch, of which a word has one."""

    @authenticated
    async def post(self, batch: str) -> None:
        self.check_may_change()
        request = self.get_argument("request", "", escape=False)
        await self.answer("rerun_failed", batch=batch, request=request)
