"""Old and new run side by side: a head of the last version and one of the next are read, or refused in clear words."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from manycore.errors import MessageRefused
from manycore.protocol import codec, packing, wire
from manycore.protocol.codec import Keyring
from manycore.protocol.message import Block, Chunk, ItemOptions, open_block, open_chunk, seal_block, seal_chunk
from manycore.protocol.retry import Backoff
from manycore.quarantine.poison import Poison
from manycore.worker.context import WorkerContext

RING = Keyring([b"a key of sixteen"])
CHUNK = Chunk("b.c", "b", "t", "f", ItemOptions("star", 2, Backoff(1.0), 3.0), 100, 2, 9, None, b"", total=200)
BLOCK = Block("b", "b.c", range(3, 4), 2, "host/1", array("f", [0.5]), {0: b"an error"})
POISON = Poison(1.0, CHUNK, "cpu", "f", "signal 9", 3, "", 7, b"payload", None)
FUNCTION = {"digest": "d", "name": "abs", "python": packing.python_version(), "by_value": False}


def opened_function(sealed: bytes) -> Any:
    worker: Any = SimpleNamespace(keyring=RING, name="host/1")
    return WorkerContext._load(worker, "d", sealed)


FORMS: dict[str, tuple[bytes, bytes, Callable[[bytes], Any]]] = {
    "chunk": (codec.CHUNK, seal_chunk(RING, CHUNK, b"payload"), lambda sealed: open_chunk(RING, sealed)),
    "block": (codec.OUTCOMES, seal_block(RING, BLOCK, b"values"), lambda sealed: open_block(RING, sealed, "b")),
    "poison": (codec.POISON, POISON.sealed(RING), lambda sealed: Poison.opened(RING, sealed)),
    "function": (
        codec.FUNCTION,
        RING.seal(codec.FUNCTION, wire.written(FUNCTION), packing.dumps((abs, {}))),
        opened_function,
    ),
}


def changed(kind: bytes, sealed: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The same message with another head, signed as the other version would."""
    head, body = RING.open(kind, sealed)
    change(head)
    return RING.seal(kind, head, body)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> tuple[bytes, bytes, Callable[[bytes], Any]]:
    return FORMS[request.param]


def test_what_the_next_version_adds_is_ignored(form: Any) -> None:
    kind, sealed, opened = form
    theirs = changed(kind, sealed, lambda head: head.update(version=wire.VERSION + 1, news="of the next version"))
    assert opened(theirs) == opened(sealed)


def test_what_needs_a_newer_reader_is_refused_in_clear_words(form: Any) -> None:
    kind, sealed, opened = form
    newer = wire.VERSION + 1
    with pytest.raises(MessageRefused, match=rf"newer version of manycore: it needs wire version {newer}, here is"):
        opened(changed(kind, sealed, lambda head: head.update(version=newer, reader=newer)))


def test_what_the_last_version_did_not_write_has_its_default() -> None:
    def before(head: dict[str, Any]) -> None:
        for name in ("version", "reader", "postponed", "suspect"):
            del head[name]
        del head["options"]["timeout"]
        del head["backoff"]["jitter"]

    chunk, _ = open_chunk(RING, changed(codec.CHUNK, seal_chunk(RING, CHUNK, b""), before))
    assert (chunk.postponed, chunk.suspect, chunk.options.timeout) == (0, False, None)
    assert chunk.options.backoff == Backoff(1.0)

    def without_version(head: dict[str, Any]) -> None:
        del head["version"], head["reader"]

    for kind, sealed, opened in FORMS.values():
        assert opened(changed(kind, sealed, without_version)) == opened(sealed)


@pytest.mark.parametrize("head", [None, (1, 2), "text", {"reader": "x"}, {}, {"batch": "b", "indices": 5}])
def test_a_signed_head_that_makes_no_sense_is_refused(form: Any, head: Any) -> None:
    kind, sealed, opened = form
    with pytest.raises(MessageRefused):
        opened(RING.seal(kind, head, RING.open(kind, sealed).body))
