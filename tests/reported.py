"""What people have reported of tools that ship code: each as a program of ours, and what it prints."""

from __future__ import annotations

ASK = "\nfrom manycore import Cluster\nwith Cluster() as c: print(*[c.submit(f, *a).result(30) for f, *a in calls])\n"
"""Prints the results of `calls`."""
RERUN = """
import pathlib, subprocess, sys
for n in (1, 2):
    pathlib.Path("custom/compute.py").write_text(f"def w(): return {n}")
    subprocess.run([sys.executable, "script.py"], check=True)
"""
PYC = """
import compileall, os, subprocess, sys
compileall.compile_dir(".", legacy=True, quiet=2)
for path in ("ml/__init__.py", "ml/flow.py", "plain.py"):
    os.remove(path)
subprocess.run([sys.executable, "script.py"], check=True)
"""
ROOTS = """
from manycore import Cluster
import sys
with Cluster() as c:
    c.submit(abs, 1).result(30)
    sys.path[:0] = ["flow/src", "utils/src"]
    from flow.main import f
    print(c.submit(f).result(30))
"""
LEFT_BEHIND = """
from manycore import Cluster
import lib
with Cluster() as c:
    error = c.submit(lib.f).exception(30)
print(type(error).__name__, "include" in error.__notes__[0])
"""
LINKED = """
import os, subprocess, sys
os.symlink("real", "link")
os.symlink("../elsewhere/sub", "real/sub")
subprocess.run([sys.executable, "link/script.py"], check=True)
"""
HUGE = """
import os, lib
os.makedirs(".git/objects")
os.makedirs("data")
for path in (".git/objects/pack", "data/big.bin", "data/big.py"):
    open(path, "wb").truncate(200 << 20)
calls = [(lib.f,)]
"""
UNDER_WAY = """
from manycore import Cluster
import importlib, lib, pathlib
with Cluster() as c:
    under_way = c.batch(lib.f, range(20))
    next(under_way.as_completed())
    pathlib.Path("lib.py").write_text("def f(n): return 22")
    importlib.reload(lib)
    print(set(c.batch(lib.f, range(5)).gather()), set(under_way.gather()))
"""
BOTH = """
class P:
    def __init__(self, n): self.n = n
def f(p): return P(p.n + 1).n
import other
if __name__ == "__main__":
    calls = [(f, P(1)), (other.h, 3)]
"""

REPORTED: dict[str, tuple[dict[str, str], list[str], str]] = {
    "cloudpipe/cloudpickle#500: a function of the package whose executor sends it": (
        {
            "ai/__init__.py": "",
            "ai/executor.py": "def sent(fn, *a): return (lambda: fn(*a)),\n",
            "ai/domain.py": "from .executor import sent\ndef out(a, b): return a + b\n"
            "def calls():\n    def inside(a, b): return a + b\n    return [sent(inside, 1, 2), sent(out, 3, 4)]\n",
            "script.py": "from ai import domain\ncalls = domain.calls()" + ASK,
        },
        ["script.py"],
        "3 7\n",
    ),
    "PrefectHQ/prefect#16419: an exception of a local utils.py comes back as itself": (
        {
            "utils.py": "class Oops(Exception):\n    def __init__(self, a, b): super().__init__(a, b); self.a = a\n",
            "script.py": "from manycore import Cluster\nimport utils\ndef f(n): raise utils.Oops(n, 2)\n"
            "with Cluster() as c: e = c.submit(f, 1).exception(30)\nprint(type(e) is utils.Oops, e.a)\n",
        },
        ["script.py"],
        "True 1\n",
    ),
    "dask/distributed#344: a bound method of a package's object": (
        {
            "package/__init__.py": "",
            "package/code2.py": "K = 3",
            "package/fit.py": "from . import code2\nclass Fitter:\n    def fit(self, n): return n * code2.K\n",
            "script.py": "from package.fit import Fitter\ncalls = [(Fitter().fit, 1), (Fitter().fit, 2)]" + ASK,
        },
        ["script.py"],
        "3 6\n",
    ),
    "dask/distributed#4245: edited, and run again at once": (
        {
            "custom/__init__.py": "",
            "custom/compute.py": "",
            "script.py": "from custom.compute import w\ncalls = [(w,)]" + ASK,
            "again.py": RERUN,
        },
        ["again.py"],
        "1\n2\n",
    ),
    "Parsl/parsl#2680: a decorated function of library.py": (
        {
            "library.py": "import functools\ndef app(f):\n    @functools.wraps(f)\n    def w(*a): return f(*a)\n"
            "    return w\n@app\ndef increment(x): return x + 1\n",
            "script.py": "from library import increment\ncalls = [(increment, n) for n in range(3)]" + ASK,
        },
        ["script.py"],
        "1 2 3\n",
    ),
    "ipython/ipyparallel#416: a decorated closure of an imported function": (
        {
            "remote.py": "def made():\n    def inside():\n        import os; return os.sep\n    return inside\n",
            "script.py": "from remote import made\ncalls = [(made(),)]" + ASK,
        },
        ["script.py"],
        "/\n",
    ),
    "modal-labs/modal-client#1582: an import inside the function, of a folder without __init__": (
        {
            "core/hello.py": "from core import deep\ndef hello(): return deep.X",
            "core/deep.py": "X = 'hi'",
            "script.py": "def f():\n    from core.hello import hello\n    return hello()\ncalls = [(f,)]" + ASK,
        },
        ["script.py"],
        "hi\n",
    ),
    "PrefectHQ/prefect#16154: two projects' src folders, put on the path at run time": (
        {
            "flow/src/flow/__init__.py": "",
            "flow/src/flow/main.py": "from utils.hello import f",
            "utils/src/utils/__init__.py": "",
            "utils/src/utils/hello.py": "def f(): return 'hello'",
            "script.py": ROOTS,
        },
        ["script.py"],
        "hello\n",
    ),
    "PrefectHQ/prefect#14363: compiled modules without their source": (
        {
            "ml/__init__.py": "",
            "ml/flow.py": "def f(n): return n + 1",
            "plain.py": "def g(n): return n + 2",
            "script.py": "import ml.flow, plain\ncalls = [(ml.flow.f, 1), (plain.g, 1)]" + ASK,
            "compiled.py": PYC,
        },
        ["compiled.py"],
        "2 3\n",
    ),
    "PrefectHQ/prefect#4233: relative imports in a folder whose name is no module's": (
        {
            "mp/Module-import/foo.py": "from .bar import bar\ncalls = [(bar,), (lambda: bar(),)]" + ASK,
            "mp/Module-import/bar.py": "def bar(): return 'bar'",
        },
        ["-m", "mp.Module-import.foo"],
        "bar bar\n",
    ),
    "ray-project/ray#45602: a huge .git, and data, beside the script": (
        {"script.py": HUGE + ASK, "lib.py": "def f(): return 1"},
        ["script.py"],
        "1\n",
    ),
    "a name with umlauts, and a space": (
        {
            "größe.py": "WÄRE = 2\ndef länge(ä): return ä * WÄRE\n",
            "päckchen/__init__.py": "from .öl import f",
            "päckchen/öl.py": "def f(): return 3",
            "über uns.py": "import größe, päckchen\ncalls = [(größe.länge, 2), (päckchen.f,)]" + ASK,
        },
        ["über uns.py"],
        "4 3\n",
    ),
    "a project by a link, with a linked package": (
        {
            "real/script.py": "import lib, sub.m\ncalls = [(lib.f,), (sub.m.g,)]" + ASK,
            "real/lib.py": "def f(): return 1",
            "elsewhere/sub/__init__.py": "",
            "elsewhere/sub/m.py": "def g(): return 2",
            "linked.py": LINKED,
        },
        ["linked.py"],
        "1 2\n",
    ),
    "a data file that nobody asked for": (
        {"lib.py": "def f(): return open(__file__ + '.txt').read()", "lib.py.txt": "x", "script.py": LEFT_BEHIND},
        ["script.py"],
        "FileNotFoundError True\n",
    ),
    "modules in a circle, and names for the type checker alone": (
        {
            "a.py": "from typing import TYPE_CHECKING\nimport b\nif TYPE_CHECKING:\n    import nowhere\n"
            "X = 1\ndef f(n: 'nowhere.N'): return b.g() + n\n",
            "b.py": "import a\ndef g(): return a.X\n",
            "script.py": "import a, b\ncalls = [(a.f, 1), (b.g,)]" + ASK,
        },
        ["script.py"],
        "2 1\n",
    ),
    "a script that its own module imports": (
        {
            "script.py": BOTH + ASK.replace("\n", "\n    "),
            "other.py": "def h(n):\n    import script as s\n    return s.f(s.P(n))",
        },
        ["script.py"],
        "2 4\n",
    ),
    "a namespace package in two roots": (
        {
            "r1/ns/a.py": "from ns import b\ndef f(): return b.V",
            "r2/ns/b.py": "V = 9",
            "script.py": "import sys\nsys.path[:0] = ['r1', 'r2']\nimport ns.a\ncalls = [(ns.a.f,)]" + ASK,
        },
        ["script.py"],
        "9\n",
    ),
    "edited while a batch is under way": (
        {"lib.py": "import time\ndef f(n):\n    time.sleep(0.05)\n    return 1\n", "script.py": UNDER_WAY},
        ["script.py"],
        "{22} {1}\n",
    ),
}
