"""`manycore logs` shows what items write, safely; and a worker's own log can be JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from manycore import Cluster
from manycore.cli.__main__ import main
from tests.probe import Probe

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]


def shown(cluster: Cluster, *options: str, code: int = 0) -> str:
    address = Probe(cluster).address
    assert address is not None
    result = CliRunner().invoke(main, ["logs", *options, "--url", address])
    assert result.exit_code == code, result.output
    return result.output


def speak(number: int) -> None:
    print("\x1b[31mitem", number)
    logging.getLogger("app").error("two\nlines")


def test_lines_are_shown_with_their_item_and_cannot_steer_the_terminal(cluster: Cluster) -> None:
    batch = cluster.batch(speak, range(2))
    batch.wait()
    lines = shown(cluster, batch.id, "--follow").splitlines()
    assert sorted(line.split(maxsplit=1)[1] for line in lines if "stdout" in line) == [
        "0 stdout \\x1b[31mitem 0",
        "1 stdout \\x1b[31mitem 1",
    ]
    assert [line.split(maxsplit=1)[1] for line in lines if " 1 " in line][1:] == [
        "1 ERROR app: two",
        "1 ERROR app: lines",
    ]


def test_of_one_item_as_json(cluster: Cluster) -> None:
    batch = cluster.batch(speak, range(2))
    batch.wait()
    found = [json.loads(line) for line in shown(cluster, batch.id, "--index", "1", "--json").splitlines()]
    assert [(line["index"], line["stream"], line["level"]) for line in found] == [
        (1, "stdout", ""),
        (1, "log", "ERROR"),
    ]


def test_a_batch_that_nobody_knows_is_an_error(cluster: Cluster) -> None:
    assert "There is no batch 'nowhere'" in shown(cluster, "nowhere", code=1)


def fail_in_words(number: int) -> int:
    try:
        raise LookupError(number)
    except LookupError:
        logging.getLogger("app").exception("item %d", number)
    return number


@pytest.mark.parametrize("capture", ["1", "0"])
def test_a_worker_logs_json(start_worker: StartWorker, connect: Connect, tmp_path: Path, capture: str) -> None:
    worker = start_worker(logformat="json", capture=capture)
    batch = connect().batch(fail_in_words, [5, 6])
    assert batch.gather() == [5, 6]
    worker.terminate()
    worker.wait(20)
    lines = "".join(path.read_text() for path in tmp_path.glob("*.log")).splitlines()
    found = [json.loads(line) for line in lines if "item 5" in line or "item 6" in line]
    assert [(each["batch"], each["index"], each["attempt"]) for each in found] == [(batch.id, 0, 1), (batch.id, 1, 1)]
    assert [each["message"] for each in found] == ["item 5", "item 6"]
    assert all("LookupError: 5" in each["exception"] for each in found[:1])
    assert all(each["worker"].startswith("test0@") and each["pid"] != worker.pid for each in found)
