"""`manycore batches`: what there is of batches, running and done, whoever began them.

It needs the server's address and no signing key: what it shows is not secret to who may read the server.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from manycore.cli.terminal import age, at_url, cut, example, in_words, say_table

if TYPE_CHECKING:
    from manycore.protocol.account import Account

MAX_ID, MAX_NAME = 120, 40
"""An id is shown whole, as long as one can be: other commands ask for it."""


@click.command(epilog=example("manycore batches --limit 5"), short_help="List batches, the newest first.")
@click.option("--limit", type=click.IntRange(min=1), default=20, help="How many, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@at_url
def batches(limit: int, as_json: bool, url: str | None) -> None:
    """List batches, the newest first: those of all clients, with or without a name.

    Named ones stay as long as their outcomes, others an hour after their end.
    """
    with in_words():
        found, fleets, now = _look(url, limit)
    rows = [account.shown(now, fleets) for account in found]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        _print_table(rows, now)
    else:
        click.echo("No batch is known here.")


def _look(url: str | None, limit: int) -> tuple[Sequence[Account], set[str], float]:
    from manycore.protocol.account import Accounts
    from manycore.protocol.broker import connect, typed_errors
    from manycore.protocol.clock import ServerClock
    from manycore.protocol.roster import live_workers
    from manycore.protocol.settings import at_server, load_settings

    settings = at_server(load_settings(url=url))
    client = connect(settings)
    with typed_errors(settings):
        found = Accounts(client).newest(limit)
        fleets = {queue for worker in live_workers(client) for queue in worker.queues}
        now = ServerClock(client).now()
    client.close()
    return found, fleets, now


def _print_table(rows: Sequence[dict[str, Any]], now: float) -> None:
    from rich.table import Table  # here, because only a table needs rich
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("Batch", "Task"):
        table.add_column(name, overflow="fold")
    for name in ("State", "Done", "Failed", "Rate", "Age"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        total = "?" if row["total"] is None else f"{row['total']:,}"
        failed = Text(f"{row['failed']:,}", style="red" if row["failed"] else "")
        texts = (
            cut(row["id"], MAX_ID),
            cut(row["task"], MAX_NAME),
            row["state"],
            f"{row['done']:,}/{total}",
            failed,
            f"{row['rate']:,.1f}/s",
            age(now - row["started"]),
        )
        table.add_row(*(text if isinstance(text, Text) else Text(text) for text in texts))
    say_table(table)
