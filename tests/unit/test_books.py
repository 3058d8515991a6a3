"""What has ended is not read again at each scrape; whatever comes, goes or begins again is seen all the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from manycore.metrics import books
from manycore.metrics.books import Books
from manycore.protocol.account import Account, parse


@dataclass
class Server:
    """Accounts as a server has them, and how often each was read."""

    index: dict[str, float] = field(default_factory=dict)
    held: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    read_: list[str] = field(default_factory=list)

    def tell(self, batch: str, when: float, **fields: str) -> None:
        self.index[batch] = when
        self.held[batch] = {b"started": b"1"} | {name.encode(): text.encode() for name, text in fields.items()}

    def told_since(self, _: float) -> dict[str, float]:
        return dict(self.index)

    def read(self, batches: Iterable[str]) -> Iterator[Account]:
        for batch in batches:
            self.read_.append(batch)
            if batch in self.held:
                yield parse(batch, self.held[batch])


@pytest.fixture
def server() -> Server:
    server = Server()
    server.tell("runs", 1.0, done="1")
    server.tell("over", 2.0, done="2", ended="2", end="done")
    server.index["gone"] = 0.5
    return server


@pytest.fixture
def looked(server: Server, monkeypatch: pytest.MonkeyPatch) -> Books:
    """That have looked once."""
    monkeypatch.setattr(books, "Accounts", lambda _: server)
    found = Books(None)
    assert [{each.id for each in part} for part in found.look()] == [{"runs", "over"}] * 2
    server.read_.clear()
    return found


def test_only_what_runs_is_read_again(server: Server, looked: Books) -> None:
    found, changed = looked.look()
    assert {each.id for each in found} == {"runs", "over"}
    assert [each.id for each in changed] == server.read_ == ["runs"]


def test_what_begins_again_is_read_again(server: Server, looked: Books) -> None:
    server.tell("over", 3.0, done="2")
    server.tell("gone", 3.0, done="7")
    assert {each.id for each in looked.look()[1]} == {"runs", "over", "gone"}
    assert {each.id for each in looked.look()[1]} == {"runs", "over", "gone"}


def test_what_leaves_is_forgotten(server: Server, looked: Books) -> None:
    del server.index["over"], server.held["over"]
    assert {each.id for each in looked.look()[0]} == {"runs"}


def test_what_runs_into_its_ttl_is_missed_after_a_while(
    server: Server, looked: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    del server.held["over"]  # the index keeps the name
    assert {each.id for each in looked.look()[0]} == {"runs", "over"}
    monkeypatch.setattr(books, "KEPT_SECONDS", 0.0)
    assert {each.id for each in looked.look()[0]} == {"runs"}
