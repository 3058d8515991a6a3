"""The names that a source file imports anywhere, read as text: quicker than a parser, and it reads what none can.

A name too many does no harm: it is looked for, and not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_IMPORT = re.compile(rb"\bimport\b[ \t]*(\([^)]*|[^\n;]*)")
_FROM = re.compile(rb"from\b[ \t]*((?:\.[. \t]*)?)([\w.\x80-\xff]*)")
_COMMENT = re.compile(rb"#[^\n]*")
_END = re.compile(rb"[;:]")
_CONTINUED = re.compile(rb"\\\r?\n")


def names_in(content: bytes, package: str) -> frozenset[str]:
    """The modules and their attributes that are imported, with all dots; relative names are those of `package`."""
    return frozenset(name for name in _names(_CONTINUED.sub(b" ", content), package) if _is_name(name))


def _names(content: bytes, package: str) -> Iterator[str]:
    for before, listed in set(_statements(content)):  # many a file imports the same in each function
        names = [words[0].decode(errors="replace") for words in _listed(listed)]
        if not before:
            yield from names
        elif source := _FROM.fullmatch(before):
            base = _base(package, source[1].count(b"."), source[2].decode(errors="replace"))
            if base:
                yield base
                yield from (f"{base}.{name}" for name in names)


def _statements(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What stands before each `import`, and behind it."""
    for found in _IMPORT.finditer(content):
        start = found.start()
        yield _END.split(content[content.rfind(b"\n", 0, start) + 1 : start])[-1].strip(), found[1]


def _listed(text: bytes) -> Iterator[list[bytes]]:
    for part in _COMMENT.sub(b"", text).lstrip(b"(").split(b","):
        if words := part.split():
            yield words


def _base(package: str, level: int, source: str) -> str:
    """What a `from` names; empty for a relative name above its package."""
    if not level:
        return source
    parts = package.split(".") if package else []
    kept = parts[: len(parts) - level + 1] if level <= len(parts) else []
    return ".".join([*kept, source] if source else kept) if kept else ""


def _is_name(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))
