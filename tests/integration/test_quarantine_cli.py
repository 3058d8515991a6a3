"""`manycore quarantine` against a real server: what it prints, and what its exit code says."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Any

import pytest
from click.testing import CliRunner, Result

from manycore import Cluster
from manycore.cli.__main__ import main
from manycore.errors import WorkerCrashed
from manycore.protocol.message import Chunk, ItemOptions
from manycore.protocol.packing import pack
from manycore.protocol.signing import Keyring, generate_key
from manycore.quarantine.poison import Poison, PoisonItems, item_id
from manycore.quarantine.refused import RefusedMessages
from tests.functions import hold_while, leave_while
from tests.integration.conftest import ROOT, Server

StartWorker = Callable[..., Any]
Connect = Callable[..., Cluster]


@pytest.fixture
def run(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command in a terminal of 80 columns, with the address and key of `server`."""

    def run(*arguments: str, answer: str | None = None, **environment: str) -> Result:
        for name, value in ({"url": server.url, "key": server.key} | environment).items():
            monkeypatch.setenv(f"MANYCORE_{name.upper()}", value)
        return CliRunner(env={"COLUMNS": "80"}).invoke(main, ["quarantine", *arguments], input=answer)

    return run


@pytest.fixture
def filled(server: Server) -> list[str]:
    """The ids of a poison item and of a refused message, whose text would steer a terminal."""
    body = pack(["it was \x1b[31mred"])
    chunk = Chunk("night.0", "night", "tests.draw", None, ItemOptions(), 7, 0, 1, None, b"")
    item = Poison(time() - 120, chunk, "cpu", None, "signal 9 (SIGKILL)", 3, "", len(body), body, None)
    PoisonItems(server.client(), Keyring.parse(server.key)).add([item])
    messages = RefusedMessages(server.client())
    messages.add("io", "why\x1b]0;title\x07 [red]\u202enot[/]", b"\x1bc{...", "claims\x9b")
    return [item_id("night", 7), next(messages.newest()).id]


def crash(server: Server, cluster: Cluster, flag: Path, batch: str = "night") -> str:
    """A poison item, which is one for as long as the file `flag` is there; gives its id in the quarantine."""
    flag.touch()
    (error,) = cluster.batch(leave_while, [0], id=batch, kwargs={"flag": str(flag)}).gather(return_exceptions=True)
    assert isinstance(error, WorkerCrashed)
    return next(iter(PoisonItems(server.client(), Keyring.parse(server.key)).held()))  # the newest


def test_both_kinds_are_listed_the_newest_first(run: Callable[..., Result], filled: list[str]) -> None:
    result = run("list")
    assert result.exit_code == 0
    rows = [line for line in result.output.splitlines() if line[:1].isdigit() or line[:12] == filled[0]]
    assert [row.split()[0] for row in rows] == [filled[1], filled[0]]
    assert rows[1].split()[1:9] == ["2", "min", "poison", "cpu", "item", "7", "of", "night"]
    assert "Poison items here: cpu 1. Messages refused: io 1." in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert all(line.isprintable() for line in result.output.splitlines())
    assert "[red]" in result.output.replace("\n", "")  # a stranger's markup is text


def test_a_limit_says_how_much_more_there_is(run: Callable[..., Result], filled: list[str]) -> None:
    result = run("list", "--limit", "1")
    assert filled[0] not in result.output
    assert "1 more: --limit 2" in result.output


def test_programs_get_json(run: Callable[..., Result], filled: list[str]) -> None:
    found = json.loads(run("list", "--json").output)
    assert found["total"] == 2
    assert found["counts"] == {"poison": {"cpu": 1}, "refused": {"io": 1}}
    message, item = found["entries"]
    assert (message["id"], message["kind"], message["retryable"]) == (filled[1], "refused", False)
    assert item["cause"] == "signal 9 (SIGKILL)"
    assert (item["batch"], item["index"], item["executions"], item["retryable"]) == ("night", 7, 3, True)


def test_an_empty_quarantine_says_so(run: Callable[..., Result]) -> None:
    assert run("list").output == "Poison items here: none. Messages refused: none.\n"
    assert "No item here can be retried." in run("retry", "--all").output
    assert "Removed 0 entries." in run("purge", "--all").output


def test_an_entry_is_shown_with_all_that_is_known(run: Callable[..., Result], filled: list[str]) -> None:
    item, message = (run("show", name) for name in filled)
    for line in ("Item        7 of batch night", "Function    tests.draw", "Cause       signal 9 (SIGKILL)"):
        assert line in item.output
    assert "Executions  3" in item.output
    assert r"it was \x1b[31mred" in item.output
    assert f"Retry       manycore quarantine retry {filled[0]}" in item.output
    assert r"claims\x9b" in message.output
    assert re.search(r"^Which is    \w", message.output, re.MULTILINE)
    assert "Retry       no: it is a refused message" in message.output
    for shown in (item.output, message.output):
        assert all(line.isprintable() and len(line) <= 80 for line in shown.splitlines())


def test_a_refused_message_cannot_be_retried(run: Callable[..., Result], filled: list[str]) -> None:
    result = run("retry", *filled)
    assert result.exit_code == 1
    assert "cannot be retried: it is a refused message" in result.output
    assert json.loads(run("list", "--json").output)["total"] == 2  # nothing was sent


@pytest.mark.parametrize("command", ["show", "retry", "purge"])
@pytest.mark.parametrize(
    "name", ["000000000000", "1-1", "x\x1b[31m", "\udcff"], ids=["item", "message", "odd", "bytes"]
)
def test_an_unknown_id_is_an_error(run: Callable[..., Result], command: str, name: str) -> None:
    result = run(command, name)
    assert result.exit_code == 1
    assert "The quarantine has no entry" in result.output
    assert "manycore quarantine list" in result.output


def test_purging_all_asks_first(run: Callable[..., Result], filled: list[str]) -> None:
    for answer, code in (("n\n", 1), ("", 1)):
        assert run("purge", "--all", answer=answer).exit_code == code
    assert json.loads(run("list", "--json").output)["total"] == 2
    result = run("purge", "--all", answer="y\n")
    assert "Remove 2 entries for good? [y/N]" in result.output
    assert "Removed 2 entries." in result.output
    assert json.loads(run("list", "--json").output)["total"] == 0


def test_purging_by_id_or_with_yes_does_not_ask(run: Callable[..., Result], filled: list[str]) -> None:
    assert run("purge", filled[0]).output == "Removed 1 entry.\n"
    assert run("purge", "--all", "--yes").output == "Removed 1 entry.\n"


def test_a_retry_says_how_to_gather_it(
    server: Server, run: Callable[..., Result], start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    start_worker()
    cluster, flag = connect(), tmp_path / "flag"
    entry = crash(server, cluster, flag)
    flag.unlink()
    result = run("retry", entry)
    assert result.exit_code == 0
    first, second = result.output.splitlines()
    batch = first.removeprefix("Batch ").removesuffix(": 1 item of night")
    assert second == f'  Gather it: Cluster().attach("{batch}").gather()'
    assert cluster.attach(batch).gather() == [0]
    assert run("retry", entry).exit_code == 1


def test_a_retry_can_be_waited_for(
    server: Server, run: Callable[..., Result], start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    start_worker()
    cluster, flag = connect(), tmp_path / "flag"
    crash(server, cluster, flag, "night")
    crash(server, cluster, flag, "day")
    result = run("retry", "--all", "--wait")
    assert result.exit_code == 1
    assert "item 0 of day: manycore.errors.WorkerCrashed: The item killed" in result.output
    assert "item 0 of night: manycore.errors.WorkerCrashed" in result.output
    flag.unlink()
    again = run("retry", "--all", "--wait")
    assert again.exit_code == 0
    assert [line.rpartition(": ")[2] for line in again.output.splitlines()[2:]] == ["0", "0"]


def test_who_stops_waiting_does_not_stop_the_items(
    server: Server, start_worker: StartWorker, connect: Connect, tmp_path: Path
) -> None:
    start_worker(slots=2)
    cluster, deadly, slow = connect(), tmp_path / "deadly", tmp_path / "slow"
    deadly.touch()
    slow.touch()
    batch = cluster.batch(hold_while, [0, 1], id="long", kwargs={"deadly": str(deadly), "slow": str(slow)})
    assert [type(error) for error in batch.gather(return_exceptions=True)] == [WorkerCrashed] * 2
    deadly.unlink()
    env = os.environ | {"MANYCORE_URL": server.url, "MANYCORE_KEY": server.key, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "manycore.cli.__main__", "quarantine", "retry", "--all", "--wait"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        name = waiting.stdout.readline().split()[1].rstrip(":")
        assert waiting.stdout.readline() == "item 0 of long: 0\n"  # from here on it does nothing but wait
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=20)
    assert waiting.returncode == 1, said
    assert said == "\nNo longer waiting; the items go on. Gather them with attach, in any process.\n"
    slow.unlink()
    assert cluster.attach(name).gather() == [0, 1]


def test_a_server_that_is_not_there(run: Callable[..., Result]) -> None:
    result = run("list", "--url", "redis://127.0.0.1:1/0")
    assert result.exit_code == 1
    assert "No Redis or Valkey answers at redis://127.0.0.1:1/0" in result.output


def test_a_wrong_password(run: Callable[..., Result], server: Server) -> None:
    result = run("list", "--url", server.url.replace(server.password, "wrong"))
    assert result.exit_code == 1
    assert "refuses the credentials" in result.output
    assert "wrong@" not in result.output


def test_no_address(run: Callable[..., Result]) -> None:
    result = run("list", url="")
    assert result.exit_code == 1
    assert "Set MANYCORE_URL" in result.output


def test_no_key(run: Callable[..., Result]) -> None:
    result = run("list", key="")
    assert result.exit_code == 1
    assert "MANYCORE_KEY_FILE" in result.output


def test_a_wrong_key(run: Callable[..., Result], start_worker: StartWorker) -> None:
    start_worker()
    result = run("list", key=generate_key())
    assert result.exit_code == 1
    assert "it signs with key" in result.output


def test_entries_of_another_key_are_listed_as_such(run: Callable[..., Result], filled: list[str]) -> None:
    result = run("list", key=generate_key())
    assert result.exit_code == 0
    assert "cannot be read: it is signed" in " ".join(result.output.split())
    shown = run("show", filled[0], key=generate_key())
    assert "Retry       no: it is signed with key" in shown.output
