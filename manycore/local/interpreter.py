"""Starts another Python of this program's kind, in which our own imports are safe.

Neither the working folder nor PYTHONPATH is searched: a `random.py` of the user's would take the place of the standard
library's. What the user's functions may import is told to the worker apart (`manycore.worker.boot`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import manycore
from manycore.errors import LocalClusterFailed

STARTING = "MANYCORE_STARTING"
"""Set for the supervisor: a program that finds it has been started in the place of a Python interpreter."""
START_VARIABLES = ("PYTHONPATH", "PYTHONWARNINGS", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONVERBOSE", "PYTHONSAFEPATH")
"""What Python reads when it starts and would break or drown ours. Items have them in their environment again."""
_RUN = (
    "import sys, importlib.util as u, importlib.machinery as m; "
    "s = m.PathFinder.find_spec('manycore', [sys.argv[1]]); "
    "sys.modules['manycore'] = p = u.module_from_spec(s); s.loader.exec_module(p); "
    "from {module} import main; sys.exit(main())"
)
_CONNECT = "connect to a server by its address instead: Cluster('redis://...') or MANYCORE_URL"


def check_interpreter() -> None:
    """Raise `LocalClusterFailed` where this program's executable is no Python that could run a worker."""
    if os.environ.get(STARTING):
        raise LocalClusterFailed(
            f"{sys.executable} is this program, not a Python interpreter, so it was about to start itself without "
            f"end. Next: {_CONNECT}, and run the workers with a Python that has manycore"
        )
    if getattr(sys, "frozen", False):
        raise LocalClusterFailed(
            f"this program is frozen, {sys.executable} is the program itself and no Python that could run a worker. "
            f"Next: {_CONNECT}, and run the workers with a Python that has manycore and your modules"
        )
    if not sys.executable:
        raise LocalClusterFailed(
            f"this Python does not know its own executable (sys.executable is empty): it is embedded in another "
            f"program. Next: {_CONNECT}, or set sys.executable to a Python of the same version"
        )


def command(module: str, *arguments: str) -> list[str]:
    """The command that runs `module.main()` with this manycore, whatever else of that name is installed.

    `sys.argv` is then the folder that manycore is in, and the arguments.
    """
    folder = str(Path(str(manycore.__file__)).absolute().parents[1])
    return [sys.executable, "-P", *_flags(), "-c", _RUN.format(module=module), folder, *arguments]


def environment() -> dict[str, str]:
    """This process's environment, without what would disturb a Python that starts."""
    return {name: value for name, value in os.environ.items() if name not in START_VARIABLES}


def start_variables() -> dict[str, str]:
    """What `environment` leaves out."""
    return {name: os.environ[name] for name in START_VARIABLES if name in os.environ}


def import_path() -> list[str]:
    """What this process can import: functions travel by reference to their module."""
    found = []
    for entry in sys.path:
        try:
            found.append(os.path.abspath(entry or "."))
        except (OSError, TypeError):  # the working folder was deleted; or it is no text, and Python ignores it
            continue
    return found


def _flags() -> list[str]:
    """This interpreter's own options, as `multiprocessing` hands them on; but no `-W error`, which ends Celery."""
    flags = ["-O"] * min(sys.flags.optimize, 2)
    flags += ["-B"] if sys.flags.dont_write_bytecode else []
    flags += ["-s"] if sys.flags.no_user_site else []
    flags += ["-E"] if sys.flags.ignore_environment else []
    flags += ["-X", f"utf8={sys.flags.utf8_mode}"]
    return flags
