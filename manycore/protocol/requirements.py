"""Requirements as `MANYCORE_EXTRA_PACKAGES` and `batch(..., packages=[...])` take them: a name and its versions.

No options, no addresses, no paths: what they would do is for whoever runs the workers to say, by pip's or uv's own
settings there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b

from manycore.errors import SettingsError

MAX_REQUIREMENTS = 64
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,100}[A-Za-z0-9])?"
_VERSION = r"(?:===?|~=|!=|<=?|>=?)[A-Za-z0-9.*+!_-]{1,60}"
_REQUIREMENT = re.compile(rf"{_NAME}(?:\[{_NAME}(?:,{_NAME})*\])?(?:{_VERSION}(?:,{_VERSION})*)?")


def requirements_of(packages: Iterable[str]) -> tuple[str, ...]:
    """The same packages in the same form and order, each once. Raises `SettingsError`."""
    if isinstance(packages, str):
        raise SettingsError(f"packages={packages!r:.80}: give a list of requirements, such as ['polars==1.*'].")
    found = sorted({_checked(package) for package in packages})
    if len(found) > MAX_REQUIREMENTS:
        raise SettingsError(f"{len(found)} packages are more than {MAX_REQUIREMENTS}: use an image that has them.")
    return tuple(found)


def _checked(package: object) -> str:
    text = "".join(package.split()) if isinstance(package, str) else ""
    if not _REQUIREMENT.fullmatch(text):
        raise SettingsError(
            f"The package {package!r:.80} is no requirement: give its name, and versions such as 'numpy==2.*' or "
            "'polars>=1.2,<2'. Options, addresses and paths are for pip's or uv's own settings on the workers."
        )
    return text


def world_of(code: str | None, packages: tuple[str, ...]) -> str | None:
    """What items import from beside what their worker has: an archive, packages, both; None for neither.

    It keys hashes, which take 64 characters.
    """
    if not packages:
        return code
    return f"{code or ''}+{blake2b(' '.join(packages).encode(), digest_size=15).hexdigest()}"
