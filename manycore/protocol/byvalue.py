"""Pickles by value what workers cannot import: cloudpickle, and what it leaves out.

That is wrapped functions, and workers with another minor version of Python: to those, code goes as its source.
"""

from __future__ import annotations

import copyreg
import dataclasses
import functools
import io
import pickle
from collections import ChainMap
from types import CodeType, FunctionType
from typing import Any, ClassVar, ForwardRef, NewType

import cloudpickle

from manycore.protocol import classes, packing, refs, snippet, wrappers
from manycore.protocol.python import here

_PROGRAM = "__main__"
_FILE = 10
"""The place of the file's name in what makes code. cloudpickle 3.1.3 leaves it out, and with it, in a worker's
tracebacks and warnings, where they come from."""


_OURS = {
    wrappers.CACHED: lambda cached: _cached(cached),
    functools.cached_property: wrappers.cached_property_apart,
    NewType: lambda kind: _new_type(kind),
    memoryview: lambda view: _view(view),
    CodeType: lambda code: _code(code),
    ForwardRef: lambda ref: (ForwardRef, (ref.__forward_arg__,)),  # it may hold code, which it makes by itself
    type(dataclasses.MISSING): lambda _: "MISSING",  # a field's: it is looked for by identity
}
_CLOUDPICKLES, *_OTHERS = cloudpickle.Pickler.dispatch_table.maps
"""Ours go into the first of them: each table that an object is looked for in costs as much as many a small object."""


class ByValue(cloudpickle.Pickler):
    """Asked about each object that is no plain built-in one, so it looks at little. What is importable has its name."""

    dispatch_table: ClassVar[ChainMap[type, Any]] = ChainMap({**_CLOUDPICKLES, **_OURS}, *_OTHERS)
    portable: ClassVar[bool] = False
    asked: Any = None
    """The last object that was asked how it is pickled: of one that failed, the culprit (`culprit`)."""

    def reducer_override(self, obj: Any) -> Any:
        self.asked = obj
        kind = type(obj)
        if kind is FunctionType:
            if wrappers.is_dispatcher(obj) and not importable(obj):
                return wrappers.dispatcher_apart(obj)
            return self._with_refs(obj) or super().reducer_override(obj)
        if issubclass(kind, type):
            reduced = super().reducer_override(obj)
            by_value = reduced is not NotImplemented and len(reduced) == 6
            return classes.apart(obj, reduced, portable=self.portable) if by_value else reduced
        if kind.__module__ == _PROGRAM and kind not in copyreg.dispatch_table:
            return _no_name(obj.__reduce_ex__(5))
        return NotImplemented  # cloudpickle too leaves other objects to themselves

    def _with_refs(self, function: FunctionType) -> Any:
        """A function among arguments, as a pickle of its own if it refers to a `Ref`: there it stays one."""
        if not refs.become_objects():
            return None
        own = io.BytesIO()
        with refs.noted(as_objects=False) as found:
            type(self)(own, protocol=5).dump(function)
        refs.note(found)
        return (pickle.loads, (own.getvalue(),)) if found else None


class Portable(ByValue):
    """The same for another minor version of Python. Raises `NoSource` for code that has none."""

    dispatch_table: ClassVar[ChainMap[type, Any]] = ChainMap(
        {**_CLOUDPICKLES, **_OURS, CodeType: lambda code: (snippet.compiled, tuple(snippet.snippet_of(code)))}, *_OTHERS
    )
    portable: ClassVar[bool] = True


def _code(code: CodeType) -> Any:
    source = snippet.known(code)
    if source is not None:
        return snippet.compiled, tuple(source)
    _, parts = _CLOUDPICKLES[CodeType](code)
    return snippet.byte_code, (here(), *parts[:_FILE], code.co_filename, *parts[_FILE + 1 :])


def _cached(cached: Any) -> Any:
    apart = None if importable(cached) else wrappers.cached_apart(cached)
    return cached.__reduce__() if apart is None else apart


def _view(view: memoryview) -> Any:
    """A view's bytes in the order of its indices, not copied if they lie so. Raises for what cannot be made again: a
    view of foreign types, or one that is empty in more than one dimension."""
    memoryview(bytes(view.itemsize)).cast(view.format)  # type: ignore[call-overload]
    if view.ndim > 1 and not view.nbytes:
        raise BufferError(f"a memoryview of shape {view.shape} cannot be made again")
    held = pickle.PickleBuffer(view) if view.c_contiguous else view.tobytes()
    return view_again, (held, view.format, view.shape)


def view_again(held: Any, form: str, shape: tuple[int, ...]) -> memoryview:
    found = memoryview(held).cast("B")
    # With no zero in a shape, says `cast`: what is empty has one dimension.
    return found.cast(form, shape) if all(shape) else found.cast(form)  # type: ignore[call-overload, no-any-return]


def _new_type(kind: Any) -> Any:
    if importable(kind):
        return kind.__reduce__()
    return NewType, (kind.__name__, kind.__supertype__), {"__module__": kind.__module__}


def _no_name(reduced: Any) -> Any:
    """Raise for an object that pickles itself as the name of a global: workers have another `__main__`."""
    if isinstance(reduced, str):
        raise pickle.PicklingError(f"it pickles itself as {_PROGRAM}.{reduced}, which is in this program only")
    return reduced


def importable(thing: Any) -> bool:
    """Whether another process finds this very object by the name of its module and its own."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or _travels_by_value(module):
        return False
    return packing.standing(module, name) is thing


def _travels_by_value(module: str) -> bool:
    """Whether functions of this module, or of a package around it, are not looked for by name."""
    registered = cloudpickle.list_registry_pickle_by_value()
    parts = module.split(".")
    return module == _PROGRAM or any(".".join(parts[:end]) in registered for end in range(1, len(parts) + 1))
