"""The Python examples of the docs that are followed by their output."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "tasks" / "README.md"]
_EXAMPLE = re.compile(r"```python\n(?P<code>.*?)```\n```text\n(?P<output>.*?)```", re.DOTALL)


class Example(NamedTuple):
    """A script, and what it prints."""

    code: str
    output: str


def examples(page: Path) -> list[Example]:
    """The examples of a page, in its order."""
    return [Example(match["code"], match["output"]) for match in _EXAMPLE.finditer(page.read_text())]
