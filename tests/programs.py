"""Programs that use modules of their own, each in a way that people have: their files, and how they are run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent

SCRIPT = """
from manycore import Cluster
import mylib

class Pair:
    def __init__(self, left):
        self.left = left

def main():
    with Cluster() as cluster:
        print(cluster.submit(mylib.double, 21).result(timeout=30))
        print(cluster.batch(lambda n: mylib.Point(n).x, range(3)).gather())
        print([p.x for p in cluster.map(mylib.moved, [mylib.Point(1), mylib.Point(2)])])
        print([pair.left for pair in cluster.map(lambda pair: Pair(pair.left + 1), [Pair(1), Pair(2)])])

if __name__ == "__main__":
    main()
"""
MYLIB = """
import helper_of_mylib

def double(n):
    return helper_of_mylib.twice(n)

class Point:
    def __init__(self, x):
        self.x = x

def moved(point):
    return Point(point.x + 10)
"""
TEST = """
from manycore import Cluster
import mylib

def doubled(n):
    return mylib.double(n)

def test_it():
    assert mylib
    with Cluster() as cluster:
        print()
        print(cluster.submit(doubled, 21).result(timeout=30))
        print(cluster.batch(lambda n: mylib.Point(n).x, range(3)).gather())
        print([p.x for p in cluster.map(mylib.moved, [mylib.Point(1), mylib.Point(2)])])
        print([n + 1 for n in cluster.map(abs, [1, 2])])
"""
CELLS = """
import linecache, sys

sys.path.insert(0, "")
for number, cell in enumerate(open("cells.txt").read().split("# %%")):
    name = f"<cell {number}>"  # as IPython does it
    linecache.cache[name] = len(cell), None, cell.splitlines(keepends=True), name
    exec(compile(cell, name, "exec"), globals())
"""
HARD = """
import multiprocessing, sys, zipfile

if __name__ == "__main__":
    with zipfile.ZipFile("lib.zip", "w") as lib:
        lib.writestr("zipped_of_mylib.py", "import profile\\ndef twice(n): return 2 * n")
sys.path.insert(0, "lib.zip")
"""
HELPER = "def twice(n):\n    return 2 * n\n"
PRINTS = "42\n[0, 1, 2]\n[11, 12]\n[2, 3]\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return folder


def run(folder: Path, *command: str, python: str | Path = sys.executable, **env: str) -> str:
    """What a program prints that is run in `folder`, in a process of its own."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("PYTHONPATH")}
    done = subprocess.run([python, *command], cwd=folder, env=known | env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


ANSWERS = """
import sys
from manycore import Cluster
import mylib
with Cluster() as cluster:
    for _ in range(int(sys.argv[1])):
        assert set(cluster.batch(mylib.answer, range(4)).gather()) == {mylib.ANSWER}
print(mylib.ANSWER)
"""


def two_clients(folder: Path, batches: int, env: dict[str, str]) -> dict[str, str]:
    """What two programs print that run so many batches at the same time, of one module name and different code."""
    found: dict[str, str] = {}

    def client(answer: str) -> None:
        lib = f"ANSWER = {answer!r}\ndef answer(n):\n    import mylib\n    return mylib.ANSWER\n"
        place = write(folder / answer, {"script.py": ANSWERS, "mylib.py": lib})
        found[answer] = run(place, "script.py", str(batches), **env)

    threads = [threading.Thread(target=client, args=(answer,)) for answer in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


PROGRAMS: dict[str, tuple[dict[str, str], list[str]]] = {
    "a module beside the script": (
        {"script.py": SCRIPT, "mylib.py": MYLIB, "helper_of_mylib.py": HELPER},
        ["script.py"],
    ),
    "a package with relative imports, by -m": (
        {
            "app/__init__.py": "",
            "app/deep/__init__.py": "",
            "app/deep/mylib.py": MYLIB.replace("import helper", "from .. import helper"),
            "app/helper_of_mylib.py": HELPER,
            "app/main.py": SCRIPT.replace("import mylib", "from .deep import mylib"),
        },
        ["-m", "app.main"],
    ),
    "a notebook's cells": (
        {
            "notebook.py": CELLS,
            "cells.txt": SCRIPT.replace("class Pair", "# %%\nclass Pair").replace("if __name__", "# %%\nif __name__"),
            "mylib.py": MYLIB,
            "helper_of_mylib.py": HELPER,
        },
        ["notebook.py"],
    ),
    "a module from a file that is on no path": (
        {
            "script.py": SCRIPT.replace(
                "import mylib",
                "import sys, importlib.util as util\n"
                "spec = util.spec_from_file_location('mylib', 'elsewhere/file.py')\n"
                "mylib = sys.modules['mylib'] = util.module_from_spec(spec)\n"
                "spec.loader.exec_module(mylib)\n",
            ),
            "elsewhere/file.py": MYLIB,
            "helper_of_mylib.py": HELPER,
        },
        ["script.py"],
    ),
    "modules that are hard to find, in a spawned process": (
        {
            "script.py": HARD
            + SCRIPT.replace("import mylib", "import space.deep.mylib as mylib").replace(
                "    main()",
                "    spawned = multiprocessing.get_context('spawn').Process(target=main)\n"
                "    spawned.start()\n    spawned.join()\n    sys.exit(spawned.exitcode)",
            ),
            "space/deep/mylib.py": MYLIB.replace("import helper_of_mylib", "").replace(
                "    return helper_of_mylib.twice(n)", "    from .. import other\n    return other.twice(n)"
            ),
            "space/other.py": "def twice(n):\n    import zipped_of_mylib as z; return z.twice(n)\n",
            "profile.py": "def half(n):\n    return n // 2\n",
        },
        ["script.py"],
    ),
    "a test": (
        {"test_it.py": TEST, "mylib.py": MYLIB, "helper_of_mylib.py": HELPER},
        ["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "--rootdir=.", "test_it.py"],
    ),
}
