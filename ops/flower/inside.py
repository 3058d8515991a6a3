"""The inside of Flower, which is not its public API: every name of it that we rely on is here, and nowhere else.

`flower==2.2.*` is pinned; `tests/unit/test_flower_inside.py` notices what moves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flower import urls
from flower.api import BaseApiHandler
from flower.views import BaseHandler, auth, monitor
from tornado.template import BaseLoader
from tornado.web import HTTPError, authenticated

__all__ = ["BaseApiHandler", "BaseHandler"]
HANDLERS: list[Any] = urls.handlers
"""Of the application that is made of them next; the first that fits answers."""
TEMPLATES = Path(urls.settings["template_path"])
TABS_END = "      </ul>\n"
"""Where its navigation ends, in `navbar.html`: tabs go before it."""
WORKER_FACTS = '  <div class="worker-tabs">'
"""Where the facts begin in `worker.html`."""
PAGE_BEGIN = "{% block container %}\n"
"""Where a page's own part begins."""
OPEN = ((monitor, "Metrics"), (monitor, "Healthcheck"), (auth, "LogoutHandler"))
"""What answers without a password, also where one is set."""


def use_templates(loader: BaseLoader) -> None:
    """Let the application take its templates from here."""
    urls.settings["template_loader"] = loader


def close_gaps() -> None:
    """Ask for the password on the paths where Flower does not, and refuse one that it cannot even compare."""
    known = BaseHandler.get_current_user
    BaseHandler.get_current_user = lambda handler: _known_or_refused(handler, known)
    for module, name in OPEN:
        handler = getattr(module, name)
        handler.get = authenticated(handler.get)


def _known_or_refused(handler: Any, known: Callable[[Any], Any]) -> Any:
    try:
        return known(handler)
    except TypeError as exc:  # `hmac.compare_digest` takes texts of ASCII alone
        raise HTTPError(401) from exc


def add_queues(more: Callable[[], set[str]]) -> None:
    """Show these queues too: Flower itself shows those of the workers that it met when it started."""
    found = BaseHandler.get_active_queue_names
    BaseHandler.get_active_queue_names = lambda handler: sorted({*found(handler), *more()})
