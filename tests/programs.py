"""Programs that use modules of their own, each in a way that people have: their files, and how they are run."""

from __future__ import annotations

import os
import subprocess
import sys
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
    done = subprocess.run([python, *command], cwd=folder, env=known | env, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    "a test": (
        {"test_it.py": TEST, "mylib.py": MYLIB, "helper_of_mylib.py": HELPER},
        ["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "--rootdir=.", "test_it.py"],
    ),
}
