"""Says of a file that an item does not find beside its module that it stayed with the client, and how it would come."""

from __future__ import annotations

import re
from contextlib import suppress

from manycore.worker.folder import PREFIX

_BESIDE = re.compile(rf"/{PREFIX}[^/]+/code/[0-9a-f]{{32}}/(.+)", re.DOTALL)
"""A file of an archive: of its path, what is inside."""


def say_what_was_left_behind(exc: BaseException) -> None:
    """Add a note to a `FileNotFoundError` for a place in the folder of the caller's modules; nothing to others."""
    name = exc.filename if type(exc) is FileNotFoundError else None
    found = _BESIDE.search(name) if isinstance(name, str) else None
    if found is None:
        return
    with suppress(TypeError):  # `__notes__` may be anything
        exc.add_note(
            f"manycore: {found[1]:.200} was looked for beside modules that came from the client. If it has that file, "
            "ask for it: Cluster(code=Code(include=[...])), with globs like 'data/*.json'."
        )
