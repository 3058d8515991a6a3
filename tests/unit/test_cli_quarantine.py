"""`manycore quarantine`: what needs no server. Usage errors, what a stranger wrote, ages."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from manycore.cli import quarantine as cli
from manycore.cli import terminal
from manycore.cli.__main__ import main
from manycore.errors import ManycoreError
from manycore.quarantine import Quarantine


@given(st.text() | st.text("\x00\x07\x1b\x9b\u202e\u2028\r\n[31mx"))
def test_nothing_that_steers_a_terminal_gets_through(text: str) -> None:
    shown = terminal.printable(text)
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()


@pytest.mark.parametrize("command", ["retry", "purge"])
@pytest.mark.parametrize("arguments", [[], ["--all", "9f1c02a4b6de"]], ids=["nothing", "both"])
def test_one_names_entries_or_takes_all(command: str, arguments: list[str]) -> None:
    result = CliRunner().invoke(main, ["quarantine", command, *arguments])
    assert result.exit_code == 2
    assert "or take --all" in result.output


@pytest.mark.parametrize("arguments", [["list", "--limit", "0"], ["show"], ["burn"]])
def test_a_wrong_call_is_a_usage_error(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, ["quarantine", *arguments]).exit_code == 2


@pytest.mark.parametrize("command", [[], ["list"], ["show"], ["retry"], ["purge"]], ids=str)
def test_help_has_an_example_and_fits(command: list[str]) -> None:
    result = CliRunner().invoke(main, ["quarantine", *command, "--help"])
    assert result.exit_code == 0
    assert f"Example:\n    manycore quarantine {command[0] if command else 'list'}" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59, "59 s"), (61, "1 min"), (7_300, "2 h"), (180_000, "2 d"), (-5, "0 s")]
)
def test_ages_are_short(seconds: float, shown: str) -> None:
    assert terminal.age(seconds) == shown


def test_counts_have_their_plural() -> None:
    assert [terminal.count(n, "entry") for n in (1, 2)] == ["1 entry", "2 entries"]
    assert [terminal.count(n, "item") for n in (1, 2000)] == ["1 item", "2,000 items"]


def test_a_value_whose_repr_fails_is_shown_all_the_same() -> None:
    class Silent:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert "Silent" in cli._VALUES.repr(Silent())


def test_a_cluster_that_is_not_named() -> None:
    with pytest.raises(ManycoreError, match="MANYCORE_URL"):
        Quarantine()
