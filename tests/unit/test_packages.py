"""What a batch imports is compared with the inventories of its workers; in doubt, nothing is said."""

from __future__ import annotations

import importlib
import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import click
import pytest
import redis

from manycore.client.packages import Packages
from manycore.errors import PackageMissing
from manycore.protocol import keys, pickling
from manycore.protocol.inventory import Inventory, take_stock, version_of
from manycore.protocol.roster import Worker

HERE = Inventory({"click": ("click", version_of("click"))})
OLDER = Inventory({"click": ("click", "7.1")})
NONE = Inventory({"json5": ("json5", "1.0")})


def worker(name: str, held: Inventory | None, queue: str = "cpu") -> Worker:
    return Worker(1, (queue,), {}, (), True, (3, 11), "0", {}, name, held.digest if held else "")


@dataclass
class Server:
    """A server that counts what it is asked."""

    held: dict[str, Any] = field(default_factory=dict)
    asked: int = 0

    def get(self, key: str) -> Any:
        self.asked += 1
        found = self.held.get(key)
        if isinstance(found, Exception):
            raise found
        return found


@dataclass
class Workers:
    there: list[Worker]

    def workers(self) -> list[Worker]:
        return self.there


def packages(*workers: Worker, server: Server | None = None) -> Packages:
    held = {keys.inventory(stock.digest): stock.written() for stock in (HERE, OLDER, NONE)}
    return Packages(cast(Any, server or Server(held)), cast(Any, Workers(list(workers))))


def check(packages: Packages) -> None:
    packages.check("work", click.echo, "d", pickling.dumps((click.echo, {})), "cpu", {})


def test_one_worker_that_lacks_it_is_enough_and_is_named() -> None:
    lacking = [worker(f"w{number}", NONE) for number in range(5)]
    with pytest.raises(PackageMissing, match=r"work imports click, missing on w0, w1, w2 and 2 others.*'click=="):
        check(packages(worker("w9", HERE), *lacking))


def test_workers_of_another_fleet_do_not_count() -> None:
    check(packages(worker("w0", HERE), worker("w1", NONE, "gpu")))


@pytest.mark.parametrize("answer", [None, b"", b"[]", b'{"click": 1}', redis.ConnectionError(), redis.ResponseError()])
def test_an_inventory_that_cannot_be_had_says_nothing(answer: Any) -> None:
    check(packages(worker("w0", NONE), server=Server({keys.inventory(NONE.digest): answer})))
    check(packages(worker("w0", None)))
    check(packages())


def test_it_is_fetched_once_and_compared_once() -> None:
    server = Server({keys.inventory(HERE.digest): HERE.written()})
    ours = packages(worker("w0", HERE), worker("w1", HERE), server=server)
    for _ in range(3):
        check(ours)
    assert server.asked == 1


def test_another_major_version_is_a_warning_once() -> None:
    ours = packages(worker("w0", OLDER))
    with pytest.warns(RuntimeWarning, match=r"click is .* here and 7\.1 on the worker w0"):
        check(ours)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours._checked.clear()
        check(ours)
        check(packages(worker("w0", HERE)))


def test_stock_is_what_can_be_imported() -> None:
    found = take_stock()
    assert found.modules["click"] == ("click", version_of("click"))
    assert "manycore" in found.modules, "installed from its own folder"
    assert Inventory.read(found.written()) == found
    assert json.loads(found.written())
    assert found.digest == take_stock().digest


def test_of_a_module_whose_file_went_away_that_is_what_is_said(project: Path) -> None:
    file = project / "tp_gone.py"
    file.write_text("def work(): ...\n")
    work = importlib.import_module("tp_gone").work
    file.unlink()
    text = rf"work imports tp_gone, missing on w0\. .*its file {file} was deleted or moved.* Put it back"
    with pytest.raises(PackageMissing, match=text) as raised:
        packages(worker("w0", HERE)).check("work", work, "d", pickling.dumps((work, {})), "cpu", {})
    assert "EXTRA_PACKAGES" not in str(raised.value)
