"""Importing manycore costs nothing; what it needs is imported when a cluster is made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import manycore

HEAVY = ["asyncio", "celery", "cloudpickle", "kombu", "pydantic", "redis", "rich"]


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize("statement", ["import manycore", "from manycore import Cluster", "from manycore import task"])
def test_the_import_is_light(statement: str) -> None:
    heavy = [name for name in HEAVY if name != "asyncio" or statement == "import manycore"]
    assert run(f"{statement}; import sys; print([name for name in {heavy} if name in sys.modules])") == "[]\n"


def test_a_client_needs_no_celery() -> None:
    heavy = ["billiard", "celery", "kombu", "cloudpickle", "rich"]
    code = f"import manycore.client.session, sys; print([name for name in {heavy} if name in sys.modules])"
    assert run(code) == "[]\n"


def test_every_public_name_is_there() -> None:
    assert run("from manycore import *; import manycore; print(set(manycore.__all__) <= set(dir()))") == "True\n"


@pytest.mark.parametrize("before", ["manycore.task", "manycore.client.functions"])
def test_task_is_the_decorator_whatever_was_imported_before(before: str) -> None:
    assert run(f"import {before}; from manycore import task; print(task(run := lambda: 1) is run)") == "True\n"


def test_a_name_that_is_not_there_says_so() -> None:
    with pytest.raises(AttributeError, match="module 'manycore' has no attribute 'Clutser'"):
        _ = manycore.Clutser


def test_a_file_named_like_a_module_of_pythons_own_is_said(tmp_path: Path) -> None:
    """`from ... import` makes "cannot import name" of any `AttributeError`."""
    (tmp_path / "select.py").touch()
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from manycore import Cluster"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "Cluster cannot be imported: module 'select' has no attribute" in done.stderr
