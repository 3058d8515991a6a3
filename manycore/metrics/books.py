"""The accounts of all batches, look by look. Thousands that have ended are not read again and again for it.

An account that has ended says the same until it is told of anew, which its place in the index shows; one that is gone
stays gone until then.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, NamedTuple

from manycore.protocol.account import Account, Accounts

KEPT_SECONDS = 60.0
"""How long an account that has ended is believed to be there still."""


class _Kept(NamedTuple):
    told: float
    account: Account | None
    read_at: float


class Books:
    """Of one server."""

    def __init__(self, client: Any) -> None:
        self._accounts = Accounts(client)
        self._kept: dict[str, _Kept] = {}

    def look(self) -> tuple[list[Account], list[Account]]:
        """All accounts, and those of them that may have changed. Raises redis-py's errors."""
        now, told = monotonic(), self._accounts.told_since(0.0)
        stale = [batch for batch, when in told.items() if not self._is_known(batch, when, now)]
        read = {account.id: account for account in self._accounts.read(stale)}
        kept = {batch: self._kept[batch] for batch in told.keys() - set(stale)}
        found = [*read.values(), *(each.account for each in kept.values() if each.account is not None)]
        ended = {batch: _Kept(told[batch], read.get(batch), now) for batch in stale if _is_over(read.get(batch))}
        self._kept = kept | ended
        return found, list(read.values())

    def _is_known(self, batch: str, told: float, now: float) -> bool:
        kept = self._kept.get(batch)
        return kept is not None and kept.told == told and (kept.account is None or now - kept.read_at < KEPT_SECONDS)


def _is_over(account: Account | None) -> bool:
    return account is None or account.ended is not None
