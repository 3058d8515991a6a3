"""Each example prints what its docstring says, and so does the demo's short form end well."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 50
EXAMPLES = ("quickstart", "errors", "lazy", "crashes", "asyncio_await", "initializer", "shared")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this Python with `arguments` in the project's folder."""
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)


def promised_output(source: str) -> str:
    """The block after `Prints:` in the docstring of a module."""
    docstring = ast.get_docstring(ast.parse(source)) or ""
    _, separator, block = docstring.partition("Prints:\n\n")
    assert separator, "The docstring of an example says what it prints."
    return dedent(block).strip() + "\n"


def test_every_example_is_tested() -> None:
    found = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert found == {*EXAMPLES, "demo", "__init__"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_its_docstring_says(name: str) -> None:
    path = ROOT / "examples" / f"{name}.py"
    done = run(str(path))
    assert (done.stdout, done.stderr, done.returncode) == (promised_output(path.read_text()), "", 0)


def test_the_demo_checks_its_answers_and_draws_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "mandelbrot.png"
    done = run("-m", "examples.demo", "--quick", "--out", str(picture))
    assert done.returncode == 0, done.stderr
    assert "5,761,455" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
