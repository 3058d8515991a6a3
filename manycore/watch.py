"""What a client looks after between two reads: lost items, work without workers, a local cluster that is down."""

from __future__ import annotations

import logging
import warnings
from time import monotonic

from manycore.audit import Auditor
from manycore.dispatch import Dispatcher
from manycore.fleet import Fleet
from manycore.lane import Lane
from manycore.local import LocalCluster
from manycore.settings import Settings, redacted

logger = logging.getLogger(__name__)
LONELY_SECONDS = 10.0
"""How long work may wait without any worker before the user is warned."""


class Watch:
    """Used by the reader's thread alone; each look costs nothing unless something has been silent for a while."""

    def __init__(
        self, auditor: Auditor, dispatcher: Dispatcher, fleet: Fleet, settings: Settings, local: LocalCluster | None
    ) -> None:
        self._auditor = auditor
        self._dispatcher = dispatcher
        self._fleet = fleet
        self._settings = settings
        self._local = local
        self._next_audit = 0.0
        self._lonely_since: float | None = None
        self._warned = False

    def look(self, lanes: list[Lane]) -> None:
        """Look after these batches. Raises `LocalClusterFailed`, and redis-py's errors when the server is away."""
        if self._local is not None:
            self._local.check()
        waiting = [lane for lane in lanes if lane.ledger.open_chunks]
        self._warn_if_lonely(waiting)
        self._audit(waiting)

    def _audit(self, waiting: list[Lane]) -> None:
        """Send again what got lost, for batches that have been silent for a while."""
        now, interval = monotonic(), self._settings.audit_seconds
        silent = [lane for lane in waiting if now - lane.heard_at > interval]
        if not silent or now < self._next_audit:
            return
        self._next_audit = now + interval
        covered = self._auditor.in_flight(lane.id for lane in silent)
        for lane in silent:
            for parcel, indices in lane.lost(covered[lane.id]):
                span = f"{indices.start}-{indices.stop - 1}"
                logger.warning("Items %s of batch %s got lost and are sent again", span, lane.id)
                self._dispatcher.send_again(parcel, indices)

    def _warn_if_lonely(self, waiting: list[Lane]) -> None:
        """Work without workers waits for ever: say so, once, with the cure."""
        if self._warned or not waiting or self._fleet.workers():
            self._lonely_since = None
            return
        self._lonely_since = self._lonely_since or monotonic()
        if monotonic() - self._lonely_since > LONELY_SECONDS:
            self._warned = True
            place = redacted(self._settings.url or "")
            warnings.warn(
                f"No worker is listening at {place}; the items wait. Start one with: python -m manycore.worker",
                RuntimeWarning,
                stacklevel=2,
            )
