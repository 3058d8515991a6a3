"""A lock that is held around a block ends with it, also where a process that was forked in it lives on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from manycore.protocol.home import Home
from manycore.worker.child import suspects
from manycore.worker.code import CodeStore
from tests.locked import is_locked

FORK = get_context("fork")


def in_a_home(folder: Path) -> AbstractContextManager[None]:
    return Home(folder).alone(1.0)


def in_a_store(folder: Path) -> AbstractContextManager[None]:
    return CodeStore(folder)._locked()


@contextmanager
def that_outlives() -> Iterator[Callable[[], None]]:
    """Gives what forks a process that lives until the end."""
    ours, theirs = FORK.Pipe()
    forked: Any = FORK.Process(target=ours.recv)
    try:
        yield forked.start
    finally:
        theirs.send(None)
        forked.join()


@pytest.mark.parametrize(("enter", "lock"), [(in_a_home, ".turn"), (suspects.alone, "suspect"), (in_a_store, "lock")])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_it_ends_though_a_forked_process_lives_on(
    enter: Callable[[Path], AbstractContextManager[object]], lock: str, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    folder.mkdir(mode=0o700)
    with that_outlives() as fork:
        with enter(folder):
            fork()
            assert is_locked(folder / lock)
        assert not is_locked(folder / lock)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_that_leaves_the_block_ends_nothing(tmp_path: Path) -> None:
    """A copy of an item that comes to the end of its turn."""
    block = suspects.alone(tmp_path)
    block.__enter__()
    copied = FORK.Process(target=block.__exit__, args=(None, None, None))
    copied.start()
    copied.join()
    assert is_locked(tmp_path / "suspect")
    block.__exit__(None, None, None)
    assert not is_locked(tmp_path / "suspect")
