"""`python -m ops.chaos.local_client FOLDER CALLS`: a program with a cluster of its own, parts of which are killed.

It prints how its calls ended: how many came out right, and how many in which error.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from manycore import Cluster

FIRST = 200
"""So many calls are made before anything may be killed."""


def main() -> None:
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    folder, calls = Path(sys.argv[1]), int(sys.argv[2])
    counts: Counter[str] = Counter()
    with Cluster(workers=2) as cluster:
        cluster.submit(abs, -1).result()
        futures: list[Future[int]] = []
        for number in range(calls):
            if number == FIRST:
                _say(folder / "begun", str(cluster._session.local.process_id if cluster._session.local else 0))
            try:
                futures.append(cluster.submit(_slowly, number))
            except Exception as exc:
                counts[type(exc).__name__] += 1
        _say(folder / "submitted", "")
        counts.update(_ending(future, number) for number, future in enumerate(futures))
    print(json.dumps(counts))


def _slowly(number: int) -> int:
    sum(range(20_000))
    return -number


def _ending(future: Future[Any], number: int) -> str:
    try:
        return "right" if future.result() == -number else "wrong"
    except BaseException as exc:
        return type(exc).__name__


def _say(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.rename(path)


if __name__ == "__main__":
    main()
