"""Adds our pages to Flower, which has no interface for that: what is relied on of its inside is in this file.

`flower==2.2.*` is pinned; `tests/integration/test_flower.py` notices what moves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tornado.template import BaseLoader, Template
from tornado.web import StaticFileHandler, url

from ops.flower.board import Board
from ops.flower.desk import Desk
from ops.flower.queues import Queues

HERE = Path(__file__).parent
TAB_AT = "      </ul>\n"
"""Where Flower's navigation ends, in its `navbar.html`: our tabs go before it."""
TAB = """        <li class="nav-item">
          <a class="nav-link{{% if active_tab == '{name}' %}} active{{% end %}}"
            href="{{{{ reverse_url('{name}') }}}}"
            {{% if active_tab == '{name}' %}}aria-current="page"{{% end %}}>{title}</a>
        </li>
"""
TABS = {"batches": "Batches", "quarantine": "Quarantine"}
SLOTS_AT = '  <div class="worker-tabs">'
"""Where the facts begin in Flower's page of a worker: what its slots do goes before them."""
SLOTS = """  <link rel="stylesheet" href="{{ reverse_url('manycore', 'batches.css') }}">
  <section id="slots" class="worker-panel slots-panel" aria-label="Slots" data-worker="{{ worker['name'] }}"
    data-api="{{ url_prefix or '' }}/api/slots" data-page="{{ url_prefix or '' }}/batch/"></section>
  <script src="{{ reverse_url('manycore', 'shown.js') }}" defer></script>
  <script src="{{ reverse_url('manycore', 'slots.js') }}" defer></script>
"""


def with_tabs(navbar: str) -> str:
    """Flower's navigation with ours."""
    tabs = "".join(TAB.format(name=name, title=title) for name, title in TABS.items())
    return navbar.replace(TAB_AT, tabs + TAB_AT, 1)


def with_slots(worker: str) -> str:
    """Flower's page of a worker with what its slots do."""
    return worker.replace(SLOTS_AT, SLOTS + SLOTS_AT, 1)


CHANGES = {"navbar.html": with_tabs, "worker.html": with_slots}
"""What of Flower's own templates is changed, and how."""


class Templates(BaseLoader):
    """Ours where we have one of the name, else Flower's; its navigation with our tabs."""

    def __init__(self, *folders: Path) -> None:
        super().__init__()
        self._folders = folders

    def resolve_path(self, name: str, parent_path: str | None = None) -> str:
        return name  # neither of us has folders of templates

    def _create_template(self, name: str) -> Template:
        path = next(folder / name for folder in self._folders if (folder / name).exists())
        text = path.read_text()
        change = CHANGES.get(name)
        return Template(change(text) if change else text, name=name, loader=self)


def add_pages(board: Board, queues: Queues, desk: Desk) -> None:
    """Add our pages and their API, before the application is made."""
    from flower import urls

    from ops.flower import api, pages, quarantine_api

    urls.settings["template_loader"] = Templates(HERE / "templates", Path(urls.settings["template_path"]))
    known = {"board": board, "queues": queues}
    ours: list[Any] = [
        url(r"/batches", pages.BatchesPage, name="batches"),
        url(r"/batch/(.+)", pages.BatchPage, name="batch"),
        url(r"/manycore/(.*)", StaticFileHandler, {"path": str(HERE / "static")}, name="manycore"),
        url(r"/broker", pages.BrokerPage),
        url(r"/api/batches", api.ListBatches, known),
        url(r"/api/batches/([^/]+)", api.ShowBatch, known),
        url(r"/api/batches/([^/]+)/cancel", api.CancelBatch, known),
        url(r"/api/batches/([^/]+)/rerun", quarantine_api.RerunBatch, {"desk": desk}),
        url(r"/quarantine", pages.QuarantinePage, name="quarantine"),
        url(r"/api/quarantine", quarantine_api.ListQuarantine, {"desk": desk}),
        url(r"/api/quarantine/([^/]+)", quarantine_api.ShowQuarantined, {"desk": desk}),
        url(r"/api/quarantine/([^/]+)/(retry|purge)", quarantine_api.ChangeQuarantined, {"desk": desk}),
        url(r"/api/slots", api.ListWorkers, known),
        url(r"/api/queues", api.ListQueues, known),
    ]
    urls.handlers[:0] = ours
