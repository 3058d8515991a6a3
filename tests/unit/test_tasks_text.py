"""`tasks.text` counts tokens, and finds the standard library's sources."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text import count_tokens, merge, python_sources


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "words.txt"


def test_counts_identifiers_and_words(path: Path) -> None:
    path.write_text("def f_1(x): return x + x  # élan, Élan", encoding="utf-8")
    assert count_tokens(path) == {"def": 1, "f_1": 1, "x": 3, "return": 1, "élan": 1, "Élan": 1}


def test_numbers_are_no_tokens(path: Path) -> None:
    path.write_text("12 0x1F 3rd a1")
    assert count_tokens(str(path)) == {"a1": 1}


def test_undecodable_bytes_part_words(path: Path) -> None:
    path.write_bytes(b"caf\xe9 \xff\xfe ok\xffok")
    assert count_tokens(path) == {"caf": 1, "ok": 2}


def test_an_empty_file_has_no_tokens(path: Path) -> None:
    path.touch()
    assert count_tokens(path) == {}


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(ValueError, match="is no file on this machine"):
            count_tokens(missing)


counts = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 99))


@given(st.lists(counts), st.integers(0, 20))
def test_merging_parts_merges_the_whole(counters: list[dict[str, int]], cut: int) -> None:
    whole = merge(counters)
    assert whole == merge([merge(counters[:cut]), merge(counters[cut:])])
    assert whole.total() == sum(sum(counter.values()) for counter in counters)


def test_merge_leaves_its_inputs_alone() -> None:
    first = Counter(a=1)
    assert merge([first, Counter(a=2)]) == {"a": 3}
    assert first == {"a": 1}


def test_finds_the_standard_library() -> None:
    found = python_sources()
    assert os.__file__ in found
    assert found == sorted(set(found))
    assert len(found) > 500


def test_skips_installed_packages_and_other_files(tmp_path: Path) -> None:
    for name in ("b.py", "a/c.py", "a/c.txt", "site-packages/d.py", "a/__pycache__/e.py", "a/dist-packages/f.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert python_sources(tmp_path) == [str(tmp_path / "a/c.py"), str(tmp_path / "b.py")]


def test_what_is_no_folder_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="is no folder on this machine"):
        python_sources(path)
