"""`mapping`: a file's bytes are the same whether they are mapped or copied; only what is large takes a descriptor."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from manycore.protocol.mapping import COPIED_BYTES, bytes_of

LARGE = 4 * COPIED_BYTES


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("size", [1, COPIED_BYTES, LARGE])
@pytest.mark.parametrize("limit", [resource.RLIM_INFINITY, 1 << 20, 4])
def test_all_its_bytes_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private: bool, size: int, limit: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file:
        view = bytes_of(file.fileno(), size, private=private)
    assert view == content
    assert view.readonly is not private
    if private:
        view[0] = 0
        assert (tmp_path / "file").read_bytes() == content


@pytest.mark.parametrize(("size", "limit"), [(COPIED_BYTES, 1 << 20), (LARGE, 4)])
def test_small_files_take_no_descriptors_and_none_do_where_few_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, limit: int
) -> None:
    """An item whose arguments were two thousand objects could open no file."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    (tmp_path / "file").write_bytes(bytes(size))
    before, held = open_descriptors(), []
    for _ in range(20):
        with (tmp_path / "file").open("rb") as file:
            held.append(bytes_of(file.fileno(), size, private=False))
    assert open_descriptors() == before
