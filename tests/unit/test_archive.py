"""An archive of source: the same bytes everywhere, and nothing of it is believed before all of it was checked."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manycore.errors import MessageRefused
from manycore.protocol.archive import digest_of, open_archive, seal_archive
from manycore.protocol.signing import Keyring, generate_key
from tests.hostile import BOMB_BYTES, HOSTILE

KEYRING = Keyring([generate_key().encode()])
FILES = {"mylib.py": b"x = 1\n", "pkg/__init__.py": b"", "pkg/data/a.json": b"{}"}
names = st.from_regex(r"[a-z_]{1,8}x", fullmatch=True)


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


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_one_is_refused_and_it_is_said_why(what: str) -> None:
    forge, why = HOSTILE[what]
    hostile = forge(KEYRING)
    with pytest.raises(MessageRefused, match=why):
        open_archive(KEYRING, hostile.sealed, hostile.digest)


def test_a_bomb_is_not_inflated() -> None:
    bomb = HOSTILE["a bomb"][0](KEYRING)
    assert len(bomb.sealed) < BOMB_BYTES / 500
    tracemalloc.start()
    with pytest.raises(MessageRefused):
        open_archive(KEYRING, bomb.sealed, bomb.digest)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < BOMB_BYTES / 50
