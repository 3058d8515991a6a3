"""`Tidier`: what the server does not take now is tried again, whichever step it was, or left undone."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from manycore.client.tidy import Tidier
from manycore.protocol import account, keys

SETTINGS: Any = SimpleNamespace(batch_ttl_seconds=60, audit_seconds=0.0)


class Server:
    """Takes every call but that of a number."""

    def __init__(self, away_at: int, record: dict[str, bytes]) -> None:
        self.done: list[str] = []
        self._left = away_at
        self._record = record

    def __call__(self, what: str) -> Callable[..., None]:
        def call(*_: object) -> None:
            self._left -= 1
            if self._left == 0:
                raise redis.ConnectionError
            self.done.append(what)

        return call

    def hmget(self, name: str, *fields: str) -> list[bytes | None]:
        self("ask")()
        assert name == keys.batch("b")
        return [None if "erase" in self.done else self._record.get(field) for field in fields]


def tidier_of(server: Any, monkeypatch: pytest.MonkeyPatch) -> Tidier:
    monkeypatch.setattr(account, "remove", server("account"))
    auditor: Any = SimpleNamespace(in_flight=lambda batches, queues: dict.fromkeys(batches, ()))
    objects: Any = SimpleNamespace(forget_results=server("results"), let_go=server("objects"))
    record: Any = SimpleNamespace(erase=server("erase"))
    tidier = Tidier(server, auditor, lambda _: record, SimpleNamespace(), objects, SETTINGS)  # type: ignore[arg-type]
    tidier.drain(SimpleNamespace(id="b", ledger=SimpleNamespace(queues=set())), account_too=True)  # type: ignore[arg-type]
    return tidier


@pytest.mark.parametrize("away_at", range(6))
def test_a_batch_that_was_deleted_goes_whole_although_the_server_goes_away(
    away_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(away_at, {"function": b"f", "deleted": b"1"})
    tidier = tidier_of(server, monkeypatch)
    for _ in range(3):
        try:
            tidier._look_for_the_last()
        except redis.ConnectionError:
            assert away_at
    assert {"erase", "account", "results", "objects"} <= set(server.done)
    before = len(server.done)
    tidier._look_for_the_last()
    assert len(server.done) == before, "nothing is left to do"


def test_one_that_another_client_has_begun_anew_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(0, {"function": b"f"})
    tidier = tidier_of(server, monkeypatch)
    for _ in range(3):
        tidier._look_for_the_last()
    assert server.done == ["ask"]


def test_where_the_server_is_away_as_a_batch_begins_again_what_waits_of_it_keeps_its_arguments() -> None:
    """It cannot be told from what comes now: so it is left to run."""
    deleted: list[str] = []

    def lost(*_: object) -> None:
        raise redis.ConnectionError

    server: Any = SimpleNamespace(evalsha=lost, unlink=lambda *names: deleted.extend(names))
    other: Any = SimpleNamespace(forget=lambda _: None)
    tidier = Tidier(server, other, other, other, other, SETTINGS)
    for batch in ("a", "b"):
        lane: Any = SimpleNamespace(id=batch, ephemeral=False)
        tidier.flag(lane, keys.GIVEN_UP, [SimpleNamespace(payload_token="t")])  # type: ignore[list-item]
    tidier.spare("b")
    tidier._delete()
    assert deleted == [keys.payload("a", "t")]
