"""What the batches of one client share: functions and archives that it holds in Redis once for all that need them.

A pure book: what follows from it, `references` does. It holds no lock of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic

MAX_IDLE, MAX_IDLE_BYTES = 64, 8 * 1024 * 1024
"""What a batch may hold without needing it now: `submit` goes on in one batch, whose functions come and go."""
IDLE_SECONDS = 1.0
"""How long what no batch needs any more stays for the next one: a program goes from one `map` to another."""


@dataclass(slots=True)
class Share:
    """One hold, under the name of the batch that was the first to need it."""

    digest: str
    holder: str
    size: int = 0
    until: float = 0.0
    """Until when it is certain (monotonic)."""
    users: set[str] = field(default_factory=set)
    idle_since: float = 0.0


class Shares:
    """By digest."""

    def __init__(self) -> None:
        self._held: dict[str, Share] = {}
        self._leaving: set[tuple[str, str]] = set()
        """Holder and digest of what is being released."""
        self._most = MAX_IDLE

    def use(self, digest: str, batch: str, now: float) -> bool:
        """Whether it is certain to be held; then this batch needs it from now on."""
        share = self._held.get(digest)
        if share is None or share.until <= now:
            return False
        share.users.add(batch)
        return True

    def holder(self, digest: str, batch: str) -> str:
        """By which name to hold it anew. A release that is under way must not end the new hold."""
        share = self._held.get(digest)
        if share is not None:
            return share.holder
        return f"{batch}/{secrets.token_hex(4)}" if (batch, digest) in self._leaving else batch

    def note(self, digest: str, holder: str, batch: str, size: int, until: float) -> None:
        """It is held."""
        share = self._held.setdefault(digest, Share(digest, holder))
        share.holder, share.size, share.until = holder, size, until
        share.users.add(batch)

    def certain(self, now: float) -> set[str]:
        """The digests that are held for certain."""
        return {digest for digest, share in self._held.items() if share.until > now}

    def doubt(self, digests: set[str] | None) -> None:
        """They may be gone. None: all."""
        for digest, share in self._held.items():
            if digests is None or digest in digests:
                share.until = 0.0

    def leave(self, batch: str) -> None:
        """This batch needs nothing any more."""
        for share in self._held.values():
            _leave(share, batch)

    def crowded(self, batch: str) -> bool:
        """Whether what only this batch may need is much."""
        own = [share.size for share in self._held.values() if share.users == {batch}]
        return len(own) > self._most or sum(own) > MAX_IDLE_BYTES

    def prune(self, batch: str, in_use: set[str]) -> list[Share]:
        """Take out what this batch alone has needed, and needs no more."""
        for digest, share in self._held.items():
            if digest not in in_use:
                _leave(share, batch)
        gone = self.drop_idle(0.0)
        self._most = max(MAX_IDLE, 2 * len(self._held))
        return gone

    def drop_idle(self, seconds: float) -> list[Share]:
        """Take out what nobody has needed for so long."""
        latest = monotonic() - seconds
        gone = [share for share in self._held.values() if not share.users and share.idle_since <= latest]
        for share in gone:
            del self._held[share.digest]
            self._leaving.add((share.holder, share.digest))
        return gone

    def dropped(self, gone: Iterable[Share]) -> None:
        """They are released."""
        self._leaving.difference_update((share.holder, share.digest) for share in gone)

    def put_back(self, gone: Iterable[Share]) -> None:
        """Whether they are released is not known."""
        for share in gone:
            self._leaving.discard((share.holder, share.digest))
            share.until = 0.0
            self._held.setdefault(share.digest, share)


def _leave(share: Share, batch: str) -> None:
    if batch in share.users:
        share.users.discard(batch)
        share.idle_since = monotonic()
