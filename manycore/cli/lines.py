"""Items and results of `manycore run` as lines of JSON: one a line in, one a line out."""

from __future__ import annotations

import json
import sys
import threading
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from manycore.client.outcome import Outcome

_digits = threading.RLock()
"""Held while Python's limit is off: it is the process's, and lines are read on a thread of their own."""


def read(file: IO[bytes], *, text: bool, star: bool) -> Iterator[Any]:
    """An item for each line that is not empty. Raises `click.ClickException` for one that is not as it should be."""
    for number, line in enumerate(file, 1):
        line = line.rstrip(b"\r\n").removeprefix(BOM_UTF8 if number == 1 else b"")
        if not line.strip():
            continue
        try:
            item = line.decode(errors="surrogateescape") if text else _loaded(line)
        except (ValueError, RecursionError) as exc:
            hint = "" if text else " For lines that are texts, there is --text."
            raise click.ClickException(f"Line {number} is no JSON: {exc}.{hint}") from None
        if star and not isinstance(item, list):
            raise click.ClickException(f"Line {number} is no list of arguments, as --star wants it.")
        yield item


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:  # it may be for a number of very many digits alone
        with _any_digits():
            return json.loads(line)


def told(outcome: Outcome) -> str:
    from manycore.protocol.pickling import text_of

    error = outcome.error
    ran = {"attempts": outcome.attempts, "worker": outcome.worker, "seconds": outcome.seconds}
    if error is None:
        return f'{{"index": {outcome.index}, "value": {dumped(outcome.value)}, {json.dumps(ran)[1:]}'
    known = {"index": outcome.index, "error": type(error).__name__, "message": text_of(error)}
    if error.__cause__ is not None:  # the worker's traceback
        known["traceback"] = text_of(error.__cause__).strip('"\n')
    return json.dumps(known | ran)


def dumped(value: Any) -> str:
    try:
        return json.dumps(value, default=_plain)
    except Exception:  # keys that are no texts, what holds itself, a number of very many digits, a class's own error
        with _any_digits():
            return _any_as_json(value)


def _any_as_json(value: Any) -> str:
    from manycore.protocol.glimpse import glimpse

    with suppress(Exception):
        return json.dumps(value, default=_plain)
    with suppress(Exception):
        return json.dumps(repr(value))
    return json.dumps(glimpse(value))


@contextmanager
def _any_digits() -> Iterator[None]:
    """Python refuses to read and write numbers of more than 4,300 digits, for the sake of servers."""
    with _digits:
        most = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(0)
        try:
            yield
        finally:
            sys.set_int_max_str_digits(most)


def _plain(value: Any) -> Any:
    """What JSON has no form for, in one that it has."""
    if hasattr(value, "tolist"):
        return value.tolist()  # an array or a number of NumPy's
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return list(value) if isinstance(value, (set, frozenset)) else repr(value)
