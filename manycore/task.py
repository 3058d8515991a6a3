"""`@task`: marks a function that workers know by name. It registers nothing and wraps nothing.

Called directly, a task is still the plain function. Workers find the marked functions of the modules named in
`MANYCORE_TASKS` (`manycore.worker.app`); a client finds the name on the function that it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple, TypeVar, overload

from manycore.fleet import check_fleet

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__manycore_task__"


class TaskInfo(NamedTuple):
    """What workers and clients agree on about a task: its name, and the fleet (and so the queue) that runs it."""

    name: str
    fleet: str


@overload
def task(function: F, /) -> F: ...


@overload
def task(*, name: str | None = None, fleet: str = "cpu") -> Callable[[F], F]: ...


def task(function: F | None = None, /, *, name: str | None = None, fleet: str = "cpu") -> F | Callable[[F], F]:
    """Mark a module-level function as a task; usable bare (`@task`) or with options (`@task(fleet="io")`).

    `name` is what workers and Flower call it, `<module>.<function>` unless given. `fleet` is `"cpu"` for work that
    holds the GIL, `"io"` for work that waits or releases it, or any other name that a worker has (`--fleet gpu`).
    Raises `SettingsError`, a `ValueError`, for what cannot be a name.
    """
    check_fleet(fleet)

    def mark(marked: F) -> F:
        setattr(marked, _MARK, TaskInfo(name or f"{marked.__module__}.{marked.__qualname__}", fleet))
        return marked

    return mark if function is None else mark(function)


def is_marked(function: FunctionType) -> bool:
    """Whether `@task` marked a plain function. Runs nobody's code."""
    return _MARK in function.__dict__


def task_info(function: object) -> TaskInfo | None:
    """The mark that `@task` left on `function`, or None for an unmarked one."""
    try:
        info = getattr(function, _MARK, None)
    except Exception:  # a proxy's own __getattr__ may raise anything: it has no mark
        return None
    return info if isinstance(info, TaskInfo) else None
