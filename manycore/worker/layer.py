"""A folder that a process imports from for a while, and the modules that it has from there.

The modules of the folder that it leaves are put aside with it, and so are modules from elsewhere that have the same
names: neither side ever sees the other's.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType


class Layer:
    """One folder at a time, under a key. Of `kept` others, the modules are kept. Not for several threads at once."""

    def __init__(self, kept: int, *, first: bool) -> None:
        """`first`: the folder comes before all others; else behind them."""
        self.key: str | None = None
        self._kept = kept
        self._first = first
        self._path: Path | None = None
        self._names: frozenset[str] = frozenset()
        self._displaced: dict[str, ModuleType] = {}
        self._aside: OrderedDict[str, dict[str, ModuleType]] = OrderedDict()

    def enter(self, key: str, path: Path, names: frozenset[str]) -> None:
        """Import the top-level modules `names` from this folder; the layer must be empty."""
        self.key, self._path, self._names = key, path, names
        self._displaced = _taken_out(names)
        sys.modules.update(self._aside.pop(key, {}))
        sys.path.insert(0 if self._first else len(sys.path), str(path))

    def leave(self) -> dict[str, dict[str, ModuleType]]:
        """Put the modules aside; gives those that are kept no longer, by their keys."""
        key, self.key = self.key, None
        if key is None:
            return {}
        sys.path[:] = [entry for entry in sys.path if entry != str(self._path)]
        self._aside[key] = _taken_out(self._names)
        sys.modules.update(self._displaced)
        self._displaced = {}
        return dict(self._aside.popitem(last=False) for _ in range(len(self._aside) - self._kept))


def _taken_out(names: frozenset[str]) -> dict[str, ModuleType]:
    """Remove the modules of these top-level names from `sys.modules`; gives them."""
    taken = [name for name in list(sys.modules) if name.partition(".")[0] in names]
    return {name: sys.modules.pop(name) for name in taken}
