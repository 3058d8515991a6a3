"""Asks a worker for what needs the signing key, which Flower does not have: the quarantine, what is to run again."""

from __future__ import annotations

from typing import Any

import redis
from celery import Celery

from manycore.protocol.activity import activities

ANSWER_SECONDS = 10.0


class Unanswered(Exception):
    """No worker is there to ask, or the one that was asked said nothing."""


class Desk:
    """Asks by Celery's remote control. Raises redis-py's errors when the server is away."""

    def __init__(self, app: Celery, client: redis.Redis) -> None:
        self._app = app
        self._redis = client

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """A worker's answer. `error` in it says what keeps it from being given. Raises `Unanswered`."""
        workers = activities(self._redis)
        if not workers:
            raise Unanswered("No worker is there to ask: what is signed, workers alone can read. Start one.")
        asked = workers[0].worker
        answers = self._app.control.broadcast(
            command, arguments=arguments, destination=[asked], reply=True, timeout=ANSWER_SECONDS, limit=1
        )
        if not answers:
            raise Unanswered(f"The worker {asked} did not answer within {ANSWER_SECONDS:g} s. Ask again.")
        answer: dict[str, Any] = answers[0][asked]
        return answer
