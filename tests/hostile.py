"""Archives of code that no client makes, by what is wrong with them: whoever opens one refuses it, and says why."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from manycore.protocol import archive, signing
from manycore.protocol.archive import Archive, digest_of
from manycore.protocol.signing import Keyring, generate_key

Forge = Callable[[Keyring], Archive]
"""Makes one and the name that a message gives it, each time another. Signed, and of that digest, if it can be."""
MARK = b"raise SystemExit('a hostile archive was imported')\n"
NOTHING = zlib.compress(b"")
BOMB_BYTES = 200 * 1024 * 1024


def _name() -> str:
    return secrets.token_hex(16)


def _forged(keyring: Keyring, files: Any, body: bytes = NOTHING, digest: str = "", **changes: Any) -> Archive:
    """A rightly signed archive whose list says what it likes."""
    digest = digest or _name()
    head = {"version": archive.VERSION, "digest": digest, "files": files} | changes
    return Archive(digest, keyring.seal(signing.CODE, head, body))


def _at(path: str) -> Forge:
    """Right in all but the path."""
    name = digest_of({path: MARK})
    return lambda ring: _forged(ring, [(path, len(MARK))], zlib.compress(MARK), name)


def _sealed(kind: bytes) -> Forge:
    return lambda ring: Archive(_name(), ring.seal(kind, {}))


def _listing(files: Any) -> Forge:
    return lambda ring: _forged(ring, files)


def _head(head: Any) -> Forge:
    return lambda ring: Archive(_name(), ring.seal(signing.CODE, head, b""))


def _holding(body: bytes, size: int = 10) -> Forge:
    return lambda ring: _forged(ring, [("a.py", size)], body)


def _honest(keyring: Keyring) -> Archive:
    return Archive.of(keyring, {"a.py": MARK, "b.py": _name().encode()})


def _changed(change: Callable[[bytes], bytes], ring: Keyring | None = None) -> Forge:
    """An honest one, changed after it was signed; `ring`: by somebody else."""
    return lambda known: replace(honest := _honest(ring or known), sealed=change(honest.sealed))


def _named(name: str) -> Forge:
    return lambda ring: replace(_honest(ring), digest=name)


def _stranger() -> Keyring:
    return Keyring([generate_key().encode()])


ELSEWHERE = [
    "../up.py", "a/../../up.py", "../" * 20 + "tmp/hostile_up.py", "/etc/cron.d/hostile", "//hostile.py", "a//b.py", "",
    ".", "..", "a/.", "a/..", "./a.py", "~/a.py/..", "a\\..\\b.py", "a\x00.py", "a\nb.py", "\x1b[2J.py", "x" * 500,
    "a/" * 300 + "b.py",
]  # fmt: skip
OUTSIDE = [Path("/tmp/hostile_up.py"), Path("/etc/cron.d/hostile"), Path("/hostile.py")]
"""Where some of them would be."""
STANDARD = [
    "os.py", "json/__init__.py", "sys.py", "random.py", "encodings/x.py", "manycore/__init__.py", "manycore.py",
    "sitecustomize.py", "usercustomize.py", "builtins.py", "importlib/util.py",
]  # fmt: skip
LISTS: dict[str, tuple[Any, str]] = {
    "no list": (None, "no list of files"),
    "a number for a list": (7, "no list of files"),
    "a word for a list": ("files", "no list of files"),
    "an entry that is nothing": ([None], "no list of files"),
    "an entry without a size": ([("a.py",)], "no list of files"),
    "a link out of it": ([("a.py", 0, "/etc/passwd")], "no list of files"),
    "a size below nothing": ([("a.py", -1)], "no file"),
    "a size in words": ([("a.py", "1")], "no file"),
    "a size that is not finite": ([("a.py", float("inf"))], "no file"),
    "a path in bytes": ([(b"a.py", 0)], "no file"),
    "a file twice": ([("a.py", 0), ("a.py", 0)], "twice"),
    "a file below a file": ([("a", 0), ("a/b.py", 0)], "below a file"),
    "more bytes than may be": ([("a.py", archive.MAX_BYTES + 1)], "the limit is"),
    "a terabyte, it says": ([("a.py", 2**40)], "the limit is"),
    "more files than may be": ([(f"m{n}.py", 0) for n in range(archive.MAX_FILES + 1)], "the limit is"),
}

HEADS: list[Any] = [None, 7, [], {}, {"version": 1}]

HOSTILE: dict[str, tuple[Forge, str]] = {
    **{f"a path elsewhere: {path!r:.30}": (_at(path), "a path that cannot be") for path in ELSEWHERE},
    **{f"a module of Python's: {path}": (_at(path), "would replace a module") for path in STANDARD},
    **{name: (_listing(files), why) for name, (files, why) in LISTS.items()},
    **{f"a head that cannot be: {head}": (_head(head), "no list of files") for head in HEADS},
    "a version of the future": (lambda ring: _forged(ring, [], version=2), "version 2, known here: 1"),
    "a bomb": (_holding(zlib.compress(bytes(BOMB_BYTES), 9)), "does not hold what its list says"),
    "fewer bytes than listed": (_holding(zlib.compress(b"12345")), "does not hold what its list says"),
    "bytes behind the end": (_holding(zlib.compress(b"1234567890") + b"more"), "does not hold what its list says"),
    "half of it": (_holding(zlib.compress(b"1234567890")[:-4]), "does not hold what its list says"),
    "not compressed": (_holding(b"junk"), "cannot be unpacked"),
    "other contents": (_holding(zlib.compress(b"12345"), 5), "does not have the digest"),
    "an honest one of another name": (_named("d" * 32), "the message names"),
    "a name that leads elsewhere": (_named("../../home"), "the message names|no digest"),
    "signed by a stranger": (lambda _: _forged(_stranger(), []), "signed with key"),
    "an honest one of a stranger's": (_changed(bytes, _stranger()), "signed with key"),
    "a function": (_sealed(signing.FUNCTION), "not one of manycore.s messages"),
    "one byte changed": (_changed(lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1])), "signature does not hold"),
    "its end cut off": (_changed(lambda sealed: sealed[:-9]), "signature does not hold"),
    "its signature cut off": (_changed(lambda sealed: sealed[:12]), "not one of manycore's messages"),
    "not signed": (_changed(lambda _: zlib.compress(MARK) + bytes(100)), "not one of manycore's messages"),
    "a byte, and no more": (_changed(lambda _: b"m"), "not one of manycore's messages"),
}  # fmt: skip
"""What is wrong -> how it is made, and what is said of it."""
