"""The Python examples of the docs that are followed by their output."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "tasks" / "README.md"]
_EXAMPLE = re.compile(r"```python\n(?P<code>(?:(?!```).)*)```\n```text\n(?P<output>.*?)```", re.DOTALL)


_MODULE = re.compile(r"```python\n# (?P<path>[a-z/]+\.py)\n(?P<code>.*?)```", re.DOTALL)


class Example(NamedTuple):
    """A script, what it prints, and the modules that its page shows: path -> source."""

    code: str
    output: str
    modules: dict[str, str]


def examples(page: Path) -> list[Example]:
    """The examples of a page, in its order."""
    text = page.read_text()
    modules = {match["path"]: match["code"] for match in _MODULE.finditer(text)}
    return [Example(match["code"], match["output"], modules) for match in _EXAMPLE.finditer(text)]
