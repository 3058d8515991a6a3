"""What a value *is*, as a digest that is the same in every run: two are alike if they would give the same results.

Pickles will not do: they tell equal objects from one that is used twice, hold sets in the order of this process's
hash seed, and for a class of `__main__` a random id. So a value is walked by what it is made of: built-in values and
containers (a dict in its order, a set in none), functions by their code with what it refers to (`bytecode`), any other
object by what it pickles itself from; so is what was put, if the bytes that lie there do not tell. Not told apart are
objects of one type that have no such form (locks, open files), and what lies deeper than `DEEPEST` levels.
"""

from __future__ import annotations

import copyreg
import functools
import marshal
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from hashlib import blake2b
from itertools import chain, islice
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    ModuleType,
)
from typing import Any

from manycore.errors import ConnectionFailed, ObjectGone
from manycore.protocol import bytecode
from manycore.protocol.refs import Ref

DEEPEST = 60
PIECE_ITEMS = 10_000
_PLAIN = {type(None), bool, int, float, complex, str, bytes}
_LRU_CACHE: type = type(functools.lru_cache(abs))
_SIZE = 16


def digest_of(*values: Any, own: Iterable[str] = ()) -> str:
    """The digest of these values. Code of `__main__` and of the modules `own` is looked into; other code has a name."""
    walker = _Walker(own)
    return _hash(map(walker.token, values)).hex()


def digest_of_items(items: Iterable[Any], own: Iterable[str] = ()) -> str:
    """The digest of an input; plain values pass at 10,000,000 a second."""
    walker, state, left = _Walker(own), blake2b(digest_size=_SIZE), iter(items)
    while piece := list(islice(left, PIECE_ITEMS)):
        state.update(walker.piece(piece))
    return state.hexdigest()


class _Walker:
    """Makes tokens: short, of a known end, equal for what is alike."""

    def __init__(self, own: Iterable[str], put: dict[Ref[Any], bytes] | None = None) -> None:
        self._own = {"__main__", *own}
        self._put = {} if put is None else put
        """The tokens of objects that were put: those are large, and not to be kept in memory."""
        self._known: dict[int, tuple[Any, bytes]] = {}
        """By id, with the object, so that the id stays its own."""
        self._path: dict[int, int] = {}
        self._makers: dict[type, Callable[[Any], Iterable[bytes]]] = {
            list: self._sequence,
            tuple: self._sequence,
            dict: self._pairs,
            MappingProxyType: self._pairs,
            range: lambda r: self._sequence((r.start, r.stop, r.step)),
            slice: lambda s: self._sequence((s.start, s.stop, s.step)),
            bytearray: lambda held: [_plain(bytes(held))],
            memoryview: lambda held: [_plain(held.tobytes())],
            FunctionType: self._function,
            BuiltinFunctionType: self._builtin,
            MethodType: lambda method: [self.token(method.__func__), self.token(method.__self__)],
            staticmethod: lambda method: [self.token(method.__func__)],
            classmethod: lambda method: [self.token(method.__func__)],
            property: lambda it: [self.token(it.fget), self.token(it.fset), self.token(it.fdel)],
            functools.cached_property: lambda it: [self.token(it.func)],
            functools.partial: self._partial,
            _LRU_CACHE: lambda cached: [self.token(cached.__wrapped__), *self._pairs(cached.cache_parameters())],
            CodeType: lambda held: map(self.token, bytecode.parts(held)),
            CellType: lambda cell: [self.token(cell.cell_contents)],
            ModuleType: lambda module: [_plain(module.__name__)],
            Ref: self._object_of,
        }

    def piece(self, items: list[Any]) -> bytes:
        """The token of many items at once."""
        if len(self._known) > PIECE_ITEMS:
            self._known.clear()
        return _hash(self._sequence(items))

    def token(self, value: Any) -> bytes:
        kind = type(value)
        if kind in _PLAIN:
            return _plain(value)
        place = id(value)
        if place in self._known:
            return self._known[place][1]
        if place in self._path:
            return b"^%d;" % (len(self._path) - self._path[place])  # it holds itself
        if len(self._path) > DEEPEST:
            return b"deep;"
        self._path[place] = len(self._path)
        try:
            found = _hash(chain([_name(kind)], self._parts(value, kind)))
        except ConnectionFailed:
            raise
        except Exception:  # an object may raise anything while it is looked at: then its type has to do
            found = _hash([_name(kind), b"?;"])
        finally:
            del self._path[place]
        self._known[place] = value, found
        return found

    def _parts(self, value: Any, kind: type) -> Iterable[bytes]:
        maker = self._makers.get(kind)
        if maker is not None:
            return maker(value)
        if issubclass(kind, type):
            return self._class(value)
        if issubclass(kind, Enum):
            return [self.token(kind), _plain(value.name)]
        if issubclass(kind, set | frozenset):
            return chain(
                [self.token(kind)], sorted(map(self.token, value)), self._pairs(getattr(value, "__dict__", {}))
            )
        return self._object(value, kind)

    def _sequence(self, values: Any) -> Iterable[bytes]:
        kinds = set(map(type, values))
        if kinds <= _PLAIN or (kinds == {tuple} and set(map(type, chain.from_iterable(values))) <= _PLAIN):
            # Version 2 writes no references: equal values give equal bytes, whoever they are.
            return [b"m", marshal.dumps(list(values), 2)]
        return map(self.token, values)

    def _pairs(self, held: Any) -> Iterator[bytes]:
        for key, value in held.items():
            yield self.token(key)
            yield self.token(value)

    def _object_of(self, ref: Ref[Any]) -> list[bytes]:
        if ref not in self._put:
            try:
                token = _plain(ref.digest) if ref.digest else _Walker(self._own, self._put).token(ref.get())
            except ObjectGone:  # as one of another program's, of which this one has the `Ref` only
                token = _plain(ref.name)
            self._put[ref] = token
        return [self._put[ref]]

    def _object(self, value: Any, kind: type) -> Iterator[bytes]:
        """By what pickle would rebuild it from."""
        reduce = copyreg.dispatch_table.get(kind)
        made: Any = reduce(value) if reduce is not None else value.__reduce_ex__(4)
        if isinstance(made, str):
            yield _plain(made)
            return
        maker, arguments, state, items, pairs = (list(made) + [None] * 3)[:5]
        yield self.token(kind)
        yield self.token(maker)
        yield from map(self.token, arguments)
        for part in state if isinstance(state, tuple) else (state,):
            yield from self._state(part)
        yield from map(self.token, items or ())
        yield from (self.token(pair) for pair in pairs or ())

    def _state(self, state: Any) -> Iterable[bytes]:
        """Attributes count by their names, in whatever order they were set."""
        if type(state) is not dict:
            return [self.token(state)]
        return self._pairs(dict(sorted(state.items(), key=lambda pair: str(pair[0]))))

    def _function(self, function: Any) -> Iterator[bytes]:
        yield from map(_plain, (function.__module__, function.__qualname__))
        if function.__module__ in self._own or "<" in function.__qualname__:
            yield from map(self.token, bytecode.held_by(function, self._own))

    def _builtin(self, function: Any) -> Iterator[bytes]:
        yield from map(_plain, (function.__module__, function.__qualname__))
        if not isinstance(function.__self__, ModuleType):
            yield self.token(function.__self__)

    def _partial(self, partial: Any) -> Iterator[bytes]:
        yield from map(self.token, (partial.func, partial.args))
        yield from self._state(partial.keywords)

    def _class(self, kind: type) -> Iterator[bytes]:
        yield _name(kind)
        if kind.__module__ in self._own or "<" in kind.__qualname__:
            yield from map(self.token, kind.__bases__)
            yield from map(self.token, bytecode.held_by_class(kind))


def _name(kind: type) -> bytes:
    return _plain(f"{kind.__module__}.{kind.__qualname__}")


def _plain(value: Any) -> bytes:
    """A plain value, framed by its length; a long one by its digest."""
    held = marshal.dumps(value, 2) if type(value) is not bytes else b"s" + value
    return b"%d:%b" % (len(held), held) if len(held) <= 64 else b"h" + blake2b(held, digest_size=_SIZE).digest()


def _hash(tokens: Iterable[bytes]) -> bytes:
    return b"#" + blake2b(b"".join(tokens), digest_size=_SIZE).digest()
