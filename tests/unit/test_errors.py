"""Every error of ours says what happened, and survives pickling with it."""

from __future__ import annotations

import pickle
from concurrent.futures import CancelledError
from string import Formatter
from typing import Any

import pytest

from manycore import errors
from manycore.errors import ManycoreError, RemoteTraceback


def descendants(cls: type[ManycoreError]) -> list[type[ManycoreError]]:
    below = [found for child in cls.__subclasses__() for found in descendants(child)]
    return [found for found in dict.fromkeys([cls, *below]) if found.__module__ == errors.__name__]


def sample(cls: type[ManycoreError]) -> ManycoreError:
    """An error with an argument of a fitting type for each field of the class's summary."""
    fields = {int(name): spec or "" for _, name, spec, _ in Formatter().parse(cls.summary) if name is not None}
    values: dict[str, Any] = {"": "what", ",": 12345, "g": 1.5}
    return cls(*[values[fields[number]] for number in range(len(fields))])


every_class = pytest.mark.parametrize("cls", descendants(ManycoreError), ids=lambda cls: cls.__name__)


@every_class
def test_it_formats(cls: type[ManycoreError]) -> None:
    text = str(sample(cls))
    assert "{" not in text
    assert text != str(Exception(*sample(cls).args)) or cls.summary == "{0}"


@every_class
def test_it_survives_pickling(cls: type[ManycoreError]) -> None:
    error = sample(cls)
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert (str(again), again.args, again.__notes__) == (str(error), error.args, ["a note"])


@every_class
@pytest.mark.parametrize("args", [(), ("x",), ("{0}", "{9}", "{name}")])
def test_strange_arguments_still_give_a_text(cls: type[ManycoreError], args: tuple[str, ...]) -> None:
    assert isinstance(str(cls(*args)), str)


@every_class
def test_it_is_documented(cls: type[ManycoreError]) -> None:
    assert (cls.__doc__ or "").endswith(".")


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.SettingsError, ValueError),
        (errors.ConnectionFailed, ConnectionError),
        (errors.NotPicklable, pickle.PicklingError),
        (errors.UnknownTask, LookupError),
        (errors.FunctionsNotAllowed, PermissionError),
        (errors.ItemTimeout, TimeoutError),
        (errors.BatchHalted, CancelledError),
    ],
)
def test_it_can_be_caught_as_the_builtin_one(cls: type[ManycoreError], builtin: type[BaseException]) -> None:
    assert issubclass(cls, builtin)


def test_a_size_is_readable() -> None:
    assert str(errors.PayloadTooLarge("The item", 1234567, 1000)).startswith(
        "The item has 1,234,567 bytes, the limit is 1,000."
    )


def test_a_remote_traceback_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(RemoteTraceback("Traceback of the worker")))
    assert (type(again), again.text) == (RemoteTraceback, "Traceback of the worker")
    assert str(again) == '\n"""\nTraceback of the worker"""'
