"""How much of what lies in the quarantine, by why it is there. It needs no signing key: it opens nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import redis

from manycore.quarantine.poison import held_at
from manycore.quarantine.refused import MAX_ENTRIES, RefusedMessages


class Shelf:
    """Reads the refused messages again only when there are others: they are many, and seldom new."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client
        self._seen: tuple[int, str] | None = None
        self._refused: Counter[tuple[str, str]] = Counter()

    def look(self) -> Counter[tuple[str, str]]:
        """How many entries there are of each kind and reason. Raises redis-py's errors."""
        poison = Counter(("poison", entry.cause) for entry in held_at(self._redis).values())
        return poison + self._refused_messages()

    def _refused_messages(self) -> Counter[tuple[str, str]]:
        messages = RefusedMessages(self._redis)
        newest = next(iter(messages.newest(1)), None)
        seen = messages.total(), newest.id if newest else ""
        if seen != self._seen:
            kinds = (("refused", each.reason_kind) for each in messages.newest(MAX_ENTRIES))
            self._seen, self._refused = seen, Counter(kinds)
        return self._refused
