"""What was put aside: refused messages, and items that killed their workers. To look at, retry and purge.

    with Quarantine() as quarantine:                     # at MANYCORE_URL
        for entry in quarantine.newest(20):
            print(entry.id, entry.kind, entry.reason)
        for items in quarantine.retryable():             # those of one batch
            retried = quarantine.retry(items)            # make a new batch; the old one keeps its outcomes
            print(cluster.attach(retried.batch).gather())

Workers fill it (`manycore.worker.parent.refusals`, `manycore.worker.child.quarantine`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from types import TracebackType
from typing import Protocol

from manycore.errors import NotInQuarantine, NotRetryable
from manycore.protocol import keys
from manycore.protocol.again import Resender, Retried
from manycore.protocol.broker import check_server_kind, connect, typed_errors
from manycore.protocol.clock import ServerClock
from manycore.protocol.publisher import Publisher
from manycore.protocol.roster import Roster
from manycore.protocol.settings import Settings, at_server, load_settings
from manycore.quarantine.poison import MAX_ITEMS, Poison, PoisonItems
from manycore.quarantine.refused import MAX_ENTRIES, RefusedMessages
from manycore.quarantine.reprieve import by_batch, retry

ALL = MAX_ENTRIES + MAX_ITEMS
"""As many entries as there can be."""
_REFUSED_ID, _ITEM_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}"), re.compile(r"[0-9a-f]{12}")


class Entry(Protocol):
    """One thing that was put aside: a `Refused`, a `Poison`, or an `Unreadable`."""

    @property
    def id(self) -> str: ...

    @property
    def when(self) -> float:
        """Epoch seconds."""

    @property
    def kind(self) -> str:
        """`refused` (a message) or `poison` (an item)."""

    @property
    def queue(self) -> str: ...

    @property
    def reason(self) -> str: ...

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be retried; None if it can."""


class Quarantine:
    """That of the cluster at `url`, by default MANYCORE_URL. Close it, or use it in a `with`.

    Each method raises `ConnectionFailed` when the server is away. To make one also raises `AuthenticationFailed`,
    `SigningKeyMissing`, `SigningKeyMismatch` or `SettingsError`.
    """

    def __init__(self, url: str | None = None, *, settings: Settings | None = None) -> None:
        self._settings = at_server(settings or load_settings(url=url))
        self._keyring = self._settings.keyring()
        self._redis = connect(self._settings)
        with typed_errors(self._settings):
            self._redis.ping()
            check_server_kind(self._redis, self._settings)
            Roster(self._redis, self._keyring).workers()  # theirs is the key that has to fit
        self._refused = RefusedMessages(self._redis)
        self._poison = PoisonItems(self._redis, self._keyring)
        ttl = self._settings.batch_ttl_seconds
        self._resender = Resender(self._redis, Publisher(self._redis, self._keyring), self._keyring, ttl)

    def newest(self, count: int = ALL) -> list[Entry]:
        """What was put aside, of both kinds, the newest first."""
        with typed_errors(self._settings):
            items = self._poison.find(list(islice(self._poison.held(), count)))
            found: list[Entry] = [*self._refused.newest(count), *items]
        return sorted(found, key=lambda entry: entry.when, reverse=True)[:count]

    def of_batch(self, batch: str) -> list[Poison]:
        """The poison items of one batch, the newest first."""
        with typed_errors(self._settings):
            found = self._poison.find(list(self._poison.held()))
        return [item for item in found if isinstance(item, Poison) and item.chunk.batch == batch]

    def find(self, ids: Iterable[str]) -> list[Entry]:
        """The entries of these ids, each once. Raises `NotInQuarantine`, naming the first that is not there."""
        wanted = list(dict.fromkeys(ids))
        messages, items = _by_kind(wanted)
        with typed_errors(self._settings):
            found: list[Entry] = [entry for name in messages if (entry := self._refused.find(name)) is not None]
            found += self._poison.find(items)
        by_id = {entry.id: entry for entry in found}
        for name in wanted:
            if name not in by_id:
                raise NotInQuarantine(name)
        return [by_id[name] for name in wanted]

    def retryable(self, ids: Iterable[str] | None = None) -> list[list[Poison]]:
        """The poison items of these ids, by batch; by default, all that can be retried.

        Raises `NotInQuarantine`, or `NotRetryable` for a refused message and for what was too large to be kept.
        """
        chosen: list[Poison] = []
        for entry in self.newest() if ids is None else self.find(ids):
            obstacle = self._obstacle(entry)
            if isinstance(entry, Poison) and obstacle is None:
                chosen.append(entry)
            elif ids is not None:
                raise NotRetryable(entry.id, obstacle)
        return by_batch(chosen)

    def retry(self, items: Sequence[Poison]) -> Retried:
        """Run items of one batch again, as a new named batch; once that is sent they leave the quarantine.

        A function that was shipped by value runs as it was sent, a `@task` as the workers have it now.
        """
        with typed_errors(self._settings):
            retried = retry(self._resender, items)
            self._poison.remove([item.id for item in items])
        return retried

    def purge(self, ids: Iterable[str] | None = None) -> int:
        """Remove these entries for good, by default all; gives their number.

        Raises `NotInQuarantine`, before anything is removed.
        """
        chosen = [entry.id for entry in (self.newest() if ids is None else self.find(ids))]
        messages, items = _by_kind(chosen)
        with typed_errors(self._settings):
            self._refused.remove(messages)
            self._poison.remove(items)
        return len(chosen)

    def counts(self) -> dict[str, int]:
        """How many poison items each queue has here."""
        with typed_errors(self._settings):
            return dict(Counter(held.queue for held in self._poison.held().values()))

    def refused_counts(self) -> dict[str, int]:
        """How many messages of each queue were refused, also those that are not here any more."""
        with typed_errors(self._settings):
            return self._refused.counts()

    def total(self) -> int:
        """How many entries there are."""
        with typed_errors(self._settings):
            return self._refused.total() + len(self._poison.held())

    def now(self) -> float:
        """What time it is where entries get their `when`: at the server."""
        with typed_errors(self._settings):
            return ServerClock(self._redis).now()

    def close(self) -> None:
        self._redis.close()

    def __enter__(self) -> Quarantine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _obstacle(self, entry: Entry) -> str | None:
        """Why an entry cannot be retried. What is not kept with its item may be gone by now."""
        if isinstance(entry, Poison):
            if entry.function is None and self._is_gone(entry.chunk.function):
                return "its function was too large to be kept with it, and is no longer in Redis"
            if self._is_gone(entry.chunk.code):
                return "the modules that it needs are no longer in Redis"
        return entry.obstacle

    def _is_gone(self, digest: str | None) -> bool:
        with typed_errors(self._settings):
            return digest is not None and not self._redis.exists(keys.reference(digest))


def _by_kind(ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """The ids that can be those of refused messages, and those that can be of items."""
    return list(filter(_REFUSED_ID.fullmatch, ids)), list(filter(_ITEM_ID.fullmatch, ids))
