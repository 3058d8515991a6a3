"""`manycore quarantine`: what was put aside, refused messages and poison items, to look at, retry and purge.

It shows what strangers may have written (`terminal`). The work is done by `manycore.quarantine`, which is imported when
a command runs: `--help` costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from reprlib import Repr
from textwrap import wrap
from traceback import format_exception_only
from typing import TYPE_CHECKING, Any

import click

from manycore.cli.terminal import age, at_url, count, cut, example, in_words, printable, say, say_table

if TYPE_CHECKING:
    from manycore.client.outcome import Outcome
    from manycore.protocol.again import Retried
    from manycore.quarantine import Entry, Quarantine

WIDTH, LABEL = 80, 12
MAX_VALUE = 60
"""Characters of a value or a reason that are shown on one line of many."""
MAX_REASON = 180
_VALUES = Repr()
_VALUES.maxother = _VALUES.maxstring = MAX_REASON
"""Shows values of any size, and of classes whose own repr fails."""


@click.group(epilog=example("manycore quarantine list"))
def quarantine() -> None:
    """Look at, retry and purge what was put aside.

    Two things are: messages that workers refused, and items that killed their workers (WorkerCrashed). Each stays a
    week, the newest thousand of each kind.
    """


@quarantine.command("list", epilog=example("manycore quarantine list --limit 5"))
@click.option("--limit", type=click.IntRange(min=1), default=20, help="How many entries, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@at_url
def list_entries(limit: int, as_json: bool, url: str | None) -> None:
    """List what was put aside, the newest first."""
    with _opened(url) as found:
        entries, total, now = found.newest(limit), found.total(), found.now()
        counts = {"poison": found.counts(), "refused": found.refused_counts()}
    if as_json:
        from manycore.quarantine.shown import brief

        click.echo(json.dumps({"total": total, "counts": counts, "entries": list(map(brief, entries))}, indent=2))
        return
    if entries:
        _print_table(entries, now)
    if total > len(entries):
        click.echo(f"{total - len(entries):,} more: --limit {total}")
    click.echo(f"Poison items here: {_by_queue(counts['poison'])}. Messages refused: {_by_queue(counts['refused'])}.")


@quarantine.command(epilog=example("manycore quarantine show 9f1c02a4b6de"))
@click.argument("entry_id", metavar="ID")
@at_url
def show(entry_id: str, url: str | None) -> None:
    """Show all that is known of one entry."""
    with _opened(url) as found:
        (entry,), now = found.find([entry_id]), found.now()
    for name, value in _facts(entry, now):
        lines = [part for line in value.splitlines() for part in wrap(printable(line), WIDTH - LABEL) or [""]]
        for label, line in zip([name, *[""] * len(lines)], lines or ["-"], strict=False):
            click.echo(f"{label:<{LABEL}}{line}")


@quarantine.command(epilog=example("manycore quarantine retry 9f1c02a4b6de --wait"))
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All poison items that can be retried.")
@click.option("--wait", is_flag=True, help="Wait for the outcomes and print them; exit with 1 if one is an error.")
@at_url
def retry(ids: tuple[str, ...], every: bool, wait: bool, url: str | None) -> None:
    """Run poison items again, after their cause is gone.

    The items of each batch become one new batch, which any process can attach to; the old batch keeps its outcomes.
    A function that was sent by value runs as it was sent, a @task as the workers have it now.
    """
    _check_choice(ids, every)
    retried = []
    with _opened(url) as found:
        for items in found.retryable(None if every else ids):
            batch = found.retry(items)
            say(f"Batch {batch.batch}: {count(len(items), 'item')} of {batch.of}")
            if not wait:
                say(f'  Gather it: Cluster().attach("{batch.batch}").gather()')
            retried.append(batch)
    if not retried:
        click.echo("No item here can be retried.")
    if wait and retried and not _wait_for(retried, url):
        raise SystemExit(1)


@quarantine.command(epilog=example("manycore quarantine purge --all --yes"))
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All entries of both kinds.")
@click.option("--yes", is_flag=True, help="Do not ask before --all.")
@at_url
def purge(ids: tuple[str, ...], every: bool, yes: bool, url: str | None) -> None:
    """Remove entries for good."""
    _check_choice(ids, every)
    with _opened(url) as found:
        if every and not yes and (total := found.total()):
            click.confirm(f"Remove {count(total, 'entry')} for good?", abort=True)
        removed = found.purge(None if every else ids)
    click.echo(f"Removed {count(removed, 'entry')}.")


@contextmanager
def _opened(url: str | None) -> Iterator[Quarantine]:
    from manycore.quarantine import Quarantine

    with in_words(), Quarantine(url) as found:
        yield found


def _check_choice(ids: Sequence[str], every: bool) -> None:
    if bool(ids) == every:
        raise click.UsageError("Name the entries by their ids, or take --all.")


def _wait_for(retried: Sequence[Retried], url: str | None) -> bool:
    """Print outcomes as they come; says whether all were results."""
    try:
        from manycore import Cluster

        with in_words(), Cluster(url) as cluster:
            followed = [_follow(cluster, batch) for batch in retried]
        return all(followed)
    except KeyboardInterrupt:
        click.echo("\nNo longer waiting; the items go on. Gather them with attach, in any process.", err=True)
        return False


def _follow(cluster: Any, retried: Retried) -> bool:
    good = True
    for outcome in cluster.attach(retried.batch).as_completed():
        good = good and outcome.ok
        say(f"item {retried.indices[outcome.index]} of {retried.of}: {_outcome(outcome)}")
    return good


def _outcome(outcome: Outcome) -> str:
    if outcome.error is not None:
        return cut(format_exception_only(outcome.error)[-1].strip(), MAX_REASON)
    from manycore.protocol.glimpse import glimpse

    try:
        return cut(_VALUES.repr(outcome.value), MAX_VALUE)
    except ValueError:  # a number of more digits than Python writes
        return glimpse(outcome.value)


def _print_table(entries: Sequence[Entry], now: float) -> None:
    from rich.table import Table  # here, because only a table needs rich
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("ID", "Age", "Kind"):
        table.add_column(name, no_wrap=True)
    table.add_column("Queue", no_wrap=True, max_width=10)
    table.add_column("Reason", overflow="fold")
    for entry in entries:
        queue, reason = cut(entry.queue, MAX_VALUE), cut(entry.reason, MAX_REASON)
        table.add_row(*map(Text, (entry.id, age(now - entry.when), entry.kind, queue, reason)))
    say_table(table)


def _facts(entry: Entry, now: float) -> Iterator[tuple[str, str]]:
    from manycore.quarantine.poison import Poison
    from manycore.quarantine.refused import Refused

    yield "ID", entry.id
    yield "Kind", "poison item" if entry.kind == "poison" else "refused message"
    when = datetime.fromtimestamp(entry.when).astimezone()
    yield "When", f"{when:%Y-%m-%d %H:%M:%S %z}, {age(now - entry.when)} ago"
    yield "Queue", entry.queue
    if isinstance(entry, Poison):
        yield from _item_facts(entry)
    else:
        yield "Reason", entry.reason
    if isinstance(entry, Refused):
        yield "Which is", entry.reason_kind
        yield "Claims id", entry.claimed_id
        yield "Begins", f"{entry.sample!r}"
        yield "Size", f"{entry.size:,} bytes"
    yield "Retry", f"no: {entry.obstacle}" if entry.obstacle else f"manycore quarantine retry {entry.id}"


def _item_facts(entry: Any) -> Iterator[tuple[str, str]]:
    from manycore.quarantine.shown import arguments

    chunk = entry.chunk
    yield "Item", f"{chunk.first} of batch {chunk.batch}"
    yield "Function", entry.name if entry.name == chunk.task else f"{entry.name}, sent to the task {chunk.task}"
    yield "Cause", entry.cause
    yield "Executions", str(entry.executions)
    yield "Arguments", printable(arguments(entry))
    if entry.trace:
        yield "Trace", entry.trace


def _by_queue(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{cut(queue, MAX_VALUE)} {count:,}" for queue, count in sorted(counts.items())) or "none"
