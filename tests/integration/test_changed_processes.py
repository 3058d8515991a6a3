"""What an item changes in its process, the items after it find there; nothing of ours breaks of it.

So it is in the standard library's pools too. Each cell changes something, and then the same process is to run plain
items and shipped ones, to end an item at its time limit, and to end itself.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from manycore import Cluster
from manycore.errors import ItemTimeout
from tests.functions import square, worker_pid
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
CHANGES = {
    "limits of memory": "import resource as r; r.setrlimit(r.RLIMIT_AS, (400 << 20,) * 2)",
    "limits of files": "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (0, 0))",
    "limits of processes": "import resource as r; r.setrlimit(r.RLIMIT_NPROC, (0, 0))",
    "limits of the stack": "import resource as r; r.setrlimit(r.RLIMIT_STACK, (1 << 20,) * 2)",
    "SIGALRM ignored": "import signal as s; s.signal(s.SIGALRM, s.SIG_IGN)",
    "SIGTERM ignored": "import signal as s; s.signal(s.SIGTERM, s.SIG_IGN)",
    "SIGCHLD ignored": "import signal as s; s.signal(s.SIGCHLD, s.SIG_IGN)",
    "SIGPIPE as it was": "import signal as s; s.signal(s.SIGPIPE, s.SIG_DFL)",
    "a handler of its own": "import signal as s; s.signal(s.SIGALRM, lambda *_: 1 / 0); s.alarm(1)",
    "signals blocked": "import signal as s; s.pthread_sigmask(s.SIG_BLOCK, s.valid_signals())",
    "working folder that is gone": "import os, tempfile as t; d = t.mkdtemp(); os.chdir(d); os.rmdir(d)",
    "umask": "import os; os.umask(0o777)",
    "locale": "import locale as l; l.setlocale(l.LC_ALL, 'C')",
    "environment": "import os; os.environ.clear()",
    "recursion limit low": "import sys; sys.setrecursionlimit(120)",
    "recursion limit high": "import sys; sys.setrecursionlimit(10**9)",
    "streams closed": "import sys; sys.stdout.close(); sys.stderr.close()",
    "streams gone": "import sys; sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None",
    "standard descriptors closed": "import os; os.closerange(0, 3)",
    "all other descriptors closed": "import os; os.closerange(3, 1024)",
    "threads seldom switched": "import sys; sys.setswitchinterval(1e5)",
    "no garbage collection": "import gc; gc.disable(); gc.freeze()",
    "warnings are errors": "import warnings; warnings.simplefilter('error')",
    "traced": "import sys; sys.settrace(lambda *_: None); sys.setprofile(lambda *_: None)",
    "threads traced": "import threading as t; t.settrace(lambda *_: 1 / 0); t.setprofile(lambda *_: 1 / 0)",
    "sockets in a hurry": "import socket; socket.setdefaulttimeout(0.001)",
    "time frozen": "import time; time.time = time.monotonic = time.perf_counter = lambda: 0.0",
    "logging ended": "import logging as l; l.shutdown(); l.disable(50)",
    "decimals": "import decimal as d; d.getcontext().prec = 1; d.getcontext().traps[d.Inexact] = True",
    "processes spawned": "import multiprocessing as m; m.set_start_method('spawn', force=True)",
    "hooks gone": "import sys, threading as t; sys.excepthook = t.excepthook = sys.unraisablehook = None",
    "builtins gone": "import builtins as b; b.print = b.open = None",
    "a thread left": "import threading as t; t.Thread(target=t.Event().wait).start()",
    "an exit that takes its time": "import atexit, time; atexit.register(time.sleep, 600)",
    "sockets forbidden": "import sys; sys.addaudithook(lambda e, _: 1 / 0 if e.startswith('socket') else None)",
    "no faulthandler": "import faulthandler as f; f.cancel_dump_traceback_later(); f.disable()",
    "integers pickled otherwise": "import copyreg; copyreg.pickle(int, lambda _: (int, (7,)))",
}


@pytest.fixture(scope="module")
def single() -> Iterator[Cluster]:
    """A cluster of one process."""
    with Cluster(workers=1) as cluster:
        yield cluster


def spin(_: int) -> None:
    while True:
        pass


@pytest.mark.parametrize("change", CHANGES)
def test_what_an_item_changes_breaks_nothing_of_ours(single: Cluster, change: str) -> None:
    process = single.submit(worker_pid).result(30)
    assert single.submit(exec, CHANGES[change], {}).exception(30) is None
    assert single.batch(square, range(20)).gather() == [n * n for n in range(20)]
    assert single.batch(lambda n: [str(n)], range(5)).gather() == [["0"], ["1"], ["2"], ["3"], ["4"]]
    (ended,) = single.batch(spin, [1], timeout=0.3).gather(return_exceptions=True)
    assert isinstance(ended, ItemTimeout)
    assert single.submit(square, 3).result(30) == 9
    _replace(process)
    assert single.submit(worker_pid).result(30) != process


def _replace(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:  # its time limit has ended it already, the hard way
        return
    wait_until(lambda: not Path(f"/proc/{process}").exists(), "it is gone")
