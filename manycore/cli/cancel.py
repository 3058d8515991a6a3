"""`manycore cancel BATCH`: ends a batch from a shell, whoever began it, also while its client still sends it.

It needs the server's address and no signing key, as a flag in Redis is all that it sets: workers and clients meet it.
"""

from __future__ import annotations

import click

from manycore.cli.terminal import at_url, count, example, in_words, say


@click.command(epilog=example("manycore cancel nightly --terminate"), short_help="End a batch, whoever began it.")
@click.argument("batches", metavar="BATCH...", nargs=-1, required=True)
@click.option("--terminate", is_flag=True, help="End what runs of it, too: its processes are killed within a second.")
@at_url
def cancel(batches: tuple[str, ...], terminate: bool, url: str | None) -> None:
    """End each BATCH: what of it has not run ends in BatchCancelled at its client, if that lives.

    The ids are what `manycore batches` lists. Items that run are let finish. A named batch keeps the outcomes that it
    has: the same script with the same id runs what is missing. What was cancelled before, and still runs, is ended
    with --terminate.
    """
    with in_words():
        from manycore.errors import UnknownBatch
        from manycore.protocol.account import Accounts
        from manycore.protocol.broker import connect, typed_errors
        from manycore.protocol.settings import at_server, load_settings

        settings = at_server(load_settings(url=url))
        client = connect(settings)
        with typed_errors(settings):
            accounts = Accounts(client)
            found = {batch: accounts.find(batch) for batch in batches}
            for batch, account in found.items():
                if account is None:
                    raise UnknownBatch(batch)
            for batch, account in found.items():
                if account is None or account.is_past_cancelling(terminate=terminate):
                    say(f"{batch} had ended already.")
                    continue
                accounts.cancel(account, settings.batch_ttl_seconds, terminate=terminate)
                if account.end is not None:
                    say(f"{batch} had ended already; what still runs of it is being ended.")
                    continue
                left = None if account.total is None else count(account.total - account.done, "item")
                say(f"{batch} is being cancelled{f', {left} before its end' if left else ''}.")
        client.close()
