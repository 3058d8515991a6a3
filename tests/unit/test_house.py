"""The house stays one where people find their way: short files, short functions, and a map that names its folders."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = (ROOT / "docs" / "architecture.md").read_text()
OURS = ("manycore", "workers", "tasks", "ops", "tests", "benchmarks", "examples")
MAX_LINES = 300
P90_LINES = 15
"""Of a function, its docstring included: nine of ten are no longer."""


def files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def functions(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            yield node.end_lineno - node.lineno + 1


def test_no_file_is_long() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files(*OURS)}
    assert {name: lines for name, lines in long.items() if lines > MAX_LINES} == {}


@pytest.mark.parametrize("folder", ["manycore", "tests"])
def test_most_functions_are_short(folder: str) -> None:
    lengths = sorted(length for path in files(folder) for length in functions(path))
    assert lengths[len(lengths) * 9 // 10] <= P90_LINES


def test_the_map_names_every_folder_of_the_library_and_nothing_else() -> None:
    assert len(HOUSE.splitlines()) < 80
    rows = [line.split("|")[1] for line in HOUSE.splitlines() if line.startswith("| `")]
    named = {folder for row in rows for folder in re.findall(r"`(?:manycore/)?([a-z/]*)`", row)} - {""}
    there = {f"{path.parent.relative_to(ROOT / 'manycore')}/" for path in files("manycore")} - {"./", "worker/"}
    assert named == there


@pytest.mark.parametrize("word", sorted(set(re.findall(r"`([a-z_]+)`", HOUSE))))
def test_what_the_map_names_is_there(word: str) -> None:
    """Each word in code style is a file, a folder, or a name that some file defines."""
    assert any(path.stem == word or path.parent.name == word for path in files("manycore")) or any(
        re.search(rf"\b{word}\b", path.read_text()) for path in files("manycore")
    )
