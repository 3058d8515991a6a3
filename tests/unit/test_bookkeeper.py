"""`Bookkeeper`: what it tells of a batch that has no work now, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from manycore.client import bookkeeper as module
from manycore.client.bookkeeper import Bookkeeper
from manycore.protocol import account


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Whether it was idle, each time that something was told; each look is due."""
    said: list[int] = []
    monkeypatch.setattr(module, "SEEN_SECONDS", -1.0)
    monkeypatch.setattr(account, "tell", lambda _pipe, _batch, _ttl, told: said.append(told["set"]["idle"]))
    monkeypatch.setattr(account, "execute", lambda _pipe, _told: [])
    return said


@pytest.fixture
def keeper() -> Bookkeeper:
    client: Any = SimpleNamespace(pipeline=lambda transaction: None)
    settings: Any = SimpleNamespace(batch_ttl_seconds=60)
    return Bookkeeper(client, settings)


def lane_of(sent_items: int, *, complete: bool, waits: bool = False) -> Any:
    ledger = SimpleNamespace(sent_items=sent_items, complete=complete, programs={"f"}, queues={"cpu"})
    source = SimpleNamespace(first_call="", ready=lambda: waits)
    return SimpleNamespace(id="b", total=None, ephemeral=True, source=source, ledger=ledger)


def test_it_is_idle_once_nothing_was_sent_for_a_while(keeper: Bookkeeper, told: list[int]) -> None:
    for sent in (1, 5, 9, 9, 9):
        keeper.look([lane_of(sent, complete=True)])
    assert told == [0, 0, 0, 1, 1], "calls that follow one another leave it without work for a moment"


@pytest.mark.parametrize("work", [{"complete": False}, {"complete": True, "waits": True}])
def test_that_it_has_work_again_is_told_at_once(
    keeper: Bookkeeper, told: list[int], monkeypatch: pytest.MonkeyPatch, work: dict[str, bool]
) -> None:
    for _ in range(2):
        keeper.look([lane_of(1, complete=True)])
    monkeypatch.setattr(module, "SEEN_SECONDS", 60.0)
    for sent in (2, 3, 4):
        keeper.look([lane_of(sent, **work)])
    assert told == [0, 1, 0]


def test_what_nothing_was_sent_of_is_not_told(keeper: Bookkeeper, told: list[int]) -> None:
    keeper.look([lane_of(0, complete=True)])
    assert not told
