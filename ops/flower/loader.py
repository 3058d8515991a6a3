"""Where pages come from: ours where we have one of the name, else Flower's, with our tabs and what slots do."""

from __future__ import annotations

from pathlib import Path

from tornado.template import BaseLoader, Template

from ops.flower.inside import PAGE_BEGIN, TABS_END, TEMPLATES, WORKER_FACTS

OURS = Path(__file__).parent / "templates"
TABS = {"batches": "Batches", "quarantine": "Quarantine"}
TAB = """        <li class="nav-item">
          <a class="nav-link{{% if active_tab == '{name}' %}} active{{% end %}}"
            href="{{{{ reverse_url('{name}') }}}}"
            {{% if active_tab == '{name}' %}}aria-current="page"{{% end %}}>{title}</a>
        </li>
"""
LOOK = """<link rel="stylesheet" href="{{ reverse_url('manycore', 'batches.css') }}">
"""
SLOTS = (
    f"  {LOOK}"
    + """  <section id="slots" class="worker-panel slots-panel" aria-label="Slots" data-worker="{{ worker['name'] }}"
    data-api="{{ url_prefix or '' }}/api/slots" data-page="{{ url_prefix or '' }}/batch/"></section>
  <script src="{{ reverse_url('manycore', 'shown.js') }}" defer></script>
  <script src="{{ reverse_url('manycore', 'slots.js') }}" defer></script>
"""
)


def with_tabs(navbar: str) -> str:
    """Flower's navigation with ours."""
    tabs = "".join(TAB.format(name=name, title=title) for name, title in TABS.items())
    return navbar.replace(TABS_END, tabs + TABS_END, 1)


def with_slots(worker: str) -> str:
    """Flower's page of a worker with what its slots do."""
    return worker.replace(WORKER_FACTS, SLOTS + WORKER_FACTS, 1)


def with_look(page: str) -> str:
    """A page of Flower's with our style sheet."""
    return page.replace(PAGE_BEGIN, PAGE_BEGIN + LOOK, 1)


CHANGES = {"navbar.html": with_tabs, "worker.html": with_slots, "tasks.html": with_look}
"""What of Flower's own templates is changed, and how."""


class Templates(BaseLoader):
    def resolve_path(self, name: str, parent_path: str | None = None) -> str:
        return name  # neither of us has folders of templates

    def _create_template(self, name: str) -> Template:
        path = next(folder / name for folder in (OURS, TEMPLATES) if (folder / name).exists())
        text = path.read_text()
        change = CHANGES.get(name)
        return Template(change(text) if change else text, name=name, loader=self)
