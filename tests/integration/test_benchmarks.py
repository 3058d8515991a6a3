"""The benchmarks in miniature: every measure of each peer that a developer has, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import __main__ as bench
from benchmarks import page, store
from benchmarks.growth import __main__ as growing
from benchmarks.measures.cpu import MARK_VARIABLE, cpu_seconds, marked
from benchmarks.measures.idle import wake_ups
from benchmarks.peers.process import MEASURES, MINIATURE
from benchmarks.peers.roster import OURS, PEERS
from benchmarks.run import OURS_ALONE, carry_out
from benchmarks.sample import Entry, Sample, marked_run, take

ALL = [*MEASURES, "cold"]
OF_PEERS = [measure for measure in ALL if measure not in OURS_ALONE]
CELLS = {"efficiency": 4, "roundtrip": 2, "small": 3, "cpu": 3, "idle": 4}


def check(sample: Sample, measure: str) -> None:
    assert sample.reason == ""
    assert len(sample.readings) == CELLS.get(measure, 1)
    assert all(reading.value > 0 or measure == "cpu" for reading in sample.readings)


def test_every_measure_has_a_miniature() -> None:
    assert MEASURES.keys() == MINIATURE.keys()


@pytest.mark.parametrize("peer", ["serial", "threads", "pool", "multiprocessing"])
def test_a_peer_of_the_standard_library(peer: str) -> None:
    check(take(Entry(peer, best=bool(PEERS[peer].best)), "efficiency", 2, miniature=True), "efficiency")


def test_a_peer_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.sample.python_of", lambda name: None)
    assert take(Entry("ray"), "submit", 2) == Sample(reason="not installed")


def test_a_way_that_a_peer_does_not_have_is_a_reason_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.sample.python_of", lambda name: Path(sys.executable))
    sample = take(Entry("saq"), "payload", 2, miniature=True)
    assert "no bytes" in sample.reason
    assert not sample.failed
    assert take(Entry("saq"), "submit", 2, miniature=True).failed  # as saq is not installed here


def test_nothing_of_a_sample_is_left_behind() -> None:
    orphan = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])"
    with marked_run() as environment:
        subprocess.run([sys.executable, "-c", orphan], env=environment, check=True)
        assert len(marked(environment[MARK_VARIABLE])) == 1
    assert marked(environment[MARK_VARIABLE]) == []


def test_the_cpu_of_a_run_is_that_of_its_processes_and_of_their_dead_children() -> None:
    burn = "from benchmarks.workloads import burn; burn(0.2)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{burn}']); print(flush=True); input()"
    with marked_run() as environment:
        mark, pipe = environment[MARK_VARIABLE], subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", parent], env=environment, stdin=pipe, stdout=pipe) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert 0.2 <= cpu_seconds(mark) < 5
            assert cpu_seconds("another") == 0
            process.kill()


def test_what_it_takes_to_look_is_nobodys_cpu() -> None:
    """The process that asks is one of those that are looked at, as a peer's is."""
    ask = (
        "import os; from benchmarks.measures.cpu import Meter, marked; from benchmarks.workloads import burn\n"
        f"mark = os.environ['{MARK_VARIABLE}']; meter = Meter(mark); burn(0.1); first = meter.read()\n"
        "[marked(mark) for _ in range(5)]; print(first, Meter(mark).read(), meter.read())"
    )
    with marked_run() as environment:
        run = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    burnt, nothing, with_looks = map(float, run.stdout.split())
    assert burnt == pytest.approx(0.1, abs=0.002)
    assert nothing == pytest.approx(0, abs=0.002)
    assert with_looks > burnt + 0.005, "other looks are work like any other"


def test_the_cpu_of_a_run_is_also_that_of_a_server_that_has_lost_its_environment() -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(flush=True); input()'], env={})"
    with marked_run() as environment:
        mark, pipe = environment[MARK_VARIABLE], subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", child], env=environment, stdin=pipe, stdout=pipe) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert len(marked(mark)) == 2
            process.kill()


def test_what_wakes_up_is_counted() -> None:
    """Of a process that waits a hundred times, each of its threads."""
    waits = "import threading, time; waits = lambda: [time.sleep(0.001) for _ in range(50)]"
    twice = "other = threading.Thread(target=waits); other.start(); waits(); print(flush=True); input()"
    with marked_run() as environment:
        mark, pipe = environment[MARK_VARIABLE], subprocess.PIPE
        program = [sys.executable, "-c", f"{waits}; {twice}"]
        with subprocess.Popen(program, env=environment, stdin=pipe, stdout=pipe) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert 50 <= wake_ups(mark) < 1_000
            assert wake_ups("another") == 0
            process.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("peer", "measures"), [(OURS, ALL), ("pool", OF_PEERS), ("celery", ["efficiency", "payload", "cold"])]
)
def test_every_measure(peer: str, measures: list[str]) -> None:
    for measure in measures:
        check(take(Entry(peer, best=bool(PEERS[peer].best)), measure, 2, miniature=True), measure)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_run_is_shown_written_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = partial(take, miniature=True)
    monkeypatch.setattr("benchmarks.__main__.carry_out", lambda plan, into: carry_out(plan, into, small))
    readme, kept = tmp_path / "README.md", tmp_path / "run.json"
    readme.write_text(f"{page.BEGIN}\n{page.END}\n")
    options = ["--peer", "pool", "--peer", "serial", "--only", "submit", "--only", "import", "--repeat", "1"]
    said = CliRunner().invoke(bench.main, [*options, "--json", str(kept), "--write", str(readme)])
    assert said.exit_code == 0, said.output
    assert "| ProcessPoolExecutor |" in readme.read_text()
    assert len(store.from_json(kept.read_text()).results.readings) == 4
    again = CliRunner().invoke(bench.main, ["--load", str(kept), "--check"])
    assert again.exit_code == 0, again.output
    assert "at its best" in again.output


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("study", ["items", "beside"])
def test_a_study_in_miniature(study: str, tmp_path: Path) -> None:
    target = tmp_path / "growth.md"
    said = CliRunner().invoke(growing.main, ["--small", "--only", study, "--write", str(target)])
    assert said.exit_code == 0, said.output
    assert "failed" not in said.output
    assert f"## {study.capitalize()}" in target.read_text()
