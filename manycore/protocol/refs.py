"""What stands for a large object while it is pickled, and becomes the object where it is unpickled.

1. `Ref` is what a caller holds. Among arguments it travels as the object itself: rebuilding them puts it in place.
   Elsewhere (in a function, in a pickle of the caller's own) it stays a `Ref`, and `get` gives the object.
2. Results that are large come back in the same way, without a `Ref` that anybody sees.

Where the bytes are is for a `Plane`, which a client or a worker registers here. This module holds no bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from manycore.errors import ObjectGone

T = TypeVar("T")


class Plane(Protocol):
    """Knows where objects are."""

    def value(self, home: str, name: str, size: int, *, private: bool) -> Any:
        """The object; with `private` in buffers that can be written to, and that nobody else sees."""

    def taken(self, home: str, name: str, size: int) -> Any:
        """The object, which nobody else will ask for."""


class Ref(Generic[T]):
    """An object that was put once (`Cluster.put`), and that any number of items may use.

    As an argument of an item, also inside other arguments, it becomes the object there; what is in it of NumPy, Arrow
    and pandas is mapped, not copied, and can only be read; so can a part of it that an item returns without a copy.
    `get` gives the object anywhere. `size` is in bytes.
    The object is freed when the last `Ref` to it is gone and the batches that it was passed to are over.
    """

    __slots__ = ("__weakref__", "digest", "home", "inside", "name", "private", "size")

    def __init__(self, home: str, name: str, size: int, digest: str, *, private: bool = False) -> None:
        self.home = home
        self.name = name
        self.size = size
        self.digest = digest
        """Of its bytes; empty if another run would make others of the same object."""
        self.private = private
        self.inside: tuple[Ref[Any], ...] = ()
        """Those that stand in the object, which needs theirs for as long."""
        _known[home, name] = self

    def get(self) -> T:
        """The object, read-only where it is mapped. Raises `ObjectGone`, `MessageRefused`, or `ConnectionFailed`."""
        value: T = _plane(self.home, self.name).value(self.home, self.name, self.size, private=self.private)
        return value

    def __copy__(self) -> Ref[T]:
        return self

    def __deepcopy__(self, memo: object) -> Ref[T]:
        return self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if _pickled.refs is not None:
            _pickled.refs.append(self)
        if _pickled.as_objects:
            return argument, (self.home, self.name, self.size, self.private)
        return again, (self.home, self.name, self.size, self.digest, self.private)

    def __repr__(self) -> str:
        return f"<Ref to {self.size:,} bytes>"


class _Pickled(threading.local):
    """What the calling thread is pickling."""

    refs: list[Ref[Any]] | None = None
    as_objects = False


_pickled = _Pickled()
_known: WeakValueDictionary[tuple[str, str], Ref[Any]] = WeakValueDictionary()
_planes: WeakValueDictionary[str, Plane] = WeakValueDictionary()
_others: list[Plane] = []


@contextmanager
def noted(*, as_objects: bool) -> Iterator[list[Ref[Any]]]:
    """Note each `Ref` that this thread pickles meanwhile; `as_objects`, it becomes its object where it is unpickled."""
    before = _pickled.refs, _pickled.as_objects
    found: list[Ref[Any]] = []
    _pickled.refs, _pickled.as_objects = found, as_objects
    try:
        yield found
    finally:
        _pickled.refs, _pickled.as_objects = before


def become_objects() -> bool:
    """Whether what this thread pickles may hold a `Ref` that becomes its object."""
    return _pickled.as_objects and bool(_known)


def note(found: list[Ref[Any]]) -> None:
    """Note what was found in a pickle that stands in the one that this thread makes."""
    if _pickled.refs is not None:
        _pickled.refs += found


def serve(home: str, plane: Plane) -> None:
    """Let `plane` give the objects of this home, as long as it lives."""
    _planes[home] = plane


def serve_others(plane: Plane | None) -> None:
    """Let `plane` give all objects that no other one gives; a process has one such plane at most."""
    _others[:] = [plane] if plane is not None else []


def with_inside(found: Iterable[Ref[Any]]) -> tuple[Ref[Any], ...]:
    """These, and those without which their objects are not whole."""
    needed, waiting = dict.fromkeys(found), list(found)
    for ref in waiting:
        waiting += (each for each in ref.inside if each not in needed)
        needed |= dict.fromkeys(ref.inside)
    return tuple(needed)


def in_pickle(pickled: bytes) -> bool:
    """Whether large objects stand in a pickle: in its text their module has its name."""
    return __name__.encode() in pickled


def again(home: str, name: str, size: int, digest: str, private: bool) -> Ref[Any]:
    """The `Ref` to an object: the one that there is, if this process has it."""
    found = _known.get((home, name))
    return found if found is not None else Ref(home, name, size, digest, private=private)


def argument(home: str, name: str, size: int, private: bool) -> Any:
    """The object that was passed; where nobody knows of it, a `Ref` to it."""
    return _plane(home, name).value(home, name, size, private=private)


def result(home: str, name: str, size: int) -> Any:
    """The object that came back."""
    return _plane(home, name).taken(home, name, size)


class Result:
    """Pickles as a result that lies in a home."""

    __slots__ = ("_place",)

    def __init__(self, home: str, name: str, size: int) -> None:
        self._place = home, name, size

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return result, self._place


def _plane(home: str, name: str) -> Plane:
    found = _planes.get(home)
    if found is None and _others:
        found = _others[0]
    if found is None:
        raise ObjectGone(name)
    return found
