"""Finds values that many items share, so that they are sent once: the same object among the arguments of several items.

Found by identity, and only where an argument is the object itself, not inside another. An input in memory is what it
was at the call, so what is shared there is kept once for the whole batch; from any other input, once for each cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from manycore.client.bylane import ByLane
from manycore.client.lane import Lane
from manycore.client.objects import Objects
from manycore.client.passage import Cut
from manycore.client.sources import ReadySource
from manycore.client.worth import may_be_large
from manycore.protocol.message import CallForm
from manycore.protocol.refs import Ref


class Sharing:
    """Of one dispatcher, on its thread."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._found = ByLane[dict[int, tuple[Any, Ref[Any] | None]]]()
        """Of each lane, by id: the objects that were looked at, which keeps their ids theirs."""

    def shared(self, lane: Lane, cut: Cut) -> Cut:
        """The cut with a `Ref` in the place of each large value that its items, or earlier ones, share."""
        known = self._found.get(lane)
        if known is None:
            known = self._found.keep(lane, {}) if isinstance(lane.source, ReadySource) else {}
        for value in _repeated(cut):
            if id(value) not in known:
                known[id(value)] = value, self._objects.shared(value, "The argument", cut.program.other_python)
        stand_ins = {place: ref for place, (_, ref) in known.items() if ref is not None}
        return replace(cut, items=_replaced(cut, stand_ins)) if stand_ins else cut

    def forget(self, lane: Lane) -> None:
        """The lane is over."""
        self._found.take(lane)


def _repeated(cut: Cut) -> list[Any]:
    """The objects that are an argument more than once and may be large. Looks at the first and the last item first."""
    form, items = cut.options.form, cut.items
    if len(items) < 2 or not any(map(may_be_large, _arguments(form, [items[0], items[-1]]))):
        return []
    held = {id(value): value for value in _arguments(form, items) if may_be_large(value)}
    counts = Counter(id(value) for value in _arguments(form, items))
    return [value for place, value in held.items() if counts[place] > 1]


def _arguments(form: CallForm, items: Iterable[Any]) -> Iterator[Any]:
    if form == "item":
        return iter(items)
    if form == "star":
        return chain.from_iterable(item for item in items if type(item) is tuple)
    return chain.from_iterable((*args, *kwargs.values()) for args, kwargs in items)


def _replaced(cut: Cut, stand_ins: dict[int, Ref[Any]]) -> Sequence[Any]:
    form = cut.options.form

    def get(value: Any) -> Any:
        return stand_ins.get(id(value), value)

    if form == "item":
        return [get(item) for item in cut.items]
    if form == "star":
        return [tuple(map(get, item)) if type(item) is tuple else item for item in cut.items]
    return [(tuple(map(get, args)), {key: get(held) for key, held in kwargs.items()}) for args, kwargs in cut.items]
