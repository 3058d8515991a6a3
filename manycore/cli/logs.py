"""`manycore logs BATCH`: what the items of a batch print, log and warn, also while they do.

It needs the server's address and no signing key. Items write what they like: what could steer a terminal is escaped.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from manycore.cli.terminal import at_url, example, in_words, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manycore.protocol.logs import LogLine


@click.command(epilog=example("manycore logs nightly --follow"), short_help="Show what a batch's items print and log.")
@click.argument("batch")
@click.option("--follow", "-f", is_flag=True, help="Go on until the batch has ended.")
@click.option("--index", type=click.IntRange(min=0), default=None, help="Of one item only.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, for programs.")
@at_url
def logs(batch: str, follow: bool, index: int | None, as_json: bool, url: str | None) -> None:
    """Show what the items of BATCH print, log and warn: the newest MiB of it.

    The id is what `manycore batches` lists. Each line says when, which item (`7.2`: item 7, second attempt), and where
    it was written.
    """
    show = _as_json if as_json else _show
    with in_words():
        for line in _lines(url, batch, follow=follow, index=index):
            show(line)


def _lines(url: str | None, batch: str, *, follow: bool, index: int | None) -> Iterator[LogLine]:
    from manycore.client.logs import BatchLogs
    from manycore.errors import UnknownBatch
    from manycore.protocol import keys
    from manycore.protocol.account import Accounts
    from manycore.protocol.broker import connect, typed_errors
    from manycore.protocol.settings import at_server, load_settings

    settings = at_server(load_settings(url=url))
    client = connect(settings)
    accounts = Accounts(client)
    with typed_errors(settings):
        if accounts.find(batch) is None and not client.exists(keys.log(batch)):
            raise UnknownBatch(batch)

    def is_over() -> bool:
        with typed_errors(settings):
            account = accounts.find(batch)
        return account is None or account.end is not None

    yield from BatchLogs(client, settings, batch).lines(is_over, follow=follow, index=index)
    client.close()


def _show(line: LogLine) -> None:
    item = "-" if line.index is None else str(line.index)
    which = f"{item}.{line.attempt}" if line.attempt > 1 else item
    when = time.strftime("%H:%M:%S", time.localtime(line.time)) if line.time else "        "
    where = f"{line.level} {line.logger}:" if line.level else line.stream
    for text in line.text.removesuffix("\n").split("\n"):
        say(f"{when} {which:>6} {where} {text}")


def _as_json(line: LogLine) -> None:
    click.echo(json.dumps(asdict(line)))
