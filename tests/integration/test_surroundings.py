"""A local cluster in odd surroundings: each program runs a small batch, or says what is wrong, and leaves nothing.

All programs of the matrix run side by side; each cell looks at one of them.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.integration.conftest import ROOT
from tests.waiting import wait_until

BATCH = """
from manycore import Cluster
with Cluster(workers=1) as cluster:
    batch = cluster.batch(abs, range(-20, 0), retries=1)
    print(sum(batch.gather()), cluster.submit(lambda: 7).result())
"""
LIMIT_SECONDS = 25
ANSWER = "210 7"
FAILS = "LocalClusterFailed"
PYTHON = shlex.quote(sys.executable)
SHADOWS = ("random", "platform", "logging", "site", "ssl", "queue", "json", "typing", "celery", "redis", "tempfile")
FORKED = """
import os, sys, time
from manycore import Cluster
with Cluster(workers=1) as cluster:
    assert cluster.submit(abs, -1).result() == 1
    quick, patient = os.fork(), None
    if quick == 0:
        {end}
    patient = os.fork()
    if patient == 0:
        os.read(0, 1)  # until its parent has ended; holds all that it inherited
        os._exit(0)
    os.waitpid(quick, 0)
    print(cluster.submit(abs, -210).result(), 7)
"""
MAPPED = FORKED.replace("    quick", "    results = cluster.map(abs, range(5))\n    quick")
BATCHED = FORKED.replace("    quick", "    batch = cluster.batch(abs, range(5), id='forked')\n    quick")
POOLED = """
import multiprocessing, os
from manycore import Cluster
with Cluster(workers=1) as cluster:
    assert cluster.submit(abs, -1).result() == 1
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
    print(cluster.submit(abs, -210).result(), 7)
"""
DAEMON = """
import os
if os.fork(): os._exit(os.WEXITSTATUS(os.wait()[1]))
os.setsid()
if os.fork(): os._exit(os.WEXITSTATUS(os.wait()[1]))
"""
THREAD = f"""
import threading
thread = threading.Thread(target=lambda: exec({BATCH!r}, {{"__name__": "__main__"}}))
thread.start(); thread.join()
"""
FULL = (
    'unshare -rm sh -c \'mount -t tmpfs -o size=16k none "$TMPDIR" && dd if=/dev/zero of="$TMPDIR"/x bs=1k; '
    f"{PYTHON} $PROGRAM'"
)
"""Where nobody may mount, as in some containers, it says so and runs with a folder that is not full."""
GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent
from manycore import Cluster
with Cluster(workers=1) as cluster:
    calls = [gevent.spawn(lambda n=n: cluster.submit(abs, -n).result()) for n in range(21)]
    gevent.joinall(calls)
    others = gevent.spawn(lambda: list(cluster.map(abs, range(-7, 1)))[0])
    print(sum(call.value for call in calls), others.get())
"""
ELSEWHERE = """
import os, subprocess, sys
from manycore import Cluster
def path_of_another_python():
    code = "import os, sys; print(os.environ.get('PYTHONPATH'), os.environ.get('PYTHONWARNINGS'), sys.path[1])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
import user_module
with Cluster(workers=1) as cluster:
    here, there = path_of_another_python(), cluster.submit(path_of_another_python).result()
    assert here == there, (here, there)
    assert cluster.submit(user_module.answer).result() == 42
    print(210, 7)
"""


@dataclass(frozen=True)
class Cell:
    """One program in one environment. `shell` is a command line in which $PROGRAM is the program's path."""

    name: str
    code: str = BATCH
    env: dict[str, str] = field(default_factory=dict)
    shell: str = f"{PYTHON} $PROGRAM"
    tmp: str = "tmp"
    expected: str = ANSWER
    shadows: tuple[str, ...] = ()


CELLS = [
    Cell("a plain one"),
    Cell("SIGCHLD ignored", "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n" + BATCH),
    Cell("all signals blocked", "import signal\nsignal.pthread_sigmask(0, signal.valid_signals())\n" + BATCH),
    Cell("a space in TMPDIR", tmp="a b"),
    Cell("quotes and codes in TMPDIR", tmp="a'b\"c\\d%20e#f?g"),
    Cell("a line break in TMPDIR", tmp="a\nb"),
    Cell("no ASCII in TMPDIR", tmp="ä€"),
    Cell("a long TMPDIR", tmp="d" * 120),
    Cell("TMPDIR that is the working folder", env={"TMPDIR": "."}),
    Cell("TMPDIR that is not there", env={"TMPDIR": "/nowhere/at/all"}),
    Cell("modules of the working folder", shadows=SHADOWS),
    Cell("modules beside the program, for the worker", "import sys\nsys.path.append('.')\n" + BATCH, shadows=SHADOWS),
    Cell("PYTHONWARNINGS=error", env={"PYTHONWARNINGS": "error"}),
    Cell("PYTHONOPTIMIZE", env={"PYTHONOPTIMIZE": "2"}),
    Cell("PYTHONSAFEPATH", env={"PYTHONSAFEPATH": "1"}),
    Cell("PYTHONSTARTUP and PYTHONINSPECT", env={"PYTHONSTARTUP": "/nowhere.py", "PYTHONVERBOSE": ""}),
    Cell("strict and isolated", shell=f"{PYTHON} -I -O -X dev -W error $PROGRAM"),
    Cell("no HOME", shell=f"env -u HOME {PYTHON} $PROGRAM"),
    Cell("an empty environment", shell=f"env -i TMPDIR=\"$TMPDIR\" {PYTHON} $PROGRAM"),
    Cell("an unknown locale", env={"LC_ALL": "xx_YY.nothing", "LANG": "xx_YY"}),
    Cell("LANG=C", env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    Cell("standard input and errors closed", shell=f"{PYTHON} $PROGRAM <&- 2>&-"),
    Cell("umask 077", shell=f"umask 077; {PYTHON} $PROGRAM"),
    Cell("umask 000", shell=f"umask 000; {PYTHON} $PROGRAM"),
    Cell("64 file descriptors", shell=f"ulimit -n 64; {PYTHON} $PROGRAM"),
    Cell("12 file descriptors", shell=f"ulimit -n 12; {PYTHON} $PROGRAM", expected="12 is not enough for the server"),
    Cell("files of 1 KiB at most", shell=f"ulimit -f 1; {PYTHON} $PROGRAM", expected="cannot: File too large. Make"),
    Cell("a full TMPDIR", shell=f"{FULL} || {PYTHON} $PROGRAM"),
    Cell("a daemon", DAEMON + BATCH),
    Cell("in a thread", THREAD),
    Cell("patched by gevent", "from gevent import monkey\nmonkey.patch_all()\n" + BATCH),
    Cell("in greenlets of gevent", GREENLETS),
    Cell("as in a notebook", f"exec({BATCH!r}, {{'__name__': '__main__'}})"),
    Cell("python -c", shell=f'{PYTHON} -c "$(cat $PROGRAM)"'),
    Cell("python < program", shell=f"{PYTHON} < $PROGRAM"),
    Cell("a zipapp", shell=f"{PYTHON} $PROGRAM.pyz"),
    Cell("working folder deleted", shell=f"mkdir -p gone && cd gone && rmdir ../gone && {PYTHON} $PROGRAM"),
    Cell("a child that exits", FORKED.format(end="sys.exit(0)")),
    Cell("a child that ends at once", FORKED.format(end="os._exit(0)")),
    Cell("a child that raises", FORKED.format(end="raise ValueError('in the child')")),
    Cell("a child that uses it", FORKED.format(end="print(cluster.submit(abs, -1))"), expected="of its own there"),
    Cell("a child that reads on", MAPPED.format(end="list(results)"), expected="of its own there"),
    Cell("a child that stops reading", MAPPED.format(end="results.close(); os._exit(0)"), expected="of its own there"),
    Cell("a child that drops what it has", MAPPED.format(end="del results; sys.exit(0)")),
    *(Cell(f"a child that asks a batch to {ask}", BATCHED.format(end=f"batch.{ask}(); os._exit(0)"),
           expected="of its own there") for ask in ("cancel", "detach", "delete", "rerun_failed")),
    Cell("a pool of forked children", POOLED),
    Cell("another Python in an item", ELSEWHERE, env={"PYTHONWARNINGS": "ignore"}),
    Cell("a frozen program", "import sys\nsys.frozen = True\n" + BATCH, expected="this program is frozen"),
    Cell("an embedded Python", "import sys\nsys.executable = ''\n" + BATCH, expected="does not know its own"),
    Cell("a program in Python's place", "import sys\nsys.executable = __file__ + '.sh'\n" + BATCH, expected=FAILS),
    Cell("no server", "import manycore.local.server as s\ns.find_spec = s.shutil.which = lambda *_: None\n" + BATCH,
         expected="there is no server to embed"),
    Cell("a broken module of tasks", env={"MANYCORE_TASKS": "no_such_module"}, expected="cannot be imported"),
]  # fmt: skip


def run(cell: Cell, folder: Path) -> str:
    """What its program says, in a folder of its own."""
    tmp = folder / cell.tmp
    for place in (tmp, folder / "user"):
        place.mkdir(parents=True)
    (folder / "user" / "user_module.py").write_text("def answer():\n    return 42\n")
    program = folder / "program" / "main.py"
    program.parent.mkdir()
    program.write_text(cell.code)
    with zipfile.ZipFile(f"{program}.pyz", "w") as archive:
        archive.writestr("__main__.py", cell.code)
    script = Path(f"{program}.sh")  # a program that Python was built into: it runs itself, whatever it is asked to
    script.write_text(f"#!/bin/sh\nexec {PYTHON} {shlex.quote(str(program))}\n")
    script.chmod(0o700)
    for name in cell.shadows:
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name} of the user was imported')\n")
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MANYCORE_")}
    path = os.pathsep.join([str(ROOT), str(folder / "user")])
    env = ours | {"PROGRAM": str(program), "TMPDIR": str(tmp), "PYTHONPATH": path} | cell.env
    command = ["timeout", "--signal=KILL", str(LIMIT_SECONDS), "bash", "-c", cell.shell]
    done = subprocess.run(command, env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True)
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_it_answers_or_says_why_and_leaves_nothing(cell: Cell) -> None:
    with TemporaryDirectory(prefix="cell-") as folder:
        assert cell.expected in run(cell, Path(folder))
        wait_until(lambda: not list(Path(folder, cell.tmp).iterdir()), "its folder is gone")
        wait_until(lambda: not processes_of(Path(folder)), "its processes are gone")


def processes_of(folder: Path) -> list[str]:
    """Those whose environment or command line names the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if f"{folder}/".encode() in told:
            found.append(told.decode(errors="replace"))
    return found
