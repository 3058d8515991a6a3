"""Functions of modules that no worker can import under their name go by value."""

from __future__ import annotations

import importlib.util
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cloudpickle
import pytest

from manycore.client.outsiders import send_by_value
from manycore.protocol.pickling import dumps

SOURCE = "def f(n):\n    return g(n)\n\ndef g(n):\n    return n + 1\n"


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What was registered is not any more."""
    before = set(cloudpickle.list_registry_pickle_by_value())
    yield
    for name in set(cloudpickle.list_registry_pickle_by_value()) - before:
        monkeypatch.setitem(sys.modules, name, sys.modules.get(name) or ModuleType(name))
        cloudpickle.unregister_pickle_by_value(sys.modules[name])


def load(name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def travels(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a process without this module can call its function."""
    send_by_value()
    sent = dumps(module.f)
    monkeypatch.delitem(sys.modules, module.__name__)
    try:
        return bool(pickle.loads(sent)(1) == 2)
    except (ImportError, AttributeError):
        return False


@pytest.mark.parametrize("name", ["antigravity", "/a/path/as/a/name", "__mp_main__", "<run_path>"])
def test_under_a_name_that_cannot_be(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert travels(load(name, tmp_path / "x.py", monkeypatch), monkeypatch)


def test_what_was_made_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ModuleType("tm_made")
    exec(SOURCE, vars(made))
    monkeypatch.setitem(sys.modules, "tm_made", made)
    assert travels(made, monkeypatch)


def test_others_stay_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is the standard library's own, installed, or sent as source."""
    monkeypatch.setitem(sys.modules, "tm_of_c", ModuleType("tm_of_c"))
    assert not travels(load("tm_source", tmp_path / "tm_source.py", monkeypatch), monkeypatch)
    assert not {"tm_source", "tm_of_c"} & cloudpickle.list_registry_pickle_by_value()
