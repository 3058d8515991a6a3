"""What a fleet may be called. Its name is that of the queue that its workers consume, so of keys on the server."""

from __future__ import annotations

import re

DEFAULT_QUEUE = "cpu"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_TAKEN = re.compile(r"(celery|flower|unacked|mc$)", re.IGNORECASE)
"""What kombu's, Celery's and Flower's own keys begin with. All of ours have a colon, which no name has."""


def check_fleet(name: object) -> str:
    """The name of a fleet, if it can be one. Raises `SettingsError`."""
    from manycore.errors import SettingsError  # its bases cost ten milliseconds, and `import manycore` comes by here

    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SettingsError(
            f"fleet={name!r:.60}: a fleet's name is a letter, then up to 39 letters, digits, '-' or '_'. Any "
            "such name will do: the fleet is there once a worker has it."
        )
    if _TAKEN.match(name):
        raise SettingsError(f"fleet={name!r}: the broker has keys of such names. Call it something else, like 'gpu'.")
    return str.__str__(name)  # not of a class of the caller's, which a worker may not have
