"""Which installed modules a shipped function is sure to import: when it is rebuilt, or as soon as it runs.

A pickle names what rebuilding it imports. Of the caller's own modules among these, the source is read for what they
import in turn, as far as nothing keeps it from happening: what stands in a `try`, an `if`, a `with` or another function
may never be imported, or never be missed, and is left out. Nothing is executed.
"""

from __future__ import annotations

import ast
import inspect
import pickletools
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from types import CodeType, FunctionType, MethodType
from typing import Any

from manycore.client.found import read
from manycore.protocol.archive import STANDARD, module_of
from manycore.protocol.syntax import parsed

Files = Mapping[str, tuple[str, tuple[int, int]]]
"""The caller's modules: the path in the archive -> the file here, with its stamp."""
OURS = frozenset({"manycore", "cloudpickle", "__main__", "__mp_main__"})
MAX_OPCODES = 100_000
"""Of a pickle that are read, in some 50 ms: its function comes first, and large arguments behind it."""
_SUBIMPORT = ("cloudpickle.cloudpickle", "subimport")


def needed_by(function: Callable[..., Any] | None, blob: bytes, files: Files) -> set[str]:
    """The top-level names of the installed modules that this function, pickled as `blob`, is sure to import."""
    return outside({*named_in(blob), *in_body(function)}, files)


def outside(modules: Iterable[str], files: Files) -> set[str]:
    """What these modules import that is not among the caller's own files, themselves included."""
    waiting, seen, found = list(modules), set[str](), set[str]()
    own = {module_of(path) for path in files}
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        top, _, rest = module.partition(".")
        if top not in own:
            found.add(top)
            continue
        if rest:
            waiting.append(module.rpartition(".")[0])
        waiting += _imported_by(module, files)
    return {name for name in found if name not in STANDARD and name not in OURS and name.isidentifier()}


def _imported_by(module: str, files: Files) -> list[str]:
    path = module.replace(".", "/")
    for found, package in ((f"{path}/__init__.py", module), (f"{path}.py", module.rpartition(".")[0])):
        if found in files:
            return list(_imports_of(*files[found], package))
    return []  # a name in a module, not a module


@lru_cache(maxsize=4_096)
def _imports_of(file: str, _stamp: tuple[int, int], package: str) -> tuple[str, ...]:
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):  # as Python could not import it either
        return tuple(sure(parsed(read(file) or b"").body, package))
    return ()


def in_body(function: Callable[..., Any] | None) -> list[str]:
    """What the body of a plain function imports, if its source can be had."""
    with suppress(Exception):  # source can be as odd as its function
        inner = inspect.unwrap(function) if function is not None else None
        inner = inner.__func__ if type(inner) is MethodType else inner
        if type(inner) is FunctionType:
            return list(_in_code(inner.__code__))
    return []


@lru_cache(maxsize=1_024)
def _in_code(code: CodeType) -> tuple[str, ...]:
    """Of functions that are made anew and anew, as in a loop, the code is the same."""
    tree = parsed(textwrap.dedent(inspect.getsource(code)))
    if isinstance(tree.body[0], ast.FunctionDef | ast.AsyncFunctionDef):
        return tuple(sure(tree.body[0].body, ""))
    return ()


def sure(body: Iterable[ast.stmt], package: str) -> Iterator[str]:
    """The modules that these statements import whatever happens, in full; those of the module's own `package`, too."""
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            base = _base(statement, package)
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in statement.names)
        elif isinstance(statement, ast.ClassDef):
            yield from sure(statement.body, package)
        elif isinstance(statement, ast.Return | ast.Raise):
            return


def _base(statement: ast.ImportFrom, package: str) -> str:
    if not statement.level:
        return statement.module or ""
    parts = package.split(".") if package else []
    kept = parts[: max(0, len(parts) - statement.level + 1)]
    return ".".join([*kept, statement.module] if statement.module else kept) if kept else ""


def named_in(blob: bytes) -> set[str]:
    """The modules that a pickle imports when it is loaded."""
    reading = _Reading()
    for opcode, argument, _ in islice(pickletools.genops(blob), MAX_OPCODES):
        reading.take(opcode.name, argument)
    return reading.modules


class _Reading:
    """Follows the strings of a pickle, protocol 4 and up, as far as they name globals and cloudpickle's modules."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self._memo: list[Any] = []
        self._strings: list[str] = ["", ""]
        self._top: Any = None
        self._awaits_module = False

    def take(self, opcode: str, argument: Any) -> None:
        if opcode == "MEMOIZE":
            self._memo.append(self._top)
        elif opcode in ("BINGET", "LONG_BINGET"):
            self._push(self._memo[argument])
        elif opcode.endswith("UNICODE") or opcode == "BINUNICODE8":
            self._push(argument)
        elif opcode == "STACK_GLOBAL":
            self.modules.add(self._strings[-2])
            self._push((self._strings[-2], self._strings[-1]))
        elif opcode != "FRAME":
            self._push(None)

    def _push(self, value: Any) -> None:
        self._top = value
        if isinstance(value, str):
            self._strings = [self._strings[-1], value]
            if self._awaits_module:
                self.modules.add(value)
        self._awaits_module = value == _SUBIMPORT
