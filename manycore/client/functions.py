"""Decides how a function reaches the workers: by task name, or shipped, once per batch, with the caller's modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from manycore.client.callables import Called, is_async, is_made_anew, mark_of
from manycore.client.code import CodeShipper
from manycore.client.editions import Editions
from manycore.client.initializer import Initializer
from manycore.client.objects import Objects
from manycore.client.packages import Packages
from manycore.client.worth import may_be_large
from manycore.errors import FunctionsNotAllowed, UnknownTask
from manycore.fleet import DEFAULT_QUEUE
from manycore.protocol import glimpse, inside, packing, signing
from manycore.protocol.archive import Archive
from manycore.protocol.broker import FUNCTION_TASK
from manycore.protocol.brought import Brought
from manycore.protocol.parcel import Program
from manycore.protocol.pickling import check_size, dumps
from manycore.protocol.python import Python
from manycore.protocol.refs import Ref, noted
from manycore.protocol.requirements import world_of
from manycore.protocol.roster import Roster
from manycore.protocol.settings import Settings
from manycore.protocol.signing import Keyring

if TYPE_CHECKING:
    from manycore.client.recent import Recent


class FunctionShipper:
    """Makes programs out of what callers pass."""

    def __init__(
        self,
        keyring: Keyring,
        roster: Roster,
        settings: Settings,
        code: CodeShipper,
        objects: Objects | None = None,
        *,
        only_fleet: str | None = None,
        initializer: Initializer | None = None,
        packages: Packages | None = None,
    ) -> None:
        self._keyring = keyring
        self._code = code
        self._objects = objects
        self._roster = roster
        self._editions = Editions(roster, strict=settings.strict_code)
        self._limit = settings.max_item_bytes
        self._only_fleet = only_fleet
        self.initializer = initializer
        self._packages = packages
        self._recent: Recent | None = None
        self._called = Called()

    def program(
        self,
        function: Callable[..., Any] | str,
        kwargs: dict[str, Any] | None = None,
        *,
        fleet: str | None = None,
        initializer: Initializer | None = None,
        packages: tuple[str, ...] = (),
        briefly: bool = False,
    ) -> Program:
        """How `function` runs on the workers, with `kwargs` added to each call; `briefly` is for a caller in a hurry.

        `fleet` wins over the function's own, `initializer` over the cluster's. `packages` are
        installed for it. A local cluster (`only_fleet`) has one
        fleet, which runs everything.

        A `@task` goes by its name if all workers of its fleet know it, or if they run nothing else.

        Raises `UnknownTask` for a name that no worker knows, `CodeDiffers` if a task must not differ, `TypeError` for
        what is no function, and for one that cannot be shipped `FunctionsNotAllowed`, `NotPicklable`,
        `VersionMismatch`, `CodeTooLarge` or `PayloadTooLarge`.
        """
        initializer = initializer or self.initializer
        is_plain = not (kwargs or fleet or initializer or packages)
        recent = self._recent
        if is_plain and recent is not None and recent.function is function:
            queue = self._queue(None, None)
            if recent.serves(queue, self._roster.workers(), self._code.current(briefly=briefly)):
                return recent.program
        if isinstance(function, str):
            if not self._roster.knows(function):
                raise UnknownTask(function, self._roster.suggestion(function))
            name = packing.name_of(function)
            self._editions.check(name, name, briefly=briefly)
            queue = self._queue(fleet, self._roster.queue_of(name))
            return self._named(name, queue, kwargs, initializer, packages)
        if not callable(function):
            raise TypeError(f"A function or a task name is needed, not {type(function).__name__} ({function!r:.80}).")
        if is_async(function):
            raise TypeError(
                f"{packing.name_of(function)} is async: a worker would get a coroutine, which nobody awaits there. "
                "Next: submit a plain function that runs it, like `def run(x): return asyncio.run(work(x))`."
            )
        info = mark_of(function)
        queue = self._queue(fleet, info.fleet if info else None)
        if info is not None and self._is_known(info.name, queue):
            self._editions.check(info.name, function, briefly=briefly)
            return self._named(info.name, queue, kwargs, initializer, packages)
        name = packing.name_of(function)
        if not self._roster.allows_functions:
            raise FunctionsNotAllowed(name)
        self._code.mention((function, initializer.function) if initializer else (function,))
        workers, code = self._roster.workers(), self._code.current(briefly=briefly)
        program = self._shipped(FUNCTION_TASK, queue, name, function, kwargs or {}, code, initializer, packages)
        if is_plain and info is None:
            from manycore.client.recent import Recent  # here, as it needs cloudpickle

            self._recent = Recent.of(function, workers, code, program)
        return program

    def submitted(self, function: Callable[..., Any] | str) -> Program:
        """The same for a call of `submit`, of which there are many."""
        self._called.add(function)
        return self.program(function, briefly=True)

    def goes_along(self, function: object) -> bool:
        """Whether a call of this function brings it along: it was made anew (a lambda, a function in a function, an
        object's method), and nothing says that it will be called again. Runs nobody's code."""
        # An initializer and a function share their globals: they are pickled together.
        return self.initializer is None and is_made_anew(function) and function not in self._called

    def together(self, functions: Sequence[Callable[..., Any]]) -> tuple[Program, list[Brought | BaseException]]:
        """How calls of several functions run in one chunk, where each call brings its own along; and for each function
        what its calls bring, as their first arguments, or why it cannot be sent.

        Raises what `program` raises of all of them.
        """
        queue = self._queue(None, None)
        for function in functions:  # one by one: how much of what each refers to is looked at has a bound
            self._code.mention((function,))
        code, other, refs = self._code.current(briefly=True), self._roster.other_python(queue), list[Ref[Any]]()
        world = world_of(code.digest if code else None, ()) or ""
        brought = [self._brought(function, queue, world, other, refs) for function in functions]
        names = {each[0] for each in brought if isinstance(each, tuple)}
        shadow = names.pop() if len(names) == 1 else f"{len(names)} functions"
        return Program(FUNCTION_TASK, queue, shadow, code=code, other_python=other, refs=tuple(refs)), brought

    def _brought(
        self, function: Callable[..., Any], queue: str, world: str, other: Python | None, refs: list[Ref[Any]]
    ) -> Brought | BaseException:
        name = packing.name_of(function)
        try:
            if not self._roster.allows_functions:
                raise FunctionsNotAllowed(name)
            with noted(as_objects=False) as found:
                blob = dumps(function, f"The function {name}", other_python=other)
            self._checked(function, name, blob, queue, world)
        except BaseException as exc:  # pickling it is foreign code
            return exc
        self._called.add(function)  # it may keep something from call to call: from the next one on, it is built once
        refs += found
        return name, blob

    def close(self) -> None:
        """Nothing more is sent."""
        self._code.close()

    def _is_known(self, task: str, queue: str) -> bool:
        """Whether a task of the caller's goes by its name: what only some workers know is shipped to all."""
        if task.startswith("__main__.") or not self._roster.knows(task):
            return False
        return self._roster.all_know(task, queue) or not self._roster.allows_functions

    def _queue(self, asked: str | None, own: str | None) -> str:
        queue = self._only_fleet or asked or own or DEFAULT_QUEUE
        inside.check(queue, self._keyring.ids)
        return queue

    def _named(
        self,
        task: str,
        queue: str,
        kwargs: dict[str, Any] | None,
        initializer: Initializer | None,
        packages: tuple[str, ...],
    ) -> Program:
        # Without code: a task is the workers' own, and so are the modules that it knows, and those of its package.
        code = None
        if initializer is not None and not self._roster.allows_functions:
            raise FunctionsNotAllowed(initializer.name)
        if initializer is not None and _package(packing.module_of(initializer.function)) != _package(task):
            code = self._code.current()
        if kwargs or initializer is not None:
            return self._shipped(task, queue, task, None, kwargs or {}, code, initializer, packages)
        return Program(task, queue, packages=packages, other_python=self._roster.other_python(queue))

    def _shipped(
        self,
        task: str,
        queue: str,
        name: str,
        function: Callable[..., Any] | None,
        kwargs: dict[str, Any],
        code: Archive | None,
        initializer: Initializer | None,
        packages: tuple[str, ...],
    ) -> Program:
        world = world_of(code.digest if code else None, packages) or ""
        setup = initializer.digest(world) if initializer else None
        other = self._roster.other_python(queue)
        blob, refs = _packed(function, self._lightened(kwargs, name, other), initializer, f"The function {name}", other)
        digest = self._checked(function, name, blob, queue, world, packages)
        sealed = self._keyring.seal(signing.FUNCTION, {"digest": digest, "name": name, "setup": setup}, blob)
        return Program(task, queue, name, digest, sealed, code, packages, other, refs, glimpse.keywords(kwargs))

    def _checked(
        self,
        function: Callable[..., Any] | None,
        name: str,
        blob: bytes,
        queue: str,
        world: str,
        packages: tuple[str, ...] = (),
    ) -> str:
        """The digest of a pickled function, another one in another world. Raises what keeps it from being sent."""
        check_size(len(blob), self._limit, f"The function {name} with what it refers to")
        digest = blake2b(blob, digest_size=16, key=world.encode()).hexdigest()
        if self._packages is not None and not packages:  # else who knows what modules they bring
            self._packages.check(name, function, digest, blob, queue, self._code.files)
        return digest

    def _lightened(self, kwargs: dict[str, Any], name: str, other: Python | None) -> dict[str, Any]:
        """Keyword arguments with a `Ref` in the place of each that is large and cheap to rebuild from where it lies."""
        objects, what = self._objects, f"The keyword arguments of {name}"
        if objects is None:
            return kwargs
        large = {key: value for key, value in kwargs.items() if may_be_large(value)}
        found = {key: objects.shared(value, what, other, cheap=True) for key, value in large.items()}
        return kwargs | {key: ref for key, ref in found.items() if ref is not None}


def _packed(
    function: Callable[..., Any] | None,
    kwargs: dict[str, Any],
    initializer: Initializer | None,
    what: str,
    other: Python | None,
) -> tuple[bytes, tuple[Ref[Any], ...]]:
    """Function, keyword arguments and initializer as one pickle, and the large objects that are named in it.

    Together: what an initializer sets by `global`, a function of the same script finds. But keyword arguments in which
    large objects stand are a pickle in the pickle: those are rebuilt as the objects, a `Ref` in a closure stays one.
    """
    setup = (initializer.function, initializer.args) if initializer else ()
    with noted(as_objects=False) as found:
        blob = dumps((function, kwargs, *setup), what, other_python=other)
    if not found:
        return blob, ()
    with noted(as_objects=True) as arguments:
        added = dumps(kwargs, what, other_python=other)
    if not arguments:
        return blob, tuple(found)
    return dumps((function, added, *setup), what, other_python=other), tuple(found)


def _package(name: str) -> str:
    """The top-level module that a module or a task belongs to."""
    return name.partition(".")[0]
