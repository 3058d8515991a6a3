"""The pages beside Flower's own: batches, one batch, quarantine, queues. They ask `api` for what they show."""

from __future__ import annotations

from tornado.web import authenticated

from ops.flower.inside import BaseHandler


class BatchesPage(BaseHandler):
    @authenticated
    def get(self) -> None:
        self.render("batches.html")


class BatchPage(BaseHandler):
    @authenticated
    def get(self, batch: str) -> None:
        self.render("batch.html", batch=batch, read_only=self.application.options.read_only)


class QuarantinePage(BaseHandler):
    @authenticated
    def get(self) -> None:
        self.render("quarantine.html", read_only=self.application.options.read_only)


class BrokerPage(BaseHandler):
    """In place of Flower's own, which knows neither what is in work nor who takes it, nor a server on a socket."""

    @authenticated
    def get(self) -> None:
        self.render("broker.html", broker_url=self.application.broker_uri)
