"""Modules that no worker can import under their name: what is in them goes by value, as that of `__main__` does.

Made by hand, loaded from byte code alone, under a name that is a path or one of Python's own, or the program itself
where `runpy.run_path` runs it, or in a process that `multiprocessing` has spawned.
"""

from __future__ import annotations

import sys
from types import ModuleType

import cloudpickle

from manycore.client.modules import file_of, is_everywhere
from manycore.protocol.archive import STANDARD, can_hold, path_of

_PROGRAM = "__mp_main__"
_SOURCELESS = ".pyc"


def send_by_value() -> None:
    """Let cloudpickle know all of them that this process has imported."""
    for name, module in sys.modules.copy().items():
        if isinstance(module, ModuleType) and _is_outsider(name, module) and module.__name__ in sys.modules:
            cloudpickle.register_pickle_by_value(module)


def _is_outsider(name: str, module: ModuleType) -> bool:
    if name in (_PROGRAM, "__main__"):
        return name == _PROGRAM
    top = name.partition(".")[0]
    file = file_of(module)
    if file is None:
        nameless = _is_made_by_hand(module) and _is_made_by_hand(sys.modules.get(top))
        return top not in STANDARD and nameless and _has_run_python(module)
    if is_everywhere(name, file):
        return False
    is_a_program = name.startswith("<")  # runpy.run_path calls it so; imported, it would run once more
    return is_a_program or top in STANDARD or file.endswith(_SOURCELESS) or not can_hold(path_of(name))


def _is_made_by_hand(module: object) -> bool:
    """Whether nothing says where it is from."""
    known = vars(module) if isinstance(module, ModuleType) else {"__spec__": module}
    return known.get("__spec__") is None and "__path__" not in known and known.get("__file__") is None


def _has_run_python(module: ModuleType) -> bool:
    """Not so in those that C code makes for itself."""
    return "__builtins__" in vars(module)
