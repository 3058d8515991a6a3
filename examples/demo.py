"""`python -m examples.demo`: real work on every core, with each answer checked. About half a minute on two cores.

It shows; it does not measure with care: `python -m benchmarks` does.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from manycore import Cluster
from manycore.errors import ManycoreError
from manycore.local.cpus import granted_cpus
from tasks.mandelbrot import SEAHORSES, assemble, render_tile, tiles, write_png
from tasks.primes import count_primes, segments
from tasks.text import count_tokens, merge, python_sources

T = TypeVar("T")
PRIMES_BELOW_10_8 = 5_761_455  # OEIS A006880
INTERRUPTED = 130  # what shells make of SIGINT


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each is done. `primes` is the known count of the primes below `limit`."""

    limit: int
    primes: int
    segments: int
    width: int
    height: int
    files: int | None = None


FULL = Sizes(3 * 10**9, 144_449_537, 120, 960, 600)
QUICK = Sizes(10**8, PRIMES_BELOW_10_8, 24, 96, 60, files=200)


class WrongAnswer(Exception):
    """A result is not what it must be."""


class Demo:
    """The four parts, one after another, on one cluster."""

    def __init__(self, cluster: Cluster, cores: int, sizes: Sizes, console: Console) -> None:
        self._cluster = cluster
        self._cores = cores
        self._sizes = sizes
        self._console = console

    def primes(self) -> None:
        """Count to 10^8, which has been done before."""
        self._head(1, "How many primes are below 10^8?")
        count, seconds = timed(lambda: sum(self._run(count_primes, segments(10**8, 24), star=True)))
        check("The primes below 10^8", count, PRIMES_BELOW_10_8)
        self._say(f"[bold]{count:,}[/], which is right. It took {seconds:.2f} s, the start of the workers included.")

    def gil(self) -> None:
        """Run the same function over the same segments in three ways."""
        sizes = self._sizes
        self._head(2, f"What does the GIL cost? The primes below {sizes.limit:,}, three times")
        parts = segments(sizes.limit, sizes.segments)
        ways: dict[str, Callable[[], Iterable[int]]] = {
            "one process": lambda: self._patiently(starmap(count_primes, parts)),
            f"{self._cores} threads": lambda: self._patiently(in_threads(parts, self._cores)),
            f"manycore, {self._cores} processes": lambda: self._run(count_primes, parts, star=True),
        }
        walls: dict[str, float] = {}
        for way, run in ways.items():
            counts, walls[way] = timed(run)
            check(f"The primes below {sizes.limit:,} by {way}", sum(counts), sizes.primes)
        self._console.print(speed_ups(walls))
        self._say(f"All three count [bold]{sizes.primes:,}[/], which is right.")

    def tokens(self) -> None:
        """Count the words of real files."""
        self._head(3, "Which words does Python's own standard library use most?")
        paths = python_sources()[: self._sizes.files]
        counted, seconds = timed(lambda: merge(self._run(count_tokens, paths)))
        serial, serial_seconds = timed(lambda: merge(map(count_tokens, paths)))
        check("The count of the cluster", counted, serial)
        self._say(f"[bold]{counted.total():,}[/] words in {len(paths):,} files in {seconds:.2f} s.")
        self._say(f"One process counts the same in {serial_seconds:.2f} s. The ten most frequent:")
        self._console.print(top_tokens(counted, 10))

    def picture(self, out: Path) -> None:
        """Draw tiles of very unequal cost."""
        sizes = self._sizes
        self._head(4, f"The seahorses of the Mandelbrot set, {sizes.width} x {sizes.height} pixels")
        parts = tiles(sizes.width, sizes.height, view=SEAHORSES)
        pixels, seconds = timed(lambda: assemble(parts, self._run(render_tile, parts)))
        tile = parts[len(parts) // 2]
        start = tile.top * sizes.width * 3
        check("A tile of the picture", pixels[start : start + len(render_tile(tile))], render_tile(tile))
        write_png(out, sizes.width, sizes.height, pixels)
        self._say(f"Drawn in {seconds:.2f} s: [bold]{escape(str(out))}[/]")

    def _run(self, function: Callable[..., T], items: Sequence[Any], *, star: bool = False) -> list[T]:
        return self._cluster.batch(function, items, star=star, progress=True).gather()

    def _patiently(self, results: Iterable[T]) -> list[T]:
        """Take results that come without a progress bar, with a sign of life."""
        with self._console.status("Counting without the cluster ..."):
            return list(results)

    def _head(self, number: int, question: str) -> None:
        self._console.print(f"\n[bold cyan]{number}[/]  [bold]{question}[/]")

    def _say(self, words: str) -> None:
        self._console.print(words, soft_wrap=True)


def in_threads(parts: Sequence[tuple[int, int]], cores: int) -> Iterator[int]:
    """What threads make of it. An interrupt gives up the parts that have not begun."""
    pool = ThreadPoolExecutor(cores)
    try:
        yield from pool.map(lambda part: count_primes(*part), parts)
    finally:
        pool.shutdown(cancel_futures=True)


def timed(run: Callable[[], T]) -> tuple[T, float]:
    """What `run` gives, and how many seconds it took."""
    start = perf_counter()
    result = run()
    return result, perf_counter() - start


def check(what: str, got: object, expected: object) -> None:
    """Raise `WrongAnswer` unless both are equal."""
    if got != expected:
        raise WrongAnswer(f"{what}: got {got!r:.60}, right is {expected!r:.60}.")


def top_tokens(counted: Counter[str], count: int) -> Table:
    """The most frequent tokens in two rows, the most frequent first."""
    cells = [f"{token} [dim]{times:,}[/]" for token, times in counted.most_common(count)]
    table = Table.grid(padding=(0, 2))
    table.add_row(*cells[: count // 2])
    table.add_row(*cells[count // 2 :])
    return table


def speed_ups(walls: dict[str, float]) -> Table:
    """The wall times, and how many times as fast as the first each is."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column()
    table.add_column("seconds", justify="right")
    table.add_column("speed-up", justify="right")
    base = next(iter(walls.values()))
    for way, seconds in walls.items():
        table.add_row(way, f"{seconds:.2f}", f"{base / seconds:.2f}")
    return table


@click.command(help=__doc__.partition("\n")[0])
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False, writable=True), help="Where the picture goes.")
@click.option("--quick", is_flag=True, help="Small sizes: a few seconds.")
def main(out: Path | None, quick: bool) -> None:
    """Run the parts; exit with 1 if an answer is wrong, with 130 on Ctrl-C."""
    console = Console(highlight=False)
    if out is not None and not out.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {out.parent}", param_hint="--out")
    errors = Console(stderr=True, highlight=False)
    cores = granted_cpus()
    try:
        with console.status("Starting a private cluster ..."):
            cluster, seconds = timed(lambda: Cluster(workers=cores))
        with cluster:
            console.print(f"A private cluster of {cores} worker processes, started in {seconds:.2f} s.")
            demo = Demo(cluster, cores, QUICK if quick else FULL, console)
            demo.primes()
            demo.gil()
            demo.tokens()
            demo.picture(out or Path(tempfile.gettempdir(), "mandelbrot.png"))
    except KeyboardInterrupt:
        errors.print("Interrupted: nothing is left running.")
        sys.exit(INTERRUPTED)
    except (WrongAnswer, ManycoreError, OSError) as exc:
        errors.print(f"[red]The demo failed.[/] {exc}")
        sys.exit(1)


if __name__ == "__main__":
    main()
