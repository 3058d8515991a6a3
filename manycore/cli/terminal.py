"""What the commands share that show a cluster in a terminal.

They show what strangers may have written: whatever could steer a terminal is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.table import Table

F = TypeVar("F", bound=Callable[..., Any])
NARROWEST = 80
"""Columns of a table, where the terminal has fewer."""
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def example(text: str) -> str:
    return f"\b\nExample:\n  {text}"


def at_url(command: F) -> F:
    text = "Address of the cluster's server.  [default: what MANYCORE_URL_FILE holds]"
    option = click.option("--url", envvar="MANYCORE_URL", show_envvar=True, help=text)
    return option(command)


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what can go wrong with a cluster into a message, and exit code 1."""
    import redis

    from manycore.errors import ManycoreError

    try:
        yield
    except (ManycoreError, redis.RedisError) as exc:
        raise click.ClickException(printable(str(exc))) from None


def age(seconds: float) -> str:
    seconds = max(0.0, seconds)
    size, unit = next((step for step in _UNITS if seconds >= step[0]), _UNITS[-1])
    return f"{seconds // size:.0f} {unit}"


def count(number: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def cut(text: str, most: int) -> str:
    shown = printable(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def say(line: str) -> None:
    click.echo(printable(line))


def say_table(table: Table) -> None:
    """Print a table as all other text: where the locale is plain ASCII, rich alone would fail.

    A narrow terminal wraps its rows: rich would fold a name to a letter a line.
    """
    from rich.console import Console  # here, because only a table needs rich

    console = Console(highlight=False)
    console.width = max(console.width, NARROWEST)
    with console.capture() as shown:
        console.print(table)
    click.echo(shown.get(), nl=False)


def printable(text: str) -> str:
    """With escapes in place of what moves a terminal's cursor, changes its colours, or turns text around."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
