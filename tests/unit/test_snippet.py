"""Code as source: what is compiled from it is the very code, here and on each other Python of this machine."""

from __future__ import annotations

import functools
import linecache
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import cloudpickle
import pytest

from manycore.errors import VersionMismatch
from manycore.protocol import byvalue, packing, pickling, snippet
from manycore.protocol.byvalue import ByValue, Portable
from manycore.protocol.fingerprint import digest_of
from tests.unit import program_of_a_script as script

OTHERS = sorted({*Path.home().glob(".pyenv/versions/3.1[1-9].*/bin/python"), *Path("/usr/bin").glob("python3.1[1-9]")})
"""Pythons of this machine; whichever there are."""


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


@decorated
@functools.cache
def recursive(number: int) -> int:
    return 1 if number < 2 else number * recursive(number - 1)


def closure(add: int) -> Callable[[int], int]:
    def inner(number: int) -> int:
        return inner(number - 1) + add if number else 0

    return inner


class Hidden:
    __secret = 3

    def method(self) -> float:
        return abs(self.__secret) if __class__ is Hidden else 0.0  # type: ignore[name-defined]


PAIR = (lambda n: n + 1, lambda n: n + 2)
FUNCTIONS = [recursive.__wrapped__, closure, closure(1), Hidden.method, *PAIR, lambda n: [m * n for m in range(n)]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("function", FUNCTIONS, ids=range(len(FUNCTIONS)))
def test_the_source_gives_the_same_code_with_the_same_lines(function: FunctionType) -> None:
    code = snippet.compiled(*snippet.snippet_of(function.__code__))
    assert digest_of(code) == digest_of(function.__code__)
    assert (code.co_firstlineno, code.co_filename) == (function.__code__.co_firstlineno, function.__code__.co_filename)


def from_elsewhere(function: Any) -> snippet.Snippet:
    """Its source, as if from a file that is not on this machine."""
    found = snippet.snippet_of(function.__code__)
    return found._replace(file="gone.py", line=found.line + 1_000, first=found.first + 1_000)


def test_what_came_as_source_goes_on_as_source() -> None:
    known = from_elsewhere(closure)
    code = snippet.compiled(*known)
    assert snippet.snippet_of(code) == snippet.known(code) == known


def test_what_a_snippets_function_makes_goes_on_as_source_too() -> None:
    code = snippet.compiled(*from_elsewhere(closure))
    (inner,) = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    assert snippet.snippet_of(inner).file == "gone.py"


def test_a_program_may_be_edited_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "running.py"
    there: dict[str, Any] = {}
    path.write_text("def f():\n    return 11\n\n\ndef g():\n    return 2\n")
    exec(compile(path.read_text(), str(path), "exec"), there)
    snippet.snippet_of(there["f"].__code__)
    path.write_text("# edited\n")
    linecache.checkcache(str(path))
    assert "return 2" in snippet.snippet_of(there["g"].__code__).text


@pytest.mark.parametrize("text", ["def f():\n    return 2\n", "\ndef f():\n    return 1\n", "def f(:\n", "x = 1\n"])
def test_a_file_that_was_edited_is_not_taken_for_the_source(text: str, tmp_path: Path) -> None:
    path = tmp_path / "edited.py"
    there: dict[str, Any] = {}
    exec(compile("def f():\n    return 1\n", str(path), "exec"), there)
    path.write_text(text)
    linecache.checkcache(str(path))
    with pytest.raises(snippet.NoSource) as caught:
        snippet.snippet_of(there["f"].__code__)
    assert caught.value.args[0] == "f"
    assert caught.value.args[1].startswith(("its source was edited", "what stands there now is no Python"))


def test_byte_code_of_another_python_is_refused_and_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byvalue, "here", lambda: (3, 99))
    other = pickling.dumps(lambda: 1)
    with pytest.raises(VersionMismatch, match=r"<lambda> .* byte code of Python 3\.99, which Python 3\."):
        packing.rebuilt(other)


def test_byte_code_says_which_file_it_is_of_whatever_cloudpickle_makes_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    table, code = cloudpickle.Pickler.dispatch_table.maps[0], compile("1", "a.py", "eval")
    make, parts = table[CodeType](code)
    parts = tuple("<dynamic-code>" if part == "a.py" else part for part in parts)
    monkeypatch.setitem(table, CodeType, lambda _: (make, parts))
    rebuilt = pickle.loads(pickled(code, ByValue))
    assert (rebuilt, rebuilt.co_filename) == (code, "a.py")


def test_a_class_that_comes_back_is_the_own_one_as_it_is_now() -> None:
    held = pickling.dumps(script.Counter())
    script.Counter.total = 5
    try:
        assert type(packing.rebuilt(held)) is script.Counter
        assert script.Counter.total == 5
    finally:
        script.Counter.total = 0


def pickled(value: Any, pickler: type[ByValue]) -> bytes:
    sink = BytesIO()
    cloudpickle.register_pickle_by_value(script)  # as if it were `__main__`
    try:
        pickler(sink, protocol=5).dump(value)
    finally:
        cloudpickle.unregister_pickle_by_value(script)
    return sink.getvalue()


OTHER_END = """
import pickle, sys
from io import BytesIO
from manycore.protocol.byvalue import ByValue
function, arguments = pickle.loads(sys.stdin.buffer.read())
ByValue(sys.stdout.buffer, protocol=5).dump(function(*arguments))
"""


@pytest.mark.parametrize(
    ("python", "pickler"),
    [(Path(sys.executable), ByValue), *((python, Portable) for python in OTHERS)],
    ids=["this one, as byte code", *(f"{path.parts[-3]}, as source" for path in OTHERS)],
)
def test_a_script_runs_elsewhere_and_its_results_come_back(
    python: Path, pickler: type[ByValue], tmp_path: Path
) -> None:
    """With what Portable needs and no more: this Python's packages are not the other's."""
    os.symlink(Path(cloudpickle.__file__).parent, tmp_path / "cloudpickle")
    root = Path(packing.__file__).parents[2]
    expected = script.everything(4)
    done = subprocess.run(
        [python, "-c", OTHER_END],
        input=pickled((script.everything, [4]), pickler),
        env={"PYTHONPATH": f"{tmp_path}:{root}", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr.decode()
    found = pickle.loads(done.stdout)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]
