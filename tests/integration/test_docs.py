"""Every Python example of the docs that is followed by its output prints it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import PAGES, ROOT, Example, examples

FOUND = [
    pytest.param(example, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, example in enumerate(examples(page))
]


@pytest.mark.parametrize("example", FOUND)
def test_an_example_prints_what_the_page_says(example: Example, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    for path, source in (example.modules | {script.name: example.code}).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(source)
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.returncode) == (example.output, 0), done.stderr


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
