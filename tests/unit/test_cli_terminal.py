"""What the commands say reaches any terminal."""

from __future__ import annotations

import sys
from io import BytesIO, TextIOWrapper

import pytest
from click.testing import CliRunner
from rich.table import Table

from manycore import __version__
from manycore.cli.__main__ import main
from manycore.cli.batches import MAX_ID, _print_table
from manycore.cli.terminal import say_table


def test_a_table_is_shown_where_the_locale_is_plain_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    written, table = BytesIO(), Table("Batch")
    table.add_row("größer…")
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, "ascii"))
    say_table(table)
    sys.stdout.flush()
    assert b"Batch" in written.getvalue()


def test_a_table_in_a_narrow_terminal_keeps_its_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    table = Table("Batch", "Task", "State")
    table.add_row("nightly", "tasks.primes.count_primes", "running")
    say_table(table)
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("nightly", "tasks.primes.count_primes", "running"))


def test_the_id_of_a_batch_is_listed_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever copies it gives it to another command."""
    monkeypatch.setenv("COLUMNS", "80")
    name = "".join(chr(ord("a") + number % 26) for number in range(MAX_ID))
    row = {"id": name, "task": "tasks.t", "state": "done", "done": 1, "total": 1, "failed": 0, "rate": 1.0}
    _print_table([row | {"started": 0.0}], 0.0)
    shown = capsys.readouterr().out
    column = shown.splitlines()[0].index("Task")
    assert "".join(line[:column].strip() for line in shown.splitlines()[1:]) == name


def test_the_command_says_its_version() -> None:
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


def test_a_level_that_is_none_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["worker", "--loglevel", "loud"])
    assert (result.exit_code, "warning" in result.output.lower()) == (2, True)
