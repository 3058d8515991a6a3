"""What the commands say reaches any terminal."""

from __future__ import annotations

import sys
from io import BytesIO, TextIOWrapper

import pytest
from click.testing import CliRunner
from rich.table import Table

from manycore import __version__
from manycore.cli.__main__ import main
from manycore.cli.terminal import say_table


def test_a_table_is_shown_where_the_locale_is_plain_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    written, table = BytesIO(), Table("Batch")
    table.add_row("größer…")
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, "ascii"))
    say_table(table)
    sys.stdout.flush()
    assert b"Batch" in written.getvalue()


def test_the_command_says_its_version() -> None:
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


def test_a_level_that_is_none_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["worker", "--loglevel", "loud"])
    assert (result.exit_code, "warning" in result.output.lower()) == (2, True)
