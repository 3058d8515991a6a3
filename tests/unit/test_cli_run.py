"""`manycore run`, as far as it needs no cluster: what it reads and writes, what it refuses before it starts one."""

from __future__ import annotations

import json
import sys
from collections import namedtuple
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from manycore.cli import lines
from manycore.cli import run as cli
from manycore.cli.__main__ import main
from manycore.client.outcome import Outcome

Point = namedtuple("Point", "x y")


@dataclass
class Shape:
    name: str
    at: Any


@pytest.fixture(autouse=True)
def import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command searches the user's folders, too."""
    monkeypatch.setattr("sys.path", [*sys.path])


def read(content: bytes, *, text: bool = False, star: bool = False) -> list[Any]:
    return list(lines.read(BytesIO(content), text=text, star=star))


def test_each_line_is_an_item_and_empty_ones_are_none() -> None:
    assert read(b'1\n"a"\r\n\n  \nnull\n{"b": [2]}') == [1, "a", None, {"b": [2]}]


def test_a_line_is_a_text_as_it_is() -> None:
    assert read(b"1\n a b \ngr\xf6\xdfer\n", text=True) == ["1", " a b ", "gr\udcf6\udcdfer"]


@pytest.mark.parametrize("line", [b"{", b"\xff", b"[" * 100_000], ids=["cut", "no text", "deep"])
def test_a_line_that_is_no_json_is_named(line: bytes) -> None:
    with pytest.raises(click.ClickException, match=r"^Line 2 is no JSON: .*--text"):
        read(b"1\n" + line + b"\n")


def test_arguments_are_a_list() -> None:
    assert read(b"[1, 2]\n", star=True) == [[1, 2]]
    with pytest.raises(click.ClickException, match="Line 1 is no list of arguments"):
        read(b'"ab"\n', star=True)


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": (1, None)}, {"a": [1, None]}),
        (np.arange(3), [0, 1, 2]),
        (np.float64(0.5), 0.5),
        ([np.int8(1)], [1]),
        (Shape("dot", Point(1, {2})), {"name": "dot", "at": [1, [2]]}),
        (b"x", "b'x'"),
        (Shape, repr(Shape)),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (LOOP, "[[...]]"),
    ],
    ids=str,
)
def test_every_result_has_a_line(value: Any, written: Any) -> None:
    assert json.loads(lines.dumped(value)) == written


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


def test_a_number_of_any_size_is_written_and_read() -> None:
    """Python itself stops at 4,300 digits."""
    line = lines.dumped({"n": 10**5_000})
    assert line == f'{{"n": 1{"0" * 5_000}}}'
    assert lines.dumped({10**5_000: 1, (1,): 2}).startswith('"{1000')
    assert read(line.encode()) == [{"n": 10**5_000}]


def test_a_result_whose_class_fails_has_a_line() -> None:
    assert json.loads(lines.dumped([Mute()])) == "[<Mute>]"


@pytest.mark.parametrize("value", [{(1, 2): 3}, LOOP, Mute()], ids=["keys", "loop", "mute"])
def test_all_there_is_to_say_is_an_object_whatever_the_value(value: Any) -> None:
    said = json.loads(lines.told(Outcome(4, value)))
    assert (said["index"], type(said["value"]), said["attempts"]) == (4, str, 1)


@pytest.mark.parametrize("text", [True, False])
def test_a_mark_of_byte_order_is_no_part_of_the_first_item(text: bool) -> None:
    assert read(b'\xef\xbb\xbf"a"\n', text=text) == ['"a"' if text else "a"]


def test_a_closed_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(click.BadParameter, match="there is no standard input"):
        cli._Input("rb").convert("-", None, None)


def test_results_are_written_in_order_and_as_soon_as_they_can(capsys: pytest.CaptureFixture[str]) -> None:
    def arrive() -> Any:
        for index, before in ((1, ""), (0, ""), (3, "10\n11\n"), (2, "10\n11\n")):
            assert so_far() == before
            yield Outcome(index, index + 10)

    written: list[str] = []

    def so_far() -> str:
        written.append(capsys.readouterr().out)
        return "".join(written)

    cli._write(arrive(), as_outcomes=False)
    assert so_far() == "10\n11\n12\n13\n"


def test_a_function_is_found_in_a_module_and_in_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_alone.py").write_text("class A:\n    @staticmethod\n    def b(x): return x + 1\n")
    assert cli._function(f"{tmp_path}/mine_alone.py:A.b")(1) == 2  # type: ignore[operator]
    monkeypatch.chdir(tmp_path)
    assert cli._function("mine_alone:A.b")(1) == 2  # type: ignore[operator]
    assert cli._function("tasks.primes.count_primes") == "tasks.primes.count_primes"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("types.py:f", "types.py:f cannot be had: ImportError: Python has <module 'types' from"),
        ("time.py:f", "Python has <module 'time' (built-in)> under this name. Next: rename the file."),
        ("random.py:randint", "random.py:randint cannot be had: there is no file random.py"),
    ],
)
def test_a_script_is_its_file_and_no_module_of_its_name(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("types.py", "time.py"):
        Path(file).write_text("def f(x): return x\n")
    with pytest.raises(click.BadParameter) as refused:
        cli._function(name)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        ("1 / 0", ["{script}:f"], "ZeroDivisionError: division by zero"),
        ("\nimport sys\nsys.exit(3)", ["{script}:f"], "line 3"),
        ("f = 1", ["{script}:f"], "is no function, but of type int"),
        ("f = 1", ["{script}:g"], "has no attribute 'g'"),
        ("", ["no_such_module:f"], "No module named 'no_such_module'"),
        ("", ["f", "--kwargs", "{"], "--kwargs is no JSON"),
        ("", ["f", "--kwargs", "[1]"], "--kwargs is a JSON object"),
        ("", ["f", "/no/such/file"], "No such file or directory"),
        ("", ["f", "--retries", "-1"], "--retries"),
        ("", ["f", "--workers", "0"], "--workers"),
        ("", [], "Missing argument 'TASK'"),
    ],
    ids=lambda given: given[-1] if isinstance(given, list) and given else None,
)
def test_a_wrong_call_is_a_usage_error(tmp_path: Path, content: str, arguments: list[str], said: str) -> None:
    script = tmp_path / f"mine_{token_hex(4)}.py"  # a module stays imported
    script.write_text(content)
    given = [argument.replace("{script}", str(script)) for argument in arguments]
    result = CliRunner().invoke(main, ["run", *given], input="")
    assert (result.exit_code, said in result.output) == (2, True), result.output


def test_help_has_an_example_and_fits() -> None:
    result = CliRunner().invoke(main, ["run", "--help"])
    assert "Example:\n    manycore run tasks.primes:count_primes" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
