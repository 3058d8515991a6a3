"""An archive of source: the same bytes everywhere, and nothing of it is believed before all of it was checked."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.errors import MessageRefused
from manycore.protocol import archive, signing
from manycore.protocol.archive import digest_of, open_archive, seal_archive
from manycore.protocol.signing import Keyring, generate_key

KEYRING = Keyring([generate_key().encode()])
FILES = {"mylib.py": b"x = 1\n", "pkg/__init__.py": b"", "pkg/data/a.json": b"{}"}
names = st.from_regex(r"[a-z_]{1,8}x", fullmatch=True)


def forged(files: Any, body: bytes = b"", **changes: Any) -> tuple[bytes, str]:
    """A rightly signed archive whose list says what it likes."""
    digest = "d" * 32
    head = {"version": archive.VERSION, "digest": digest, "files": files} | changes
    return KEYRING.seal(signing.CODE, head, body if body else zlib.compress(b"")), digest


@given(st.dictionaries(st.lists(names, min_size=1, max_size=3).map("/".join), st.binary(max_size=50), max_size=6))
def test_what_was_sealed_opens(files: dict[str, bytes]) -> None:
    files = {f"{path}.py" if "/" not in path else path: content for path, content in files.items()}
    if any(other.startswith(path + "/") for path in files for other in files):
        return  # a file cannot be a folder too
    assert open_archive(KEYRING, seal_archive(KEYRING, files), digest_of(files)) == files


def test_the_order_of_files_does_not_matter() -> None:
    assert digest_of(FILES) == digest_of(dict(reversed(FILES.items())))


@pytest.mark.parametrize("other", [FILES | {"mylib.py": b"x = 2\n"}, FILES | {"new.py": b""}, {"mylib.pyx": b" = 1\n"}])
def test_any_change_gives_another_digest(other: dict[str, bytes]) -> None:
    assert digest_of(other) != digest_of(FILES)


HOSTILE_PATHS = [
    "../up.py", "a/../../up.py", "/etc/cron.d/x", "//x.py", "a//b.py", "", ".", "..", "a/.", "a/..", "./a.py",
    "a\\..\\b.py", "a\x00.py", "a\nb.py", "\x1b[2J.py", "x" * 500, "a/" * 300 + "b.py",
    "os.py", "json/__init__.py", "sys.py", "random.py", "encodings/x.py", "manycore/__init__.py", "manycore.py",
    "sitecustomize.py", "usercustomize.py", "builtins.py", "importlib/util.py",
]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(MessageRefused):
        open_archive(KEYRING, *forged([(path, 0)]))


HOSTILE_LISTS: list[Any] = [
    None, 7, "files", [None], [("a.py",)], [("a.py", -1)], [("a.py", "1")], [(b"a.py", 0)], [("a.py", 0), ("a.py", 0)],
    [("a", 0), ("a/b.py", 0)], [("a.py", archive.MAX_BYTES + 1)], [(f"m{n}.py", 0) for n in range(20_001)],
]  # fmt: skip


@pytest.mark.parametrize("files", HOSTILE_LISTS, ids=lambda files: repr(files)[:30])
def test_a_list_that_cannot_be_is_refused(files: Any) -> None:
    with pytest.raises(MessageRefused):
        open_archive(KEYRING, *forged(files))


@pytest.mark.parametrize("head", [None, 7, [], {}, {"version": 1}], ids=str)
def test_a_head_that_cannot_be_is_refused(head: Any) -> None:
    with pytest.raises(MessageRefused):
        open_archive(KEYRING, KEYRING.seal(signing.CODE, head, b""), "d")


def test_a_bomb_is_not_inflated() -> None:
    bomb = zlib.compress(b"\0" * (200 * 1024 * 1024), 9)
    with pytest.raises(MessageRefused, match="does not hold what its list says"):
        open_archive(KEYRING, *forged([("a.py", 10)], bomb))


@pytest.mark.parametrize("body", [b"junk", zlib.compress(b"12345"), zlib.compress(b"1234567890") + b"more"])
def test_a_body_that_is_not_what_the_list_says_is_refused(body: bytes) -> None:
    with pytest.raises(MessageRefused):
        open_archive(KEYRING, *forged([("a.py", 10)], body))


def test_contents_that_do_not_have_the_digest_are_refused() -> None:
    with pytest.raises(MessageRefused, match="does not have the digest"):
        open_archive(KEYRING, *forged([("a.py", 5)], zlib.compress(b"12345")))


def test_another_archive_than_the_one_that_was_named_is_refused() -> None:
    with pytest.raises(MessageRefused, match="the message names"):
        open_archive(KEYRING, seal_archive(KEYRING, FILES), "e" * 32)


def test_a_strangers_archive_is_refused() -> None:
    stranger = Keyring([generate_key().encode()])
    with pytest.raises(MessageRefused, match="signed with key"):
        open_archive(KEYRING, seal_archive(stranger, FILES), digest_of(FILES))


def test_a_function_does_not_pass_for_an_archive() -> None:
    with pytest.raises(MessageRefused):
        open_archive(KEYRING, KEYRING.seal(signing.FUNCTION, {}, b""), "d" * 32)


def test_a_version_of_the_future_is_refused_clearly() -> None:
    with pytest.raises(MessageRefused, match="version 2, known here: 1"):
        open_archive(KEYRING, *forged([], version=2))
