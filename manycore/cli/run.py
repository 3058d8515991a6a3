"""`manycore run TASK < items.jsonl`: a batch from the shell, an item a line in, a result a line out."""

from __future__ import annotations

import errno
import json
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import click

from manycore.cli import lines
from manycore.cli.terminal import count, cut, example, in_words, printable
from manycore.client.progress import is_terminal
from manycore.protocol.priority import PRIORITIES

if TYPE_CHECKING:
    from manycore.client.outcome import Outcome

INTERRUPTED = 130
"""The exit code of what ended by Ctrl-C, as shells have it: 128 and the number of the signal."""
FAILURES_SHOWN = 10
MAX_FAILURE = 300


class _Input(click.File):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "-" and sys.stdin is None:
            self.fail("there is no standard input (it was closed). Name a FILE.", param, ctx)
        return super().convert(value, param, ctx)


@click.command(
    epilog=example("manycore run tasks.primes:count_primes --star < segments.jsonl"),
    short_help="Run a function on each line of a file.",
)
@click.argument("task")
@click.argument("file", type=_Input("rb"), default="-")
@click.option("--text", is_flag=True, help="A line is an item as it is, and no JSON: `ls *.png | ...`.")
@click.option("--star", is_flag=True, help="Each item is a list of the function's arguments.")
@click.option("--kwargs", metavar="JSON", help="Keyword arguments of every call, an object.")
@click.option("--outcomes", is_flag=True, help="Write all there is to say of each item, as it completes.")
@click.option("--id", "batch_id", metavar="NAME", help="Run again with the same name, it goes on where it was.")
@click.option(
    "--on-change", type=click.Choice(["refuse", "accept"]), default="refuse", help="If it was begun otherwise."
)
@click.option("--retries", type=click.IntRange(min=0), default=0, help="Further attempts at an item that fails.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Of each item's run.")
@click.option(
    "--halt", metavar="WHEN", default="never", help="`now,fail=3` waits for nothing that runs; `soon,fail=10%` does."
)
@click.option("--priority", type=click.Choice(PRIORITIES), default="normal", help="`low` lets all others go first.")
@click.option("--fleet", metavar="NAME", help="The workers that run it.  [default: the function's own]")
@click.option("--workers", type=click.IntRange(min=1), help="Processes of a local cluster.  [default: one per CPU]")
@click.option("--url", metavar="ADDRESS", help="The server.  [default: MANYCORE_URL or _URL_FILE, or a local cluster]")
def run(
    task: str,
    file: IO[bytes],
    text: bool,
    star: bool,
    kwargs: str | None,
    outcomes: bool,
    batch_id: str | None,
    on_change: Literal["refuse", "accept"],
    workers: int | None,
    url: str | None,
    **options: Any,
) -> None:
    """Run TASK on each line of FILE, or of standard input; each is JSON. Empty lines are left out.

    TASK is `module:function`, `path/script.py:function`, or the name of a task that the workers know. Results are
    written as JSON, a line each, in the order of the input, each as soon as those before it are there. What JSON has
    no form for is written as its repr, NaN and Infinity as Python's json has them. An item that failed is `null`, is
    told on standard error, and makes the exit code 1; the others are run all the same.
    """
    if sys.stdout is None:
        raise click.UsageError("there is no standard output (it was closed): results have nowhere to go.")
    function, given = _function(task), _keywords(kwargs)
    items: Any = lines.read(_unlocked(file), text=text, star=star)
    with_bar = is_terminal(sys.stderr) and not is_terminal(sys.stdout)
    failures = _Failures(at_once=not with_bar)
    with in_words():
        from manycore import Cluster
        from manycore.errors import UnknownTask
        from manycore.protocol.settings import load_settings

        if batch_id is not None and load_settings(url=url).url is None:
            raise click.UsageError(
                "--id is for a server (--url or MANYCORE_URL): a local cluster ends with the command."
            )
        try:
            if batch_id is not None:
                items = list(items)  # what a name stands for is compared, and so has to be known
            with Cluster(url, workers=workers) as cluster:
                batch = cluster.batch(
                    function,
                    items,
                    id=batch_id,
                    star=star,
                    kwargs=given,
                    on_change=on_change,
                    progress=with_bar,
                    **options,
                )
                if file.isatty():
                    click.echo("Reading items from the terminal, one a line. Ctrl-D ends them.", err=True)
                try:
                    _write(failures.counted(batch.as_completed()), as_outcomes=outcomes)
                except _Unwritten as exc:
                    cluster.shutdown(cancel_futures=True)
                    if exc.cause.errno == errno.EPIPE:
                        raise exc.cause from None  # nobody reads any more, as after `| head`: click knows what to do
                    raise click.ClickException(f"The results cannot be written: {exc.cause.strerror}.") from None
        except UnknownTask as exc:
            hint = "Of what is importable here, the name has a colon: module:function."
            raise click.ClickException(f"{exc} {hint}") from None
        except KeyboardInterrupt:
            again = " The same command goes on where it was." if batch_id else ""
            click.echo(f"\nInterrupted after {count(failures.seen, 'item')}.{again}", err=True)
            sys.exit(INTERRUPTED)
    if failures.found:
        failures.tell()
        sys.exit(1)


def _function(name: str) -> Callable[..., Any] | str:
    """What the name stands for: the name itself, if workers are to know it. Raises `click.BadParameter`."""
    module, colon, attribute = name.partition(":")
    if not colon:
        return name
    path = Path(module)
    is_script = path.suffix == ".py"
    if is_script and not path.is_file():
        raise click.BadParameter(f"{name} cannot be had: there is no file {path}")
    folder, module = (path.parent, path.stem) if is_script else (Path(), module)
    sys.path.insert(0, str(folder.absolute()))  # of a command, Python does not search the working folder itself
    try:
        imported = import_module(module)
        if is_script and Path(getattr(imported, "__file__", None) or "").resolve() != path.resolve():
            raise ImportError(f"Python has {imported} under this name. Next: rename the file.")
        found: Callable[..., Any] = attrgetter(attribute)(imported)
    except (Exception, SystemExit) as exc:  # it is the user's module that runs
        last = traceback.extract_tb(exc.__traceback__)[-1]
        where = f" ({last.filename}, line {last.lineno})" if Path(last.filename).stem == path.stem else ""
        raise click.BadParameter(f"{name} cannot be had: {type(exc).__name__}: {exc}{where}") from None
    if not callable(found):
        raise click.BadParameter(f"{name} is no function, but of type {type(found).__name__}")
    return found


def _keywords(text: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(text) if text is not None else None
    except ValueError as exc:
        raise click.BadParameter(f"--kwargs is no JSON: {exc}") from None
    if found is not None and not isinstance(found, dict):
        raise click.BadParameter("--kwargs is a JSON object, like '{\"base\": 2}'")
    return found


def _unlocked(file: IO[bytes]) -> IO[bytes]:
    """The same file, for a thread that may be in the middle of a line when the program ends: where that is
    `sys.stdin`, whose lock the end wants, Python aborts."""
    with suppress(OSError):  # it has no descriptor
        return open(file.fileno(), "rb", closefd=False)
    return file


class _Failures:
    """Counts outcomes, and tells of those that failed: at once, or at the end where a progress bar would be torn."""

    def __init__(self, *, at_once: bool) -> None:
        self.seen = self.found = 0
        self._kinds: Counter[str] = Counter()
        self._at_once = at_once
        self._kept: list[str] = []

    def counted(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        for outcome in outcomes:
            self.seen += 1
            if outcome.error is not None:
                self._note(outcome.index, outcome.error)
            yield outcome

    def tell(self) -> None:
        """The last word."""
        for line in self._kept:
            click.echo(line, err=True)
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self._kinds.most_common())
        told = f"{self.found:,} of {count(self.seen, 'item')} failed: {kinds}. --outcomes has their tracebacks."
        click.echo(told, err=True)

    def _note(self, index: int, error: BaseException) -> None:
        from manycore.protocol.pickling import text_of

        kind = printable(type(error).__name__)
        self.found += 1
        self._kinds[kind] += 1
        if self.found > FAILURES_SHOWN:
            return
        line = cut(f"item {index}: {kind}: {text_of(error)}", MAX_FAILURE)
        if self._at_once:
            click.echo(line, err=True)
        else:
            self._kept.append(line)


class _Unwritten(Exception):
    """Tells what writing raises from what the cluster does."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause


def _write(outcomes: Iterator[Outcome], *, as_outcomes: bool) -> None:
    """Write them as they come, or values in order. Raises `_Unwritten`."""
    waiting: dict[int, Any] = {}
    following = 0
    for outcome in outcomes:
        if as_outcomes:
            _print(lines.told(outcome))
            continue
        waiting[outcome.index] = outcome.value
        while following in waiting:
            _print(lines.dumped(waiting.pop(following)))
            following += 1


def _print(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()  # who reads the other end of a pipe wants it now
    except OSError as exc:
        raise _Unwritten(exc) from exc
