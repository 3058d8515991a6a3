"""Archives that no client makes, sent to a live worker, all to one: each is refused, none leaves anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import MessageRefused
from manycore.protocol.archive import Archive
from manycore.protocol.signing import Keyring
from tests.hostile import HOSTILE, OUTSIDE
from tests.integration.conftest import Server
from tests.probe import Probe

ASKED_EVERY = 8


def everything(folder: Path) -> dict[Path, bytes]:
    """What there is in the folders that a worker and its server have; of modules, with their contents."""
    return {path: path.read_bytes() if path.suffix == ".py" else b"" for path in folder.rglob("*")}


def test_hostile_archives_are_refused_by_a_worker_that_goes_on(
    server: Server,
    start_worker: Callable[..., Any],
    connect: Callable[..., Cluster],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One process meets all of them, and runs in between what others ask it for, with modules of their own."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    worker, ring = start_worker(), Keyring.parse(server.key)
    honest, hostile = connect(), connect()
    with Probe(honest).sending_code(Archive.of(ring, {"honest.py": b"VALUE = 7"})):

        def ask() -> int:
            """A module that travels, in the process that all others meet."""
            return honest.submit(lambda: (__import__("honest").VALUE, os.getpid())).result(timeout=20)  # type: ignore

        first, before = ask(), everything(tmp_path)
        for number, (what, (forge, why)) in enumerate(HOSTILE.items()):
            with Probe(hostile).sending_code(forge(ring)), pytest.raises(MessageRefused, match=why):
                hostile.submit(abs, number).result(timeout=20)
            assert number % ASKED_EVERY or ask() == first, what
        assert ask() == first
    assert len(HOSTILE) >= 40
    assert worker.poll() is None
    assert everything(tmp_path) == before
    assert not [path for path in OUTSIDE if path.exists()]
