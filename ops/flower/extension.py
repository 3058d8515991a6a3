"""Adds our pages and their API to Flower, before its application is made. Its inside is known to `inside` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tornado.web import StaticFileHandler, url

from ops.flower import api, inside, pages, quarantine_api
from ops.flower.board import Board
from ops.flower.desk import Desk
from ops.flower.loader import Templates
from ops.flower.queues import Queues

STATIC = Path(__file__).parent / "static"


def add_pages(board: Board, queues: Queues, desk: Desk) -> None:
    """Let Flower answer on our paths too."""
    inside.use_templates(Templates())
    inside.HANDLERS[:0] = paths(board, queues, desk)


def paths(board: Board, queues: Queues, desk: Desk) -> list[Any]:
    """What answers on which path."""
    known, asked = {"board": board, "queues": queues}, {"desk": desk}
    return [
        url(r"/batches", pages.BatchesPage, name="batches"),
        url(r"/batch/(.+)", pages.BatchPage, name="batch"),
        url(r"/quarantine", pages.QuarantinePage, name="quarantine"),
        url(r"/broker", pages.BrokerPage),
        url(r"/manycore/(.*)", StaticFileHandler, {"path": str(STATIC)}, name="manycore"),
        url(r"/api/batches", api.ListBatches, known),
        url(r"/api/batches/([^/]+)", api.ShowBatch, known),
        url(r"/api/batches/([^/]+)/log", api.ShowLog, known),
        url(r"/api/batches/([^/]+)/cancel", api.CancelBatch, known),
        url(r"/api/batches/([^/]+)/rerun", quarantine_api.RerunBatch, asked),
        url(r"/api/quarantine", quarantine_api.ListQuarantine, asked),
        url(r"/api/quarantine/([^/]+)", quarantine_api.ShowQuarantined, asked),
        url(r"/api/quarantine/([^/]+)/(retry|purge)", quarantine_api.ChangeQuarantined, asked),
        url(r"/api/slots", api.ListWorkers, known),
        url(r"/api/queues", api.ListQueues, known),
    ]
