"""What the command `manycore` says where its output goes nowhere, a number is none, or a package is missing."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from manycore.cli.__main__ import main


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["batches", "--help"]], ids=" ".join)
def test_a_full_disk_is_said_in_a_line(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "manycore.cli", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "Error: The output cannot be written: No space left on device.\n")


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1"])
def test_a_probe_is_so_many_seconds_apart(seconds: str) -> None:
    done = CliRunner().invoke(main, ["exporter", "--probe", seconds])
    assert done.exit_code == 2
    assert "--probe" in done.output


def test_a_package_that_is_missing_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    done = CliRunner().invoke(main, ["exporter", "--url", "redis://127.0.0.1:1"])
    assert done.exit_code == 1
    assert "Next: pip install prometheus-client" in done.output
    assert "'manycore[" not in done.output, "that is on no index"
