"""Counts what a chunk's items came to in the account of their batch, in the round trip that carries their outcomes.

Whatever the account answers, outcomes are what counts: an account that cannot be kept costs none. A report costs the
same however many items it has; only an item that failed costs something of its own.
"""

from __future__ import annotations

import pickle
import threading
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import frexp
from random import randrange
from time import monotonic
from typing import Any

from manycore import errors
from manycore.protocol import account, keys
from manycore.protocol.account import Told
from manycore.protocol.failure import load_error
from manycore.worker.child.run import ChunkRun
from manycore.worker.child.tally import Report
from manycore.worker.context import WorkerContext

SAMPLES = 32
"""Of the durations of one report that are looked at, about; each stands for its neighbours."""
MAX_ADDED = 2_048
"""Durations of one report that are added up: more would take a hundredth of what the items take that came so fast."""
STRIDE = 11
"""Of that sample. A prime: items of two or more kinds that take turns are all in it."""
SHORTEST = -24
"""The bucket of what took no time that could be measured. Others are powers of two seconds, from a microsecond on."""


MERGE_SECONDS = 0.45
"""What comes sooner after the last telling waits for the next, but for a chunk's start and its end: nobody who watches
sees more often what is new, and to tell it costs as much as to report."""


@dataclass(frozen=True, slots=True)
class Untold:
    """What came of the positions `[start, stop)` of a chunk and was not yet told."""

    chunk: str
    start: int
    stop: int
    counts: Mapping[str, int] = field(default_factory=dict)
    ran: float = 0.0
    """Seconds, of all its items together."""
    errors: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    def plus(self, run: ChunkRun, report: Report) -> Untold:
        counts = Counter(self.counts)
        counts.update(counts_of(run, report))
        failed = dict(self.errors)
        for name, (count, text) in errors_of(report).items():
            before, first = failed.get(name, (0, text))
            failed[name] = before + count, first
        stop = report.start + len(report.values)
        return Untold(self.chunk, self.start, stop, counts, self.ran + total_of(report.seconds), failed)


class Accountant:
    """Of one reporter. Not thread-safe. A report that could not be written comes again, perhaps longer: so what was
    gathered before it is kept beside what was gathered with it."""

    def __init__(self, context: WorkerContext) -> None:
        self._settings = context.settings
        self._teller = f"{context.name}-{threading.get_native_id()}"
        self._told_at = float("-inf")
        self._before = self._latest = Untold("", 0, 0)

    def count(self, pipe: Any, run: ChunkRun, report: Report | None, *, last: bool) -> list[Told]:
        """Queue what a report says, and what those before it left to say."""
        if run.cancelled is not None:
            return []
        untold = self._gather(run, report)
        is_known = untold.start > run.tally.start
        if not untold.counts or (is_known and not last and monotonic() - self._told_at < MERGE_SECONDS):
            return []
        self._told_at = monotonic()
        self._latest = Untold(untold.chunk, untold.stop, untold.stop)
        chunk = run.chunk
        told = {
            "report": f"{chunk.id} {untold.start}-{untold.stop}",
            "facts": account.facts(chunk, run.shadow or chunk.task, run.queue),
            "counts": untold.counts,
            "ran": round(untold.ran * 1e6),
            "errors": untold.errors,
        }
        ttl = keys.stream_ttl(chunk.ephemeral, self._settings.batch_ttl_seconds)
        return [account.tell(pipe, chunk.batch, ttl, told, self._teller)]

    def _gather(self, run: ChunkRun, report: Report | None) -> Untold:
        start = run.tally.reported if report is None else report.start
        fitting = (each for each in (self._latest, self._before) if (each.chunk, each.stop) == (run.chunk.id, start))
        self._before = next(fitting, None) or Untold(run.chunk.id, start, start)
        self._latest = self._before if report is None else self._before.plus(run, report)
        return self._latest


def counts_of(run: ChunkRun, report: Report) -> dict[str, int]:
    """What a report adds to an account."""
    counts = {
        "done": len(report.values) - len(report.retry),
        "failed": len(report.errors),
        "retried": len(set(report.retry) - run.tally.postponed - run.tally.skipped),
        "repeats": int(run.repeated and report.start == run.tally.start),
    }
    return {name: count for name, count in counts.items() if count} | buckets_of(_seconds_of(run, report))


def _seconds_of(run: ChunkRun, report: Report) -> array[float]:
    """What its items took, without those that were skipped."""
    skipped = run.tally.skipped
    if not skipped:
        return report.seconds
    return array("f", [each for at, each in enumerate(report.seconds, report.start) if at not in skipped])


def total_of(seconds: array[float]) -> float:
    """How long they took together; of very many, which took microseconds each, as a sample of them says."""
    if len(seconds) <= MAX_ADDED:
        return sum(seconds)
    sample = seconds[randrange(STRIDE) :: STRIDE]
    return sum(sample) * len(seconds) / len(sample)


def buckets_of(seconds: array[float]) -> dict[str, int]:
    """How many items took up to 2^k seconds, as `s:<k>`."""
    stride = -(-len(seconds) // SAMPLES) or 1
    sample = [frexp(each)[1] if each else SHORTEST for each in seconds[::stride]]
    counts = {bucket: count * stride for bucket, count in Counter(sample).items()}
    if sample:
        counts[sample[-1]] -= len(sample) * stride - len(seconds)  # the last one stands for fewer
    return {f"s:{bucket}": count for bucket, count in counts.items()}


def errors_of(report: Report) -> dict[str, tuple[int, str]]:
    """How often each class of error came, and what the first of them says."""
    found: dict[str, tuple[int, str]] = {}
    for position, name in report.names.items():
        count, text = found.get(name, (0, ""))
        found[name] = (count + 1, text or _text_of(report.errors[position], name))
    return found


def _text_of(blob: bytes, name: str) -> str:
    """The traceback of a pickled error. Without one, its text if it is our own: others must not be rebuilt here."""
    text: str = pickle.loads(blob)[1]
    if not text and hasattr(errors, name):
        error = load_error(blob)
        text = f"{type(error).__name__}: {error}"
    return text if len(text) <= account.MAX_TRACE else f"...\n{text[-account.MAX_TRACE :]}"
