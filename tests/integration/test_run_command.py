"""`manycore run` as a shell runs it: items on standard input, results on standard output, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from tests.integration.conftest import ROOT, Server
from tests.probe import Probe
from tests.waiting import wait_until

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SCRIPT = """
import time
def square(n): return n * n
def power(base, exponent, *, plus=0): return base ** exponent + plus
def root(n):
    import math
    return n ** 0.5 if n >= 0 else math.sqrt(n)
def wait(path):
    with open(path, "a"): pass
    time.sleep(60)
if __name__ == "__main__": raise SystemExit("it is imported, not run")
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "manycore.cli", "run", *arguments]


@pytest.fixture
def environment(cluster: Cluster, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "mine.py").write_text(SCRIPT)
    address = Probe(cluster).address
    assert address is not None
    return os.environ | {
        "MANYCORE_URL": address,
        "MANYCORE_KEY_FILE": str(Probe(cluster).local.key_file),
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    def run(*arguments: str, items: Sequence[Any] = (), text: str | None = None, **more: str) -> Any:
        lines = "".join(json.dumps(item) + "\n" for item in items) if text is None else text
        return subprocess.run(
            command(*arguments),
            input=lines,
            env=environment | more,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=40,
        )

    return run


def test_results_come_in_the_order_of_the_input(run: Run) -> None:
    done = run("mine:square", items=range(2_000))
    assert (done.stdout, done.stderr, done.returncode) == ("".join(f"{n * n}\n" for n in range(2_000)), "", 0)


def test_a_script_is_named_by_its_file_and_arguments_are_lists(run: Run, tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text("[2, 3]\n[3, 2]\n")
    done = run("./mine.py:power", "items.jsonl", "--star", "--kwargs", '{"plus": 1}')
    assert (done.stdout, done.returncode) == ("9\n10\n", 0), done.stderr


def test_a_local_cluster_is_started_where_no_server_is_named(run: Run) -> None:
    done = run("--workers", "1", "mine:square", items=[3], MANYCORE_URL="", MANYCORE_KEY_FILE="")
    assert (done.stdout, done.returncode) == ("9\n", 0), done.stderr


def test_an_item_that_fails_is_null_and_told_of(run: Run) -> None:
    done = run("math:sqrt", items=[4, -1, "x", -1])
    assert (done.stdout, done.returncode) == ("2.0\nnull\nnull\nnull\n", 1)
    told = done.stderr.splitlines()
    assert sorted(told[:3]) == [
        "item 1: ValueError: math domain error",
        "item 2: TypeError: must be real number, not str",
        "item 3: ValueError: math domain error",
    ]
    assert told[3:] == ["3 of 4 items failed: 2 ValueError, 1 TypeError. --outcomes has their tracebacks."]


def test_of_many_failures_a_few_are_told(run: Run) -> None:
    told = run("math:sqrt", items=[-1] * 100).stderr.splitlines()
    assert len(told) == 11
    assert told[-1].startswith("100 of 100 items failed: 100 ValueError.")


def test_outcomes_say_all_there_is_of_an_item(run: Run) -> None:
    done = run("mine:root", "--outcomes", "--retries", "1", items=[4, -1])
    found = {each["index"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert (found[0]["value"], found[1]["error"], found[1]["attempts"]) == (2.0, "ValueError", 2)
    assert "in root\n    return n ** 0.5 if n >= 0 else math.sqrt(n)\n" in found[1]["traceback"]
    assert {"worker", "seconds"} <= found[0].keys()


def test_lines_are_texts(run: Run) -> None:
    assert run("--text", "builtins:len", text="a b\n12345\n").stdout == "3\n5\n"


def test_a_line_that_is_none_ends_it_after_the_ones_before(run: Run) -> None:
    done = run("mine:square", text="2\n3\nfour\n")
    assert (done.stdout, done.returncode) == ("4\n9\n", 1)
    assert done.stderr.startswith("Error: Line 3 is no JSON")


def test_no_item_is_no_error(run: Run) -> None:
    done = run("mine:square")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_a_name_without_a_colon_is_a_task_of_the_workers(run: Run) -> None:
    done = run("mine.square", items=[1])
    assert done.returncode == 1
    assert "No worker knows the task 'mine.square'" in done.stderr
    assert "module:function" in done.stderr


def test_workers_know_a_task_by_its_name(run: Run, server: Server, start_worker: Callable[..., Any]) -> None:
    start_worker(tasks="tasks.primes")
    there = {"MANYCORE_URL": server.url, "MANYCORE_KEY_FILE": "", "MANYCORE_KEY": server.key}
    done = run("tasks.primes.count_primes", "--star", items=[[1, 100]], **there)
    assert (done.stdout, done.returncode) == ("25\n", 0), done.stderr


def test_the_same_name_goes_on_where_it_was(run: Run) -> None:
    arguments = ["mine:power", "--star", "--id", "run-command"]
    assert run(*arguments, items=[[2, 2], [2, 3]]).stdout == "4\n8\n"
    assert run(*arguments, items=[[2, 2], [2, 3]]).stdout == "4\n8\n"
    other = run(*arguments, items=[[2, 2]])
    assert (other.stdout, other.returncode) == ("", 1)
    assert "run-command" in other.stderr
    assert run(*arguments, "--on-change", "accept", items=[[2, 2], [2, 3], [2, 4]]).stdout == "4\n8\n16\n"


def test_a_name_wants_a_server_that_stays(run: Run) -> None:
    done = run("mine:square", "--id", "short", MANYCORE_URL="")
    assert (done.returncode, "--id is for a server" in done.stderr) == (2, True)


def test_a_server_that_does_not_answer_is_said(run: Run) -> None:
    done = run("mine:square", "--url", "redis://127.0.0.1:1", items=[1], MANYCORE_CONNECTION_SECONDS="0.2")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.startswith("Error: ")
    assert "127.0.0.1:1" in done.stderr


def test_a_reader_that_leaves_ends_it(environment: dict[str, str], tmp_path: Path) -> None:
    endless = subprocess.Popen(["yes", "1"], stdout=subprocess.PIPE)
    done = subprocess.Popen(
        command("mine:square"), stdin=endless.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        cwd=tmp_path,
    )  # fmt: skip
    assert endless.stdout is not None
    assert done.stdout is not None
    assert done.stderr is not None
    endless.stdout.close()
    try:
        assert done.stdout.readline() == b"1\n"
        done.stdout.close()
        assert done.wait(20) == 1
        assert done.stderr.read() == b""
    finally:
        done.kill()
        endless.kill()
        endless.wait()


def test_a_full_disk_is_said(environment: dict[str, str], tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command("mine:square"), input=b"1\n", stdout=full, stderr=subprocess.PIPE, env=environment, cwd=tmp_path,
            timeout=40,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"Error: The results cannot be written: No space left on device.\n")


def test_closed_streams_are_no_traceback(environment: dict[str, str], tmp_path: Path) -> None:
    def shut(stream: str) -> subprocess.CompletedProcess[str]:
        line = ["sh", "-c", f'exec "$@" {stream}>&-', "sh", *command("mine:root")]
        return subprocess.run(
            line, input="4\n-1\n", capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=40
        )

    told, silent = shut("1"), shut("2")
    assert (told.returncode, "there is no standard output" in told.stderr, told.stdout) == (2, True, ""), told.stderr
    assert (silent.returncode, silent.stdout) == (1, "2.0\nnull\n")


def test_ctrl_c_ends_it_in_the_middle_of_an_item_and_of_a_line(environment: dict[str, str], tmp_path: Path) -> None:
    started = tmp_path / "started"
    process = subprocess.Popen(
        command("mine:wait"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment | {"MANYCORE_URL": "", "MANYCORE_KEY_FILE": ""}, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(str(started)).encode() + b"\n")
        process.stdin.flush()
        wait_until(started.exists, "the item has begun")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b"\nInterrupted after 0 items.\n"
    finally:
        process.kill()
        process.wait()
