"""`failure`: an error arrives as itself, or told in words; describing one never raises."""

from __future__ import annotations

import pickle
import threading
from typing import Any, NoReturn

import pytest

from manycore.errors import ManycoreError, RemoteError, RemoteTraceback
from manycore.protocol.failure import dump_error, load_error


class FailsToRebuild:
    def __reduce__(self) -> tuple[Any, ...]:
        return _fail, ()


def _fail() -> NoReturn:
    raise ImportError("no such module here")


class Plain(Exception):
    pass


class RequiredArguments(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")


class NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


class Holds(Exception):
    def __init__(self, held: Any) -> None:
        super().__init__("it holds something")
        self.held = held


class Pretends(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return ValueError, ("another",)


class Rewords(Exception):
    """Its text is no part of what it holds."""

    texts = iter(range(1, 100))

    def __init__(self, *, what: str) -> None:
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} is {next(self.texts)}"


class KeywordsOnly(OSError):
    def __init__(self, *, path: str) -> None:
        super().__init__(2, "no such file", path)
        self.asked = path


class Sealed(Exception):
    """As a frozen dataclass is: no attribute of it can be set."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(name)


def travelled(error: BaseException, text: str = "Traceback of the worker") -> BaseException:
    return load_error(dump_error(error, text))


@pytest.mark.parametrize("error", [Plain("a", 1), KeyError("k"), SystemExit(3), OSError(2, "no", "file"), NoText(1)])
def test_an_error_arrives_as_itself(error: BaseException) -> None:
    arrived = travelled(error)
    assert type(arrived) is type(error)
    assert arrived.args == error.args


def test_an_error_keeps_attributes_and_notes() -> None:
    error = Holds([1])
    error.add_note("look here")
    arrived = travelled(error)
    assert isinstance(arrived, Holds)
    assert (arrived.held, arrived.__notes__) == ([1], ["look here"])


@pytest.mark.parametrize("error", [RequiredArguments(3, "bad"), KeywordsOnly(path="/a"), Pretends("it")])
def test_an_error_that_its_class_would_not_make_again_arrives_as_itself(error: BaseException) -> None:
    error.add_note("look here")
    arrived = travelled(error)
    assert type(arrived) is type(error)
    assert (arrived.args, str(arrived), vars(arrived)) == (error.args, str(error), vars(error))


def test_each_error_of_a_group_arrives_as_well_as_it_can() -> None:
    inner = ExceptionGroup("inner", [Holds(threading.Lock())])
    arrived = travelled(ExceptionGroup("all", [RequiredArguments(3, "bad"), KeyError("k"), inner]))
    assert isinstance(arrived, ExceptionGroup)
    first, second, third = arrived.exceptions
    assert (type(first), vars(first)) == (RequiredArguments, vars(RequiredArguments(3, "bad")))
    assert (type(second), second.args) == (KeyError, ("k",))
    assert isinstance(third, ExceptionGroup)
    assert [type(each) for each in third.exceptions] == [RemoteError]
    assert arrived.message == "all"


def test_an_error_of_a_local_class_arrives_by_value() -> None:
    class Local(ValueError):
        pass

    arrived = travelled(Local("here"))
    assert (type(arrived).__name__, arrived.args, type(arrived).__bases__) == ("Local", ("here",), (ValueError,))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Holds(threading.Lock()), "Holds: it holds something"),
        (Holds(FailsToRebuild()), "Holds: it holds something"),
        (Rewords(what="it"), "Rewords: it is "),
    ],
)
def test_what_cannot_travel_is_told_in_words(error: BaseException, text: str) -> None:
    arrived = travelled(error)
    assert type(arrived) is RemoteError
    assert str(arrived).startswith(text)


def test_an_error_with_neither_form_nor_text_still_arrives() -> None:
    class Worst(NoText):
        def __reduce__(self) -> NoReturn:
            raise NoText

    arrived = travelled(Worst())
    assert type(arrived) is RemoteError
    assert "its str() raised RuntimeError" in str(arrived)


def test_an_error_whose_class_is_missing_here_is_told_in_words() -> None:
    blob = pickle.dumps((pickle.dumps(FailsToRebuild()), "Traceback of the worker"))
    arrived = load_error(blob)
    assert type(arrived) is RemoteError
    assert "ImportError: no such module here" in str(arrived)


@pytest.mark.parametrize("error", [Plain(), RequiredArguments(1, ""), Sealed()])
def test_the_workers_traceback_is_the_cause(error: BaseException) -> None:
    cause = travelled(error).__cause__
    assert isinstance(cause, RemoteTraceback)
    assert cause.text == "Traceback of the worker"


def test_without_a_traceback_there_is_no_cause() -> None:
    assert travelled(ManycoreError("x"), "").__cause__ is None
