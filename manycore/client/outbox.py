"""Hands on, outside every lock and in its order, what was collected under one.

What is handed on ends in foreign code: callbacks, conditions that others hold. Under a lock of ours that could take any
time, raise anything, or come back for the same lock.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from manycore.client.locks import alone

logger = logging.getLogger(__name__)


class Outbox:
    """Steps are put under the owner's lock and taken by whoever delivers; one thread at a time does, for all."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._turn = threading.RLock()

    def put(self, *steps: Callable[[], object]) -> None:
        self._waiting.extend(steps)

    def deliver(self) -> None:
        """Take the steps that wait. If another thread does so just now, it takes ours too.

        Raises `KeyboardInterrupt` or `SystemExit` if one came meanwhile, once all steps are taken.
        """
        endings: list[BaseException] = []
        while self._waiting and alone(self._turn, lambda: self._take_all(endings)):
            continue  # looked at again: who found the turn taken has left its step to us
        if endings:
            raise endings[-1]

    def _take_all(self, endings: list[BaseException]) -> None:
        while self._waiting:
            try:
                self._waiting.popleft()()
            except Exception:  # a boundary: what one step meets must not keep the next from its receiver
                logger.exception("An outcome could not be handed on")
            except BaseException as exc:
                endings.append(exc)
