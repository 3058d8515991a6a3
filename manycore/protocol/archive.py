"""The source of a caller's own modules as one signed message: what makes it, and what opens it without trusting it.

An archive is a list of files, each by the path under which its module is imported. It is the same bytes for the same
files on every machine, so its digest names it. Before anything is written, an archive is checked whole: names, sizes,
digests. It knows neither which modules a batch needs (`client.code`) nor where they are imported (`worker.code`).
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib.machinery import EXTENSION_SUFFIXES

from manycore.errors import MessageRefused
from manycore.protocol import signing
from manycore.protocol.signing import Keyring

MAX_BYTES = 32 * 1024 * 1024
"""Of all files of an archive, before compression. Source is small: what is larger is data that strayed in."""
MAX_FILES = 20_000
MAX_PATH = 400
SUFFIXES = (".py", *EXTENSION_SUFFIXES)
"""Of modules: their source, or what was compiled for this very Python."""
VERSION = 1
_PART = re.compile(r"[^/\\\x00-\x1f\x7f]{1,255}")
_LEVEL = 1
"""Source shrinks to a third at once; more effort costs more than it saves on one machine."""

Files = Mapping[str, bytes]
"""Path (with `/`, relative) -> content."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Files as one signed message, and the name that it goes by."""

    digest: str
    sealed: bytes

    @classmethod
    def of(cls, keyring: Keyring, files: Files) -> Archive:
        return cls(digest_of(files), seal_archive(keyring, files))


def digest_of(files: Files) -> str:
    """The name of these files: the same wherever and in whatever order they were read."""
    state = blake2b(digest_size=16, person=b"manycore-code")
    for path in sorted(files):
        name = path.encode("utf-8", "surrogateescape")
        state.update(b"%d:%s%d:" % (len(name), name, len(files[path])))
        state.update(files[path])
    return state.hexdigest()


def seal_archive(keyring: Keyring, files: Files) -> bytes:
    """Sign an archive of these files. Its digest is `digest_of(files)`."""
    paths = sorted(files)
    head = {
        "version": VERSION,
        "digest": digest_of(files),
        "files": [(path, len(files[path])) for path in paths],
    }
    return keyring.seal(signing.CODE, head, zlib.compress(b"".join(files[path] for path in paths), _LEVEL))


def open_archive(keyring: Keyring, sealed: bytes, digest: str) -> dict[str, bytes]:
    """The files of a verified archive. Raises `MessageRefused` for one that is not whole, honest and bounded."""
    head, body = keyring.open(signing.CODE, sealed)
    try:
        version, claimed = head["version"], head["digest"]
        listed = [(path, size) for path, size in head["files"]]
    except (TypeError, KeyError, ValueError, AttributeError) as exc:
        raise MessageRefused("its archive of code has no list of files") from exc
    if version != VERSION:
        raise MessageRefused(f"its archive of code has version {version!r:.20}, known here: {VERSION}")
    if claimed != digest:
        raise MessageRefused(f"its archive of code is {claimed!r:.40}, the message names {digest}")
    check_listing(listed)
    content = _inflated(body, sum(size for _, size in listed))
    files, at = {}, 0
    for path, size in listed:
        files[path] = content[at : at + size]
        at += size
    if digest_of(files) != digest:
        raise MessageRefused("its archive of code does not have the digest that it claims")
    return files


def check_listing(listed: list[tuple[str, int]]) -> None:
    """Refuse names that lead anywhere but below a folder, and sizes beyond the limit. Raises `MessageRefused`."""
    if len(listed) > MAX_FILES:
        raise MessageRefused(f"its archive of code has {len(listed):,} files, the limit is {MAX_FILES:,}")
    total = 0
    seen: set[str] = set()
    for path, size in listed:
        if not isinstance(path, str) or not isinstance(size, int) or size < 0:
            raise MessageRefused("its archive of code has an entry that is no file")
        check_path(path)
        if path in seen:
            raise MessageRefused(f"its archive of code has {path!r:.100} twice")
        seen.add(path)
        total += size
    for path in seen:
        parents = path.split("/")
        if any("/".join(parents[:depth]) in seen for depth in range(1, len(parents))):
            raise MessageRefused(f"its archive of code has {path!r:.100} below a file")
    if total > MAX_BYTES:
        raise MessageRefused(f"its archive of code has {total:,} bytes, the limit is {MAX_BYTES:,}")


def check_path(path: str) -> None:
    """Raise `MessageRefused` for a path that is absolute, leads upwards, or takes a standard module's name."""
    parts = path.split("/")
    if len(path) > MAX_PATH or not all(_PART.fullmatch(part) and part not in (".", "..") for part in parts):
        raise MessageRefused(f"its archive of code has a path that cannot be: {path!r:.100}")
    if module_of(path) in STANDARD or (len(parts) > 1 and parts[0] in STANDARD):
        raise MessageRefused(
            f"its archive of code would replace a module of Python itself or of manycore: {path!r:.100}"
        )


def path_of(module: str) -> str:
    """Where an archive has the module of this name, unless it is a package."""
    return module.replace(".", "/") + ".py"


@lru_cache(maxsize=MAX_FILES)
def can_hold(path: str) -> bool:
    """Whether an archive may have a file at this path."""
    try:
        check_path(path)
    except MessageRefused:
        return False
    return True


def module_of(path: str) -> str:
    """The top-level module that a file at this path is or belongs to; empty for data beside modules."""
    first, slash, _ = path.partition("/")
    return first if slash else first.partition(".")[0] if first.endswith(SUFFIXES) else ""


STANDARD = frozenset(
    {*sys.stdlib_module_names, *sys.builtin_module_names, "manycore", "sitecustomize", "usercustomize"}
)
"""Names that an archive must not take: imports of these must stay what they are."""


def _inflated(body: bytes | memoryview, size: int) -> bytes:
    """Exactly `size` bytes, or a refusal: whatever it would inflate to, no more than that is made."""
    machine = zlib.decompressobj()
    try:
        content = machine.decompress(body, size + 1)
    except zlib.error as exc:
        raise MessageRefused("its archive of code cannot be unpacked") from exc
    if len(content) != size or not machine.eof or machine.unused_data:
        raise MessageRefused("its archive of code does not hold what its list says")
    return content
