"""A worker that cannot do its work says why, in one line, and does not start; what it can do without, it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster, __version__
from manycore.errors import SigningKeyMismatch
from manycore.protocol.python import here, written
from manycore.protocol.roster import Roster
from manycore.protocol.settings import load_settings
from manycore.protocol.signing import generate_key
from manycore.worker.checks import check_company
from tests.integration.conftest import ROOT, Server
from tests.waiting import wait_until

NOTHING = "redis://127.0.0.1:1/0"


def start(**settings: str) -> str:
    """What `python -m workers cpu` says before it ends with 1, or with 2 for an option."""
    env = os.environ | {f"MANYCORE_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "workers", "cpu"]
    ended = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
    return ended.stderr


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "There is no server to work for"),
        ({"url": NOTHING}, "There is no signing key for redis://127.0.0.1:1/0"),
        ({"url": NOTHING, "key": generate_key()}, "No Redis or Valkey answers at redis://127.0.0.1:1/0"),
        ({"url": NOTHING, "key": "short"}, "A signing key has 5 bytes"),
        ({"url": NOTHING, "key": generate_key(), "lease_seconds": "3"}, "it must last 4 s or more"),
        ({"url": NOTHING, "key": generate_key(), "lease_seconds": "86400"}, "not above 3600 s"),
        ({"loglevel": "loud"}, "'loud' is not one of"),
        ({"url_file": "/nowhere"}, "The address file /nowhere cannot be read: No such file"),
    ],
)
def test_a_setting_that_cannot_work(settings: dict[str, str], says: str) -> None:
    assert says in start(**settings)


def test_a_key_that_everybody_knows(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a" * 32)
    assert "is one that everybody knows" in start(url=NOTHING, key_file=str(key))


def test_a_server_that_drops_keys(server: Server) -> None:
    server.client().config_set("maxmemory-policy", "allkeys-lru")
    said = start(url=server.url, key=server.key)
    assert "drops keys when its memory is full (maxmemory-policy allkeys-lru)" in said
    assert server.password not in said


@pytest.mark.slow
def test_one_that_joins_others_of_another_version_says_so(server: Server) -> None:
    there: dict[Any, Any] = {"slots": 1, "queues": "[]", "tasks": "{}", "keys": "[]", "functions": 1, "editions": "{}"}
    client = server.client()
    client.hset("mc:worker:other", mapping=there | {"python": "3.99", "version": "0.0.7"})
    client.expire("mc:worker:other", 60)
    client.zadd("mc:workers", {"other": time.time()})
    client.expire("mc:workers", 60)
    command = [sys.executable, "-m", "manycore.cli", "worker", "--slots", "1", "--url", server.url]
    joined = subprocess.Popen(command, env=os.environ | {"MANYCORE_KEY": server.key}, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(client.keys("mc:worker:*")) == 2, "it is there")
    joined.terminate()
    _, said = joined.communicate(timeout=20)
    assert "others Python 3.99: what clients send by value" in said
    assert "others 0.0.7: what one of them sends, the other may refuse. Install the same, from a copy" in said


@pytest.mark.parametrize(
    ("theirs", "apart"), [(["ours"], False), (["new", "ours"], True), (["ours", "new"], False), (["new"], True)]
)
def test_one_that_joins_others_with_another_key_says_so(
    theirs: list[str], apart: bool, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps every client out, and nobody would know which it is. When keys are rotated, both accept both."""
    ours = load_settings(url=server.url, key=server.key)
    accepted = [ours.keyring().ids[0] if key == "ours" else key for key in theirs]
    there: dict[Any, Any] = {"slots": 1, "queues": "[]", "tasks": "{}", "functions": 1, "editions": "{}"}
    told = there | {"python": written(here()), "version": __version__, "keys": json.dumps(accepted)}
    client = server.client()
    client.hset("mc:worker:other", mapping=told)
    client.expire("mc:worker:other", 60)
    client.zadd("mc:workers", {"other": time.time()})
    client.expire("mc:workers", 60)
    check_company(ours)
    assert ("Give all of them the same MANYCORE_KEY_FILE" in caplog.text) is apart
    if apart:
        with pytest.raises(SigningKeyMismatch, match=r"worker other signs its results with key new|they accept new"):
            Roster(client, ours.keyring()).workers()


def test_a_wrong_password(server: Server) -> None:
    said = start(url=server.url.replace(server.password, "wrong"), key=server.key)
    assert "refuses the credentials" in said


def test_a_task_module_that_cannot_be_imported(server: Server) -> None:
    said = start(url=server.url, key=server.key, tasks="no.such")
    assert "MANYCORE_TASKS names 'no.such'" in said
    assert "Is its folder in PYTHONPATH?" in said, "it is not asked for in the working folder"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_worker_starts_although_its_starter_has_closed_the_standard_streams(
    closed: str, start_worker: Callable[..., Any], connect: Callable[..., Cluster]
) -> None:
    start_worker(closed=closed)
    assert connect().submit(print, "written where nobody reads").result(timeout=20) is None
