"""What initializers have made in this process: once for each initializer, then there for every chunk that names it.

1. `Setup` is a program's initializer with its arguments, and the digest by which it is the same in other programs.
2. `States` keeps what the last ones returned. One is active at a time, as one archive of code is: threads whose chunks
   have the same initializer run together, others wait their turn.
3. What an initializer leaves in its module's globals belongs to it as well (`Globals`): another one neither sees nor
   overwrites it.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from manycore.protocol.packing import name_of
from manycore.state import hold

KEPT_STATES = 4
"""How many initializers' states a process keeps, for batches that take turns. A state can be a large model."""
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Setup:
    """An initializer with its arguments; `code` is the archive that its modules come from."""

    digest: str
    initializer: Callable[..., Any]
    initargs: tuple[Any, ...]
    code: str | None = None

    @property
    def name(self) -> str:
        return name_of(self.initializer)

    def run(self) -> Any:
        return self.initializer(*self.initargs)

    def namespace(self) -> dict[str, Any]:
        """The globals that the initializer sets by `global`: of its module, or of what was shipped with it."""
        with suppress(BaseException):  # an odd object may raise anything where it is looked at
            inner: Any = self.initializer
            while isinstance(inner, functools.partial):
                inner = inner.func
            inner = inspect.unwrap(inner)
            found = getattr(inner, "__globals__", None) or getattr(type(inner).__call__, "__globals__", None)
            if type(found) is dict:
                return found
        return {}


class Globals:
    """The globals that one initializer has set: by name, as they are now, or as they were when they were put away.

    What a step replaces, it gives: that ends outside of the caller's lock, for the end of an object may run anything.
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._places: list[tuple[dict[str, Any], dict[str, Any]]] = []
        """The namespaces that they are in, each with what was there before."""

    @contextmanager
    def recorded(self, namespace: dict[str, Any]) -> Iterator[None]:
        """Take what is set in `namespace` meanwhile for this initializer's own."""
        before = dict(namespace)
        yield
        after = dict(namespace)  # at once: other threads may add to it
        names = [name for name, value in after.items() if before.get(name, _ABSENT) is not value]
        self._values = {name: after[name] for name in names if name != "__builtins__"}
        self._places = [(namespace, {name: before.get(name, _ABSENT) for name in self._values})]

    def put_into(self, namespace: dict[str, Any], *, alone: bool) -> list[object]:
        """Have them in this namespace, too; `alone` says that nobody uses them in another one."""
        if any(place is namespace for place, _ in self._places):
            return []
        replaced = self.put_away() if alone else self._note()
        self._places.append((namespace, {name: namespace.get(name, _ABSENT) for name in self._values}))
        namespace.update(self._values)
        return replaced

    def put_away(self) -> list[object]:
        """Leave each namespace as it was, but for what else has been set there."""
        replaced = self._note()
        for namespace, before in self._places:
            for name, value in before.items():
                if value is _ABSENT:
                    namespace.pop(name, None)
                else:
                    namespace[name] = value
        self._places, replaced = [], [*replaced, self._places]
        return replaced

    def _note(self) -> list[object]:
        """Learn their values: items may have changed them."""
        replaced = self._values
        if self._places:
            namespace, _ = self._places[-1]
            self._values = {name: namespace.get(name, value) for name, value in replaced.items()}
        return [replaced]


@dataclass(slots=True)
class _State:
    """What came of one initializer, once it is `done`: its value, or its error."""

    code: str | None
    done: bool = False
    value: Any = None
    error: BaseException | None = None
    globals: Globals = field(default_factory=Globals)


class States:
    """Of one process. Initializers run outside of its lock: they are foreign code, and may take their time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _State] = OrderedDict()
        self._active: str | None = None
        self._users = 0
        self._others_waiting = 0
        self._changed = threading.Condition()

    @contextmanager
    def of(self, setup: Setup | None, run: Callable[[Setup], Any]) -> Iterator[None]:
        """Let `worker_state` give what this initializer made meanwhile; if it has not run here, `run` it.

        Raises what `run` raises; then it counts as not run.
        """
        if setup is None:
            yield
            return
        state, mine, gone = self._enter(setup)
        try:
            del gone  # not under the lock
            namespace = setup.namespace()
            self._make(state, setup, run, namespace) if mine else self._await(state)
            if state.error is not None:
                raise state.error
            with self._changed:
                gone = state.globals.put_into(namespace, alone=self._users == 1)
                hold(state.value)
            del gone
            yield
        finally:
            self._leave()

    def forget(self, code: str) -> list[object]:
        """Drop what was made by the modules of this archive, which are dropped; gives it, to end later."""
        with self._changed:
            gone = [digest for digest, state in self._kept.items() if state.code == code]
            if self._active in gone:
                self._active = None
            return [self._kept.pop(digest) for digest in gone]

    def _enter(self, setup: Setup) -> tuple[_State, bool, list[object]]:
        """The state of this initializer, whether it is the caller's to make, and what is kept no longer."""
        with self._changed:
            self._await_turn(setup.digest)
            gone: list[object] = []
            if self._active != setup.digest:
                gone = self._deactivate()
                self._active = setup.digest
            self._users += 1
            state = self._kept.get(setup.digest)
            mine = state is None
            if state is None:
                state = self._kept[setup.digest] = _State(setup.code)
            self._kept.move_to_end(setup.digest)
            while len(self._kept) > KEPT_STATES:
                gone.append(self._kept.popitem(last=False))
            return state, mine, gone

    def _await_turn(self, digest: str) -> None:
        """Wait until nobody uses another state; whoever has waited for that comes before who came after."""
        if not self._users or (self._active == digest and not self._others_waiting):
            return
        self._others_waiting += 1
        try:
            self._changed.wait_for(lambda: not self._users or self._active == digest)
        finally:
            self._others_waiting -= 1

    def _deactivate(self) -> list[object]:
        state = self._kept.get(self._active or "")
        return state.globals.put_away() if state is not None else []

    def _make(self, state: _State, setup: Setup, run: Callable[[Setup], Any], namespace: dict[str, Any]) -> None:
        try:
            with state.globals.recorded(namespace):
                state.value = run(setup)
        except BaseException as exc:
            state.error = exc
        finally:
            with self._changed:
                state.done = True
                if state.error is not None and self._kept.get(setup.digest) is state:
                    del self._kept[setup.digest]
                self._changed.notify_all()

    def _await(self, state: _State) -> None:
        with self._changed:
            self._changed.wait_for(lambda: state.done)

    def _leave(self) -> None:
        with self._changed:
            self._users -= 1
            if not self._users:
                hold()
            self._changed.notify_all()
