"""What a shipped function is sure to import is found in its pickle, in its body, and in the caller's own modules."""

from __future__ import annotations

import ast
import json
import pickle
import xml.dom.minidom
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manycore.client.found import stamp_of
from manycore.client.imports import in_body, named_in, needed_by, outside, sure
from manycore.protocol import pickling

ODD = "click"
"""A string that is the name of a module, and no import."""


def files(folder: Path, sources: dict[str, str]) -> dict[str, tuple[str, tuple[int, int]]]:
    found = {}
    for name, source in sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        stamp = stamp_of(str(path))
        assert stamp is not None
        found[name] = (str(path), stamp)
    return found


def by_value(source: str) -> Callable[..., Any]:
    """A function of a script, which travels by value."""
    namespace: dict[str, Any] = {"__name__": "__main__", "json": json, "minidom": xml.dom.minidom, "ODD": ODD}
    exec(source, namespace)
    function: Callable[..., Any] = namespace["f"]
    return function


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(n): return json.dumps(n)", {"json"}),
        ("def f(n): return minidom.parseString(n), json.dumps(n)", {"json", "xml.dom.minidom"}),
        ("def f(n): return ODD, json", {"json"}),
        ("def f(n): return ODD", set()),
    ],
)
def test_the_modules_that_a_function_by_value_refers_to(source: str, expected: set[str]) -> None:
    named = named_in(pickling.dumps(by_value(source)))
    assert {name for name in named if not name.startswith(("cloudpickle", "builtins", "manycore", "types"))} == expected


def test_the_module_of_a_function_by_name() -> None:
    assert named_in(pickle.dumps((json.dumps, {"a": [json.loads, "os"]}), protocol=5)) == {"json"}


def test_only_what_is_sure_to_be_imported_counts() -> None:
    source = """
import one, two.deep as alias
from three import name
try:
    import not_this
except ImportError:
    import nor_this
if TYPE_CHECKING:
    import nor_that
with suppress(ImportError):
    import never_missed
def later():
    import perhaps
class Here:
    import four
"""
    found = {name.partition(".")[0] for name in sure(ast.parse(source).body, "")}
    assert found == {"one", "two", "three", "four"}


def body(number: int) -> int:
    import click

    if number:
        import rich  # noqa: F401
    return len(click.__name__)


def test_what_the_body_of_a_function_imports() -> None:
    assert in_body(body) == ["click"]
    assert in_body(lambda: None) == in_body(None) == in_body(len) == []


def test_the_callers_own_modules_are_followed(tmp_path: Path) -> None:
    own = files(
        tmp_path,
        {
            "app/__init__.py": "import from_init",
            "app/work.py": "from . import sibling\nfrom .deep.part import thing\nimport json\n",
            "app/sibling.py": "from from_sibling import x",
            "app/deep/__init__.py": "",
            "app/deep/part.py": "from ..relative import y\nfrom ...too_far import z",
            "app/relative.py": "import helper",
            "helper.py": "import from_helper",
            "plots.py": "import matplotlib",
            "namespace/part.py": "import from_namespace",
            "broken.py": "import (",
        },
    )
    assert outside(["app.work"], own) == {"from_init", "from_sibling", "from_helper"}
    assert outside(["broken", "plots", "namespace.part"], own) == {"matplotlib", "from_namespace"}


def test_an_edit_is_seen(tmp_path: Path) -> None:
    assert outside(["m"], files(tmp_path, {"m.py": "import one"})) == {"one"}
    assert outside(["m"], files(tmp_path, {"m.py": "import another"})) == {"another"}


def test_nothing_of_the_standard_library_or_ours_is_needed() -> None:
    def shipped(number: int) -> str:
        return json.dumps(number)

    assert needed_by(shipped, pickling.dumps(shipped), {}) <= {"tests"}


def test_what_other_threads_parse_meanwhile_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of Python 3.11 and 3.12: `SystemError` out of `batch`, when two threads began one."""
    parse, met = ast.parse, iter([True, True, False])

    def meets(source: Any) -> ast.Module:
        if next(met):
            raise SystemError("AST constructor recursion depth mismatch (before=45, after=52)")
        tree: ast.Module = parse(source)
        return tree

    monkeypatch.setattr(ast, "parse", meets)
    assert outside(["own"], files(tmp_path, {"own.py": "import click"})) == {"click"}


def test_a_module_that_no_python_can_read_imports_nothing(tmp_path: Path) -> None:
    assert outside(["own"], files(tmp_path, {"own.py": "x = " + "(" * 5_000 + ")" * 5_000})) == set()
