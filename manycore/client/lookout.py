"""What a client looks after while it waits: lost items, work without workers, a local cluster that is down."""

from __future__ import annotations

import logging
import warnings
from time import monotonic
from weakref import WeakKeyDictionary

from manycore.client.lane import Lane
from manycore.client.sender import Sender
from manycore.local.cluster import LocalCluster
from manycore.protocol.audit import Auditor
from manycore.protocol.roster import Roster
from manycore.protocol.settings import Settings, redacted

logger = logging.getLogger(__name__)
STALE_AUDITS = 6
"""How many times as long a part of a batch is silent before it is looked for: it may just be waiting its turn."""
LOOKS_PER_AUDIT = 5
"""How often it is looked who is silent: to look costs something for each open chunk."""
LONELY_SECONDS = 5.0
"""How long work may wait for a fleet without any worker before the user is warned."""


class Lookout:
    """Used by the housekeeper's thread alone; a look costs nothing unless something has been silent for a while."""

    def __init__(
        self, auditor: Auditor, sender: Sender, roster: Roster, settings: Settings, local: LocalCluster | None
    ) -> None:
        self._auditor = auditor
        self._sender = sender
        self._roster = roster
        self._settings = settings
        self._local = local
        self._next_audit = 0.0
        self._looked_at: WeakKeyDictionary[Lane, float] = WeakKeyDictionary()
        self._lonely_since: dict[str, float] = {}
        self._warned: set[str] = set()

    def check_local(self) -> None:
        """Raise `LocalClusterFailed` if that is down for good."""
        if self._local is not None:
            self._local.check()

    def look(self, lanes: list[Lane]) -> None:
        """Look after these batches. Raises redis-py's errors when the server is away."""
        waiting = [lane for lane in lanes if not lane.over and lane.ledger.open_chunks]
        self._warn_if_lonely(waiting)
        self._audit(waiting)

    def _audit(self, waiting: list[Lane]) -> None:
        """Send again what got lost, for batches that have been silent for a while, in whole or in part."""
        now, interval = monotonic(), self._settings.audit_seconds
        if now < self._next_audit:
            return
        silent = [lane for lane in waiting if now - lane.custody.heard_at > interval or self._is_stale(lane, now)]
        self._next_audit = now + (interval if silent else interval / LOOKS_PER_AUDIT)
        if not silent:
            return
        queues = {queue for lane in silent for queue in lane.ledger.queues}
        covered = self._auditor.in_flight((lane.id for lane in silent), queues)
        for lane in silent:
            for parcel, indices in lane.lost(covered[lane.id]):
                span = f"{indices.start}-{indices.stop - 1}"
                logger.warning("Items %s of batch %s got lost and are sent again", span, lane.id)
                self._sender.send_again(parcel, indices)

    def _is_stale(self, lane: Lane, now: float) -> bool:
        """Whether a chunk of a lively batch has long been silent: it waits in a long queue, or it got lost.

        `submit` goes on in one batch for as long as its program runs: that one need never be silent as a whole.
        """
        if lane.custody.has_missed:
            return True  # the second look tells
        patience = STALE_AUDITS * self._settings.audit_seconds
        if now - max(lane.ledger.silent_since(), self._looked_at.get(lane, 0.0)) < patience:
            return False
        self._looked_at[lane] = now
        return True

    def _warn_if_lonely(self, waiting: list[Lane]) -> None:
        """Work for a fleet without workers waits for ever: say so, once for each fleet, with the cure."""
        if self._local is not None:
            return  # its worker is looked after, and runs everything
        wanted = {sent.parcel.program.queue for lane in waiting for sent in lane.ledger.open if sent.parcel}
        workers = self._roster.workers() if wanted else []
        lonely = wanted.difference(*(worker.queues for worker in workers))
        now = monotonic()
        self._lonely_since = {fleet: self._lonely_since.get(fleet, now) for fleet in lonely}
        for fleet in sorted(lonely - self._warned):
            if now - self._lonely_since[fleet] > LONELY_SECONDS:
                self._warned.add(fleet)
                self._warn(fleet, sorted({queue for worker in workers for queue in worker.queues}))

    def _warn(self, fleet: str, there: list[str]) -> None:
        place = redacted(self._settings.url or "")
        others = f"; there are workers of {', '.join(map(repr, there))}" if there else ""
        warnings.warn(
            f"No worker of the fleet {fleet!r} is listening at {place}{others}. The items wait. Start one with: "
            f"manycore worker --fleet {fleet}",
            RuntimeWarning,
            stacklevel=2,
        )
