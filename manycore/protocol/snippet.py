"""The code of functions on its way to another process: as byte code, or as source that another Python compiles anew.

Byte code runs on its own minor version of Python alone: it carries that version, and is refused by any other. A snippet
is the statement of a program's top level that a function stands in, with everything around it (closure, class, names
that are mangled); it is compiled whole, and never executed. It counts only if its file gives, here, the very code that
the function has: one that was edited since does not.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from manycore.errors import VersionMismatch
from manycore.protocol.fingerprint import digest_of
from manycore.protocol.python import Python, here, shown
from manycore.protocol.syntax import parsed

_ANNOTATIONS = annotations.compiler_flag


class Snippet(NamedTuple):
    """Lines of a file, from its line `line` on, and the function in them that is meant.

    That is by its name and first line; of `several` such functions (lambdas), the one at `place` from the left.
    """

    text: str
    line: int
    file: str
    flags: int
    name: str
    first: int
    place: int
    several: int


class NoSource(Exception):
    """Says of which function the source cannot be sent instead of its code, and why."""


_known: WeakKeyDictionary[CodeType, Snippet] = WeakKeyDictionary()
"""What came as a snippet goes on as one, and what went as one is not looked for again."""
_texts: dict[str, str] = {}
"""Of a file, the text that once gave the code which was loaded: a program may be edited while it runs."""


def snippet_of(code: CodeType) -> Snippet:
    """The source of this code. Raises `NoSource`."""
    try:
        return known(code) or _known.setdefault(code, _read(code))
    except NoSource as exc:
        raise NoSource(code.co_qualname, *exc.args) from exc
    except (SyntaxError, ValueError) as exc:
        raise NoSource(code.co_qualname, "what stands there now is no Python") from exc


def _read(code: CodeType) -> Snippet:
    file, flags = code.co_filename, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | (code.co_flags & _ANNOTATIONS)
    texts = [text for text in (_texts.get(file), "".join(linecache.getlines(file))) if text]
    for text in texts:
        # In the whole file: there, imports above the statement are seen, and a few instructions depend on them.
        found = _functions(text, 1, file, flags).get((code.co_name, code.co_firstlineno), [])
        for place, other in enumerate(found):
            if digest_of(other) == digest_of(code):
                _texts[file] = text
                where = _statement(text, code.co_firstlineno)
                return Snippet(*where, file, flags, code.co_name, code.co_firstlineno, place, len(found))
    raise NoSource("its source was edited since it was loaded" if texts else "its source is in no file")


def known(code: CodeType) -> Snippet | None:
    """The source of this code, if it was compiled from that or went so before."""
    return _known.get(code)


def compiled(*parts: Any) -> CodeType:
    """The code of a snippet, as this Python compiles it. Raises `SyntaxError` for what only another can read."""
    snippet = Snippet(*parts)
    code = _find(snippet)
    if code not in _known:
        _note(snippet)
    return code


def byte_code(python: Python, *parts: Any) -> CodeType:
    """A code object out of its parts. Raises `VersionMismatch` unless this is the Python that they are made for."""
    if python != here():
        raise VersionMismatch(f"The function {parts[12]}", shown(python), shown(here()))
    return CodeType(*parts)


def _statement(whole: str, line: int) -> tuple[str, int]:
    """The lines of the top-level statement at this line (of those, if several meet there), and their first."""
    spans = [(start, end) for start, end in _spans(whole) if start <= line <= end]
    start, end = min(start for start, _ in spans), max(end for _, end in spans)
    return _cut(whole, start, end), start


@lru_cache(maxsize=64)
def _cut(text: str, start: int, end: int) -> str:
    """Cached, so that the functions of one statement share one string: a pickle holds it once."""
    return "\n".join([*text.split("\n")[start - 1 : end], ""])


@lru_cache(maxsize=16)
def _spans(text: str) -> list[tuple[int, int]]:
    """The first and last line of each top-level statement."""
    body = parsed(text).body
    starts = [min([node.lineno, *(mark.lineno for mark in getattr(node, "decorator_list", ()))]) for node in body]
    return [(start, node.end_lineno or start) for start, node in zip(starts, body, strict=True)]


def _find(snippet: Snippet) -> CodeType:
    found = _functions(*snippet[:4]).get((snippet.name, snippet.first), [])
    if len(found) != snippet.several:
        raise NoSource(snippet.name, f"this Python finds {len(found)} of it, not {snippet.several}")
    return found[snippet.place]


def _note(snippet: Snippet) -> None:
    """Remember where all functions of a snippet are from: one may be the result of another."""
    for (name, first), several in _functions(*snippet[:4]).items():
        for place, code in enumerate(several):
            _known[code] = snippet._replace(name=name, first=first, place=place, several=len(several))


@lru_cache(maxsize=128)
def _functions(text: str, line: int, file: str, flags: int) -> dict[tuple[str, int], list[CodeType]]:
    """All code in a text, by name and first line, from left to right; its first line counts as `line`."""
    tree = compile("\n" * (line - 1) + text, file, "exec", flags, dont_inherit=True)
    found: dict[tuple[str, int], list[CodeType]] = {}
    for code in _within(tree):
        found.setdefault((code.co_name, code.co_firstlineno), []).append(code)
    for several in found.values():
        several.sort(key=_begin)
    return found


def _begin(code: CodeType) -> tuple[int, int]:
    """Where its body begins: the order of a tree differs between versions of Python, that of the text does not."""
    places = [(line, start) for line, _, start, end in code.co_positions() if line and start is not None and end]
    return min(places, default=(0, 0))


def _within(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _within(constant)
