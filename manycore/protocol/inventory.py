"""What a worker can import beside the standard library: each top-level module, with its distribution and version.

A worker takes stock once, when it starts, and publishes it under its digest: workers of one image share it, and a
client fetches it once, when it has something to compare. It is not signed: it can end a batch, and no more.
"""

from __future__ import annotations

import json
import pkgutil
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, packages_distributions, version


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
        """Raises `ValueError` for what is none."""
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("it is no inventory")
        return cls({str(module): (str(held[0]), str(held[1])) for module, held in found.items()})


def take_stock() -> Inventory:
    """What this process can import. It reads the metadata of every distribution: tenths of a second."""
    modules = {module.name: ("", "") for module in pkgutil.iter_modules()}
    for module, names in packages_distributions().items():
        modules[module] = (names[0], version_of(names[0]))
    return Inventory(modules)


def version_of(distribution: str) -> str:
    """The version that is installed here, empty if none is."""
    try:
        return version(distribution) or ""
    except PackageNotFoundError:
        return ""
