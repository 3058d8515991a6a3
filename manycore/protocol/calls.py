"""A plain Celery call on the wire: signed with its task's name and id, and taken apart without anybody's code.

A worker's parent opens it to know whose it is, and what Celery has to do after it (its options: callbacks, chain,
chord). Whatever it carries of the caller's own stays pickled until the child rebuilds it, in the call's own turn.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from manycore.errors import MessageRefused
from manycore.protocol import signing
from manycore.protocol.packing import ATOMIC
from manycore.protocol.pickling import dumps
from manycore.protocol.signing import Keyring

VOUCHED = "manycore"
"""The entry of a call's options that says its task's name and id, on the way to being sealed."""
_PLAIN = ATOMIC | {dict, list, tuple}
"""Of these the options are made; anything else in them is one of the caller's objects."""


@dataclass(frozen=True, slots=True)
class PlainCall:
    """A call as it arrived: the name and id that its signature covers, `(args, kwargs)` and its options as pickles."""

    task: str
    id: str
    arguments: bytes
    options: bytes

    def rebuilt(self) -> Any:
        """What was sealed as `(args, kwargs)`. It may raise anything, and do anything."""
        return pickle.loads(self.arguments)

    def rebuilt_options(self) -> dict[str, Any]:
        """Its options, with the objects in them. It may raise anything, and do anything."""
        found: dict[str, Any] = _options(self.options, pickle.loads)
        return found


class Unbuilt:
    """Stands for one of the caller's objects in options that are only looked at. Sent on, it arrives as that object."""

    __slots__ = ("blob",)

    def __init__(self, blob: bytes) -> None:
        self.blob = blob

    def __reduce__(self) -> Any:
        return pickle.loads, (self.blob,)

    def __deepcopy__(self, _memo: Any) -> Unbuilt:
        return self  # Celery copies what it sends on; a copy by way of `__reduce__` would be the object

    def __repr__(self) -> str:
        return f"<{len(self.blob)} bytes>"


def seal_call(keyring: Keyring, body: Any) -> bytes:
    """Sign the body of a Celery message, `(args, kwargs, options)`. Raises `NotPicklable`, or TypeError for another."""
    args, kwargs, options = body
    options = dict(options or {})
    task, call_id = options.pop(VOUCHED, (None, None))
    sink = BytesIO()
    _OptionsPickler(sink, protocol=5).dump(options)
    arguments = dumps((tuple(args), dict(kwargs)), "A task's arguments")
    return keyring.seal(signing.CALL, (task, call_id, sink.getvalue()), arguments)


def open_call(keyring: Keyring, message: bytes, *, max_bytes: int) -> tuple[PlainCall, dict[str, Any]]:
    """Verify a call; gives it, and its options with `Unbuilt` objects. Raises `MessageRefused`."""
    head, arguments = keyring.open(signing.CALL, message, max_bytes=max_bytes)
    if not isinstance(head, tuple) or len(head) != 3:
        raise MessageRefused("what was signed is no call")
    task, call_id, options = head
    return PlainCall(task, call_id, bytes(arguments), options), _options(options, Unbuilt)


def _options(blob: bytes, build: Callable[[bytes], Any]) -> Any:
    return _OptionsUnpickler(BytesIO(blob), build).load()


class _OptionsPickler(pickle.Pickler):
    """Writes structure as it is, and each object in it as a pickle of its own."""

    def persistent_id(self, obj: Any) -> bytes | None:
        if type(obj) in _PLAIN or obj is dict or obj is list or _is_celerys(obj):
            return None
        return obj.blob if type(obj) is Unbuilt else dumps(obj, "An argument of a callback")

    def reducer_override(self, obj: Any) -> Any:
        """A signature becomes the plain dict, a lazy group of them the plain list, that Celery takes as well."""
        if isinstance(obj, dict):
            return dict, (), None, None, iter(obj.items())
        return (list, (), None, iter(obj)) if isinstance(obj, list) else NotImplemented


def _is_celerys(obj: Any) -> bool:
    return isinstance(obj, dict | list) and type(obj).__module__.startswith("celery.")


class _OptionsUnpickler(pickle.Unpickler):
    """Makes plain structures only, and gives each object's pickle to `build`."""

    def __init__(self, source: BytesIO, build: Callable[[bytes], Any]) -> None:
        super().__init__(source)
        self._build = build

    def persistent_load(self, blob: bytes) -> Any:
        return self._build(blob)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("builtins", "dict"), ("builtins", "list")):
            return dict if name == "dict" else list
        raise MessageRefused(f"what was signed has {module}.{name} in its options")
