"""Hashes files with SHA-256. The example of a task for the `io` fleet.

It reads and hashes in C with the GIL released, so threads run side by side and processes would add nothing. It does
not follow folders, and it does not cache.

Source: NIST FIPS 180-4.
"""

from __future__ import annotations

import hashlib
import os
from os import PathLike

from manycore import task


@task(fleet="io")
def sha256_of(path: str | PathLike[str]) -> str:
    """The SHA-256 of the file's bytes, as 64 hexadecimal digits. Memory stays at one 256 KiB buffer for any size.

    The path is the worker's: it must name the same file there. Raises `ValueError` if it is not a file.
    """
    if not os.path.isfile(path):
        raise ValueError(f"{path!r} is no file on this machine. Does every worker mount that folder at the same place?")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
