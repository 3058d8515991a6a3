"""What a caller gets when something goes wrong: the promise of each cell, or why there is no such cell.

"value" is the item's own result: what went wrong did not touch it. "client ends" is what it says: the caller itself
was told to end, and the cluster goes on. "TimeoutError" is the caller's own, who waits no longer; what hung has its
value when it is over. An initializer is its process's, not an item's: `test_initializer` has what goes wrong there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from tests.integration.matrix.doors import DOORS
from tests.integration.matrix.trouble import FAULTS

FLEETS = ("cpu", "io")
PLACES = ("rebuild", "run", "pickle", "receive", "callback", "input")
"""Where it happens: an argument is rebuilt, the function runs, its result is pickled, all at the worker; the result is
rebuilt, a future's callback runs, a lazy input is pulled, all at the client."""
AT_WORKER = PLACES[:3]
UNLIMITED = ("submit", "map")
"""Doors without a time limit: their caller can only wait no longer."""

TABLE = """
fault        rebuild            run                pickle             receive            callback     input
Exception    NotUnpicklable     ValueError         NotPicklable       NotUnpicklable     value        ValueError
unpicklable  NotUnpicklable     RemoteError        NotPicklable       NotUnpicklable     value        Unpicklable
SystemExit   NotUnpicklable     SystemExit         NotPicklable       NotUnpicklable     value        SystemExit
interrupt    KeyboardInterrupt  KeyboardInterrupt  KeyboardInterrupt  KeyboardInterrupt  value        KeyboardInterrupt
MemoryError  MemoryError        MemoryError        NotPicklable       MemoryError        value        MemoryError
os._exit     WorkerCrashed      WorkerCrashed      WorkerCrashed      client_ends        client_ends  client_ends
SIGSEGV      WorkerCrashed      WorkerCrashed      WorkerCrashed      client_ends        client_ends  client_ends
hang         ItemTimeout        ItemTimeout        ItemTimeout        TimeoutError       value        TimeoutError
hang_in_C    ItemTimeout        ItemTimeout        ItemTimeout        -                  -            -
"""

PLAIN = """
fault        rebuild                run                           pickle             receive
Exception    NotUnpicklable         ValueError                    EncodeError        DecodeError
unpicklable  NotUnpicklable         UnpickleableExceptionWrapper  EncodeError        DecodeError
SystemExit   NotUnpicklable         RemoteError                   EncodeError        SystemExit
interrupt    NotUnpicklable         RemoteError                   EncodeError        KeyboardInterrupt
MemoryError  MemoryError            MemoryError                   EncodeError        DecodeError
os._exit     WorkerCrashed          WorkerCrashed                 WorkerCrashed      client_ends
SIGSEGV      WorkerCrashed          WorkerCrashed                 WorkerCrashed      client_ends
hang         SoftTimeLimitExceeded  SoftTimeLimitExceeded         EncodeError        -
hang_on_io   ItemTimeout            ItemTimeout                   TimeoutError       -
hang_in_C    TimeLimitExceeded      TimeLimitExceeded             TimeLimitExceeded  -
"""
"""Of a plain Celery call. Celery's own client reads it; on threads, Celery itself has no time limits."""


@dataclass(frozen=True)
class Cell:
    place: str
    fault: str
    door: str
    fleet: str

    def __str__(self) -> str:
        return "-".join([self.place, self.fault, self.door, self.fleet]).replace(" ", "_")

    @property
    def deadly(self) -> bool:
        """Whether it kills a worker's process."""
        return self.place in AT_WORKER and self.fault in ("os._exit", "SIGSEGV", "hang in C")

    @property
    def promise(self) -> str:
        """What the caller gets for the item; "-" if there is no such cell."""
        if self.reason:
            return "-"
        if self.door == "plain":
            on_threads = self.fault == "hang" and self.fleet == "io"
            return _rows(PLAIN)["hang on io" if on_threads else self.fault][self.place]
        if (self.place, self.fault, self.fleet) == ("pickle", "interrupt", "io"):
            return "NotPicklable"  # a thread that is not the main one has no Ctrl-C: it is the result's own
        if self.fault == "hang" and self.place in AT_WORKER and self.door in UNLIMITED:
            return "TimeoutError"
        return _rows(TABLE)[self.fault][self.place]

    @property
    def in_vain(self) -> bool:
        """Whether its caller waits in vain, until the hang is over."""
        return self.promise == "TimeoutError"

    @property
    def reason(self) -> str:
        """Why there is no such cell."""
        if self.place == "callback" and self.door != "submit":
            return "only a future has callbacks; those of Celery's `get` are its caller's own code"
        if self.place == "input" and self.door in ("submit", "plain"):
            return "one call has no input to pull"
        if self.place == "receive" and self.door == "plain" and "hang" in self.fault:
            return "Celery rebuilds a result in its caller's own `get`, which then hangs in the caller's own code"
        if self.fault != "hang in C":
            return ""
        if self.place in ("receive", "callback", "input"):
            return "C code that keeps the GIL stops the caller's own process, in which nothing of ours can run either"
        if self.fleet == "io":
            return "C code that keeps the GIL stops all threads: such work is for fleets of processes"
        if self.door in UNLIMITED:
            return "neither submit nor map has a time limit: the item holds its slot for as long as it likes"
        return ""


def _rows(table: str) -> dict[str, dict[str, str]]:
    head, *rows = [line.split() for line in table.strip().splitlines()]
    return {
        row[0].replace("_on_", " on ").replace("_in_", " in "): dict(zip(head[1:], row[1:], strict=True))
        for row in rows
    }


CELLS = [Cell(*axes) for axes in product(PLACES, FAULTS, DOORS, FLEETS)]
