"""What a worker can import beside the standard library: each top-level module, with its distribution and version.

A worker takes stock once, when it starts, and publishes it under its digest: workers of one image share it, and a
client fetches it once, when it has something to compare. It is not signed: it can end a batch, and no more.
"""

from __future__ import annotations

import json
import logging
import pkgutil
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, distributions, packages_distributions, version

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inventory:
    """`modules`: a top-level module -> the name and version of its distribution, both empty if it has none."""

    modules: dict[str, tuple[str, str]]

    def written(self) -> bytes:
        return json.dumps(self.modules, sort_keys=True).encode()

    @property
    def digest(self) -> str:
        return blake2b(self.written(), digest_size=16).hexdigest()

    @classmethod
    def read(cls, text: bytes) -> Inventory:
        """Raises one of `UNREADABLE` for what is none."""
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("it is no inventory")
        return cls({str(module): (str(held[0]), str(held[1])) for module, held in found.items()})


def take_stock() -> Inventory:
    """What this process can import. It reads the metadata of every distribution: some hundredths of a second."""
    modules = {module.name: ("", "") for module in pkgutil.iter_modules()}
    versions = _versions()
    for module, names in packages_distributions().items():
        modules[module] = (names[0], versions.get(names[0], ""))
    return Inventory(modules)


def _versions() -> dict[str, str]:
    """Of each distribution, that of the one found first. Asked for one by one, each is looked for again."""
    found: dict[str, str] = {}
    for distribution in distributions():
        try:
            facts = distribution.metadata
            found.setdefault(facts["Name"], facts["Version"] or "")
        except Exception as exc:  # a boundary: what an interrupted installation has left can be anything
            logger.debug("The metadata of %r cannot be read: %r", distribution, exc)
    return found


def version_of(distribution: str) -> str:
    """The version that is installed here, empty if none is."""
    try:
        return version(distribution) or ""
    except PackageNotFoundError:
        return ""
