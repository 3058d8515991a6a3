"""`FunctionShipper`: tasks go by name, everything else by value, if the cluster allows it."""

from __future__ import annotations

import functools
import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from manycore.client.code import CodeShipper
from manycore.client.functions import FunctionShipper
from manycore.client.initializer import Initializer
from manycore.errors import (
    CodeDiffers,
    FunctionsNotAllowed,
    NotPicklable,
    PayloadTooLarge,
    UnknownTask,
    VersionMismatch,
)
from manycore.protocol import packing, signing
from manycore.protocol.broker import FUNCTION_TASK
from manycore.protocol.edition import Edition, edition_of
from manycore.protocol.parcel import Program
from manycore.protocol.python import here
from manycore.protocol.roster import Room, Roster, Worker
from manycore.protocol.settings import load_settings
from manycore.task import task
from tests.shippers import RING, Workers, shipper


def plain(value: int) -> int:
    return value + 1


@task(name="tasks.known", fleet="io")
def known(value: int) -> int:
    return value + 2


def shipped(program: Program) -> tuple[Any, ...]:
    assert program.sealed is not None
    header, body = RING.open(signing.FUNCTION, program.sealed)
    assert header["digest"] == program.digest
    parts: tuple[Any, ...] = pickle.loads(body)
    return parts


def test_a_known_task_goes_by_name_to_its_fleet() -> None:
    assert shipper("tasks.known").program(known) == Program("tasks.known", "io")


def test_what_is_wrapped_around_a_task_runs_too() -> None:
    """`functools.wraps` copies the mark of the task with its name: sent by that name, the task alone would run."""

    @functools.wraps(known)
    def around(value: int) -> int:
        return known(value) + 100

    bound = functools.update_wrapper(functools.partial(known, 1), known)
    for function in (around, bound):
        assert shipper("tasks.known").program(function).task == FUNCTION_TASK


def test_a_name_is_enough() -> None:
    assert shipper("tasks.add").program("tasks.add") == Program("tasks.add", "io")


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownTask, match=r"knows the task 'tasks.ad'\. Did you mean 'tasks.add'\?"):
        shipper("tasks.add").program("tasks.ad")


@pytest.mark.parametrize("function", [plain, lambda value: value + 1], ids=["named", "lambda"])
def test_a_plain_function_is_shipped_under_its_own_name(function: Callable[[int], int]) -> None:
    program = shipper().program(function)
    assert (program.task, program.queue, program.shadow) == (FUNCTION_TASK, "cpu", packing.name_of(function))
    arrived, kwargs = shipped(program)
    assert (arrived(1), kwargs) == (2, {})


def test_a_task_that_no_worker_knows_is_shipped_to_its_fleet() -> None:
    program = shipper().program(known)
    assert (program.task, program.queue) == (FUNCTION_TASK, "io")
    assert shipped(program)[0](1) == 3


def test_a_task_that_only_some_workers_know_is_shipped_unless_they_run_nothing_else() -> None:
    some = shipper("tasks.known", all_of_them=False).program(known)
    assert (some.task, some.queue) == (FUNCTION_TASK, "io")
    assert shipper("tasks.known", all_of_them=False, allows_functions=False).program(known).task == "tasks.known"


@pytest.mark.parametrize("function", [known, f"{__name__}.known"], ids=["function", "name"])
@pytest.mark.parametrize("strict", [False, True])
def test_a_task_that_is_another_one_there_is_told_of_with_both_files(function: Any, strict: bool) -> None:
    ours = edition_of(__name__)
    assert ours is not None
    names = ("tasks.known", f"{__name__}.known")
    way = pytest.raises(CodeDiffers) if strict else pytest.warns(CodeDiffers)
    with way as caught:
        shipper(*names, strict=strict, theirs=Edition("4e1f", "/app/tasks/mine.py")).program(function)
    text = str(caught.value if isinstance(caught, pytest.ExceptionInfo) else caught[0].message)
    assert f"4e1f in /app/tasks/mine.py there, {ours.digest} in {ours.file} here" in text
    if not isinstance(caught, pytest.ExceptionInfo):
        assert caught[0].filename == __file__, "it names the caller's line"


def test_of_many_calls_one_is_told_of() -> None:
    many = shipper("tasks.known", theirs=Edition("4e1f", "/app/tasks/mine.py"))
    with pytest.warns(CodeDiffers) as caught:
        assert [many.submitted(known) for _ in range(5)]
    assert len(caught) == 1


def test_a_task_of_the_main_program_is_shipped() -> None:
    marked = task(name="__main__.script")(lambda: 1)
    assert shipper("__main__.script").program(marked).task == FUNCTION_TASK


def test_keyword_arguments_travel_with_the_function() -> None:
    assert shipped(shipper().program(plain, {"a": 1}))[1] == {"a": 1}


@pytest.mark.parametrize("function", [known, "tasks.known"])
def test_keyword_arguments_of_a_task_travel_alone(function: Any) -> None:
    program = shipper("tasks.known").program(function, {"a": 1})
    assert (program.task, shipped(program)) == ("tasks.known", (None, {"a": 1}))


def test_an_initializer_travels_with_the_function_and_is_the_same_in_every_program() -> None:
    ours = shipper("tasks.known")
    ours.initializer = Initializer.of(print, ("hello",))
    programs = [ours.program(function) for function in (plain, lambda: 1, known)]
    heads = [RING.open(signing.FUNCTION, program.sealed or b"").header for program in programs]
    assert len({head["setup"] for head in heads}) == 1
    assert len({head["digest"] for head in heads}) == 3
    assert shipped(programs[0])[2:] == (print, ("hello",))
    other = ours.program(plain, initializer=Initializer.of(print, ("bye",)))
    assert RING.open(signing.FUNCTION, other.sealed or b"").header["setup"] != heads[0]["setup"]


def test_an_initializer_is_a_function_that_a_cluster_may_not_allow() -> None:
    closed = shipper("tasks.known", allows_functions=False)
    with pytest.raises(FunctionsNotAllowed, match="print is not one"):
        closed.program(known, initializer=Initializer.of(print, ()))


def test_one_function_is_shipped_once() -> None:
    assert shipper().program(plain) == shipper().program(plain)
    assert shipper().program(plain).digest != shipper().program(plain, {"a": 1}).digest


def test_to_workers_of_another_python_code_goes_as_source() -> None:
    program = shipper(python=(3, 99)).program(lambda value: value + 5)
    assert program.other_python == (3, 99)
    assert b"value + 5" in (program.sealed or b"")
    assert shipped(program)[0](1) == 6


def test_what_has_no_source_is_refused_before_anything_runs() -> None:
    there: dict[str, Any] = {}
    exec("def made(value): return value", there)
    with pytest.raises(VersionMismatch, match=r"made \(its source is in no file\).*Python 3\.99 cannot run"):
        shipper(python=(3, 99)).program(there["made"])


def test_a_cluster_without_functions_says_so() -> None:
    closed = shipper("tasks.known", allows_functions=False)
    assert closed.program(known) == Program("tasks.known", "io")
    with pytest.raises(FunctionsNotAllowed, match="plain is not one"):
        closed.program(plain)


def test_what_cannot_be_shipped_is_named() -> None:
    lock = threading.Lock()
    with pytest.raises(NotPicklable, match=r"The function .*<lambda> cannot be pickled"):
        shipper().program(lambda: lock)


def test_what_is_too_large_is_named() -> None:
    data = b"x" * 2_000
    with pytest.raises(PayloadTooLarge, match="with what it refers to has"):
        shipper(limit=2_000).program(lambda: data)


def test_what_is_no_function_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="A function or a task name is needed, not int"):
        shipper().program(5)  # type: ignore[arg-type]


def test_a_function_that_goes_by_its_name_is_one_program_call_after_call() -> None:
    made = shipper()
    first = made.submitted(plain)
    assert made.submitted(plain) is first
    assert made.program(plain) is first
    assert made.program(plain, {"value": 1}) is not first


def test_what_goes_by_value_takes_along_what_it_refers_to_now() -> None:
    step = 1
    made = shipper()

    def add(value: int) -> int:
        return value + step

    before = made.submitted(add).digest
    step = 2
    assert made.submitted(add).digest != before


def test_a_name_that_stands_for_another_function_now_is_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    made, function = shipper(), plain
    first = made.submitted(function)
    monkeypatch.setitem(globals(), "plain", known)
    assert made.submitted(function).digest != first.digest


def test_with_other_workers_it_is_made_anew() -> None:
    roster = Workers()
    made = FunctionShipper(RING, cast(Roster, roster), load_settings(), CodeShipper(RING, None))
    first = made.submitted(plain)
    roster.found = ["another"]
    assert made.submitted(plain) is not first
    assert made.submitted(plain).digest == first.digest


def test_in_a_newer_picture_of_the_same_workers_it_is_the_same() -> None:
    """They beat every two seconds: each time the first call after a pause would take twice as long."""
    known: dict[str, Any] = {"tasks": {}, "functions": True, "python": here(), "version": "1", "editions": {}}
    one = Worker(slots=1, queues=("cpu",), keys=tuple(RING.ids), **known)
    workers = Workers(found=[one])
    made = FunctionShipper(RING, cast(Roster, workers), load_settings(), CodeShipper(RING, None))
    first = made.program(plain)
    workers.found = [replace(one, busy=1, counts={"leases_renewed": 3}, objects=Room("home", 1, 2))]
    assert made.program(plain) is first
    assert made.program(plain) is first
    workers.found = [replace(one, inventory="another")]
    assert made.program(plain) is not first
