"""What Flower is told, as a test hears it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from celery.events import EventReceiver

from manycore import Cluster
from manycore.plain import celery_app
from tests.waiting import wait_until

Events = dict[str, list[dict[str, Any]]]


@contextmanager
def heard(url: str, cluster: Cluster) -> Iterator[Events]:
    """The events of each task meanwhile, by its id, in order; `url` is the server's."""
    seen: Events = {}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MANYCORE_URL", url)
        with celery_app().connection_for_read() as connection:
            handlers = {"*": lambda event: seen.setdefault(event.get("uuid", ""), []).append(event)}
            receiver = EventReceiver(connection, app=celery_app(), handlers=handlers)

            def listen() -> None:
                while not receiver.should_stop:
                    with suppress(TimeoutError):
                        receiver.capture(limit=None, timeout=0.5, wakeup=False)

            listening = threading.Thread(target=listen)
            listening.start()
            try:
                wait_until(lambda: cluster.submit(abs, -1).result(timeout=20) and len(seen) > 5, "events arrive")
                yield seen
            finally:
                receiver.should_stop = True
                listening.join(10)


def kinds_of(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]
