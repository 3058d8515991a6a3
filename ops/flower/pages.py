"""The pages beside Flower's own: batches, one batch, quarantine, queues. They ask `api` for what they show."""

from __future__ import annotations

from typing import Any

from tornado.web import authenticated

from ops.flower.inside import BaseHandler


class OurPage(BaseHandler):
    """What `ours.html` needs: the `name` of its template and of its script, and the tab that it belongs to."""

    name: str
    tab: str

    def show(self, heading: str, **facts: Any) -> None:
        read_only = self.application.options.read_only
        self.render(f"{self.name}.html", name=self.name, tab=self.tab, heading=heading, read_only=read_only, **facts)


class BatchesPage(OurPage):
    name = tab = "batches"

    @authenticated
    def get(self) -> None:
        self.show("Batches")


class BatchPage(OurPage):
    name, tab = "batch", "batches"

    @authenticated
    def get(self, batch: str) -> None:
        self.show(batch, batch=batch)


class QuarantinePage(OurPage):
    name = tab = "quarantine"

    @authenticated
    def get(self) -> None:
        self.show("Quarantine")


class BrokerPage(OurPage):
    """In place of Flower's own, which knows neither what is in work nor who takes it, nor a server on a socket."""

    name = tab = "broker"

    @authenticated
    def get(self) -> None:
        self.show("Broker", broker_url=self.application.broker_uri)
