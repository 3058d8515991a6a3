"""Shippers of functions without a cluster, for tests of `FunctionShipper`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from manycore.client.code import CodeShipper
from manycore.client.functions import FunctionShipper
from manycore.protocol.edition import Edition
from manycore.protocol.roster import Roster
from manycore.protocol.settings import load_settings
from manycore.protocol.signing import Keyring

RING = Keyring([b"a key of sixteen"])


@dataclass
class Workers:
    """What a `Roster` would say of its workers."""

    known: set[str] = field(default_factory=set)
    allows_functions: bool = True
    python: tuple[int, int] | None = None
    all_of_them: bool = True
    theirs: Edition | None = None
    found: list[Any] = field(default_factory=list)

    def workers(self) -> list[Any]:
        return self.found

    def all_know(self, name: str, queue: str) -> bool:
        return name in self.known and self.all_of_them

    def edition(self, module: str, *, other_than: Edition) -> Edition | None:
        return self.theirs if module == "tests.unit.test_functions" else None

    def other_python(self, queue: str) -> tuple[int, int] | None:
        return self.python

    def knows(self, name: str) -> bool:
        return name in self.known

    def queue_of(self, name: str) -> str | None:
        return "io" if name in self.known else None

    def suggestion(self, name: str) -> str:
        return " Did you mean 'tasks.add'?"


def shipper(*known: str, limit: int = 10**6, strict: bool = False, **facts: Any) -> FunctionShipper:
    """One whose workers know these tasks, and are as `facts` say."""
    roster = cast(Roster, Workers(set(known), **facts))
    settings = load_settings(max_item_bytes=limit, strict_code=strict)
    return FunctionShipper(RING, roster, settings, CodeShipper(RING, None))
