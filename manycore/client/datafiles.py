"""Finds the data files that travel with the modules; keeps at home what must never leave: secrets, history, caches."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from manycore.client.found import Stamp, stamp_of

NEVER_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages", "secrets", "venv", "env"})
NEVER_FILES = (
    "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx", "*.keystore", "*.gpg", "*.asc",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*credentials*", "*secret*", "*password*", "*token*", "*.pyc",
)  # fmt: skip
"""Names that look like a secret. What is hidden (`.env`, `.git`, `.netrc`) never travels either."""


def find_data(roots: Iterable[str], include: Iterable[str], exclude: Iterable[str]) -> dict[str, tuple[str, Stamp]]:
    """The files below `roots` that match a glob of `include` and none of `exclude`, by their path below the root."""
    found: dict[str, tuple[str, Stamp]] = {}
    for root in sorted(roots) if (wanted := tuple(include)) else ():
        for pattern in wanted:
            for file in sorted(Path(root).glob(pattern)):
                inside = file.relative_to(root).as_posix()
                stamp = stamp_of(str(file)) if _may_travel(root, inside) else None
                if stamp is not None and file.is_file() and not any(fnmatch(inside, other) for other in exclude):
                    found.setdefault(inside, (str(file), stamp))
    return found


def _may_travel(root: str, inside: str) -> bool:
    *folders, name = inside.split("/")
    if any(part.startswith(".") or part in NEVER_FOLDERS for part in folders) or name.startswith("."):
        return False
    if any(fnmatch(name.lower(), pattern) for pattern in NEVER_FILES):
        return False
    if not os.path.realpath(os.path.join(root, inside)).startswith(os.path.realpath(root) + os.sep):
        return False  # a link that leads out of the project
    return not any(
        os.path.exists(os.path.join(root, *folders[:depth], "pyvenv.cfg")) for depth in range(len(folders) + 1)
    )
