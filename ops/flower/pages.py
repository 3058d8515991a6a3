"""The pages beside Flower's own: a list of batches, and one page for each. They ask `api` for what they show."""

from __future__ import annotations

from flower.views import BaseHandler
from tornado.web import authenticated


class BatchesPage(BaseHandler):
    @authenticated
    def get(self) -> None:
        self.render("batches.html")


class BatchPage(BaseHandler):
    @authenticated
    def get(self, batch: str) -> None:
        self.render("batch.html", batch=batch, read_only=self.application.options.read_only)
