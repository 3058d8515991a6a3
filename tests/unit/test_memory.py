"""The memory limit of an item: what is beyond it fails in the item, and in nothing after it."""

from __future__ import annotations

import resource
import threading

import pytest

from manycore.worker.child.memory import memory_limit

MIB = 1 << 20


def take(size: int) -> int:
    return len(bytearray(size))


def test_an_item_within_its_limit_runs() -> None:
    with memory_limit(64 * MIB):
        assert take(8 * MIB) == 8 * MIB


def test_an_item_beyond_its_limit_fails() -> None:
    with pytest.raises(MemoryError), memory_limit(64 * MIB):
        take(128 * MIB)


def test_the_limit_ends_with_the_item() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(MemoryError), memory_limit(MIB):
        take(64 * MIB)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert take(64 * MIB) == 64 * MIB


def test_what_the_process_has_already_does_not_count() -> None:
    held = bytearray(128 * MIB)
    with memory_limit(64 * MIB):
        assert take(8 * MIB) == 8 * MIB
    assert len(held) == 128 * MIB


def test_items_on_other_threads_are_not_bounded() -> None:
    """They share their process with the items of other threads, which the limit would hit as well."""
    seen: list[int] = []

    def limited() -> None:
        with memory_limit(MIB):
            seen.append(take(64 * MIB))

    thread = threading.Thread(target=limited)
    thread.start()
    thread.join()
    assert seen == [64 * MIB]
