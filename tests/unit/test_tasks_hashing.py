"""`tasks.hashing` gives the standard's digests, and runs on the `io` fleet."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from manycore.task import task_info
from tasks.hashing import sha256_of


@pytest.mark.parametrize(
    ("content", "digest"),
    [
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ],
)
def test_the_vectors_of_the_standard(content: bytes, digest: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == digest


@pytest.mark.parametrize("size", [2**18 - 1, 2**18, 2**18 + 1])
def test_chunk_borders_do_not_matter(size: int, tmp_path: Path) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "file").write_bytes(content[:size])
    assert sha256_of(str(tmp_path / "file")) == hashlib.sha256(content[:size]).hexdigest()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "none"):
        with pytest.raises(ValueError, match="is no file on this machine"):
            sha256_of(missing)


def test_it_belongs_to_the_io_fleet() -> None:
    info = task_info(sha256_of)
    assert info is not None
    assert (info.name, info.fleet) == ("tasks.hashing.sha256_of", "io")
