"""A slot that waits for the next call loses its connection: what it was handed is still its own to run."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from manycore.protocol import keys
from manycore.protocol.broker import UNACKED, UNACKED_INDEX
from manycore.protocol.handing import hand
from manycore.protocol.line import Line
from manycore.protocol.publisher import Publisher
from manycore.protocol.settings import load_settings
from manycore.protocol.signing import Keyring
from manycore.protocol.store import Store
from manycore.protocol.wire import Wire
from manycore.worker.child.staying import Stay
from manycore.worker.summary import KEPT
from tests.integration.conftest import Server
from tests.integration.test_handing import BATCH, BEFORE, CALL, QUEUE, RESUME, STAY, TTL, now

RING = Keyring([b"a-key-of-16-bytes-or-more"])
PAYLOAD = b"the argument"


class Slot:
    """One that has ended a call, and stays with the delivery of that: `mine`."""

    def __init__(self, server: Server) -> None:
        store = Store.from_url(server.url, protocol=2)
        assert isinstance(store, Store)
        self.client, self.wire, self.line = server.client(), Wire(store), Line(store)
        context: Any = SimpleNamespace(line=self.line, keyring=RING, settings=load_settings(url=server.url))
        self.stay = Stay(context, replace(CALL, id=BEFORE), "mine", QUEUE)
        self.client.hset(STAY, "mine", f"{BEFORE} {now(self.client)}")
        self.client.hset(UNACKED, "mine", f"the call {BEFORE}")
        self.client.zadd(UNACKED_INDEX, {"mine": 1})
        self.client.hset(RESUME, BEFORE, "6,1,1,0,1,c/d,")

    def is_handed(self) -> None:
        message = Publisher(self.client, RING).message(CALL, PAYLOAD, queue=QUEUE, shadow=None)
        hand(self.wire, CALL, message, QUEUE, TTL)

    def is_cut_off(self) -> None:
        self.line.send([("CLIENT", "ID")])
        self.client.client_kill_filter(_id=str(self.line.read()[0]))

    def next(self) -> Any:
        return self.stay.next(KEPT, lambda step: step())


@pytest.fixture
def slot(server: Server) -> Slot:
    return Slot(server)


@pytest.mark.parametrize("with_answer", [False, True], ids=["before the answer", "with the answer"])
def test_it_asks_again_and_gets_what_it_was_handed(slot: Slot, with_answer: bool) -> None:
    """At once: its parent may be cut off, too, and what that cannot give back waits for its lease."""
    slot.is_handed()
    slot.is_cut_off()
    if with_answer:
        assert slot.client.lpop(keys.handed(BATCH, "mine"))
    run, delivery = slot.next()
    assert (delivery.chunk, delivery.payload) == (CALL, PAYLOAD)
    assert bool(run) != with_answer, "else nobody knows of it any more, and it begins anew"
    assert slot.client.hexists(UNACKED, "mine")
    assert not slot.stay.has_left


def test_handed_nothing_it_leaves(slot: Slot) -> None:
    slot.is_cut_off()
    assert slot.next() is None
    assert slot.stay.has_left
    assert not slot.client.exists(UNACKED, UNACKED_INDEX, RESUME, STAY)
