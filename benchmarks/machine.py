"""Names the machine that figures come from: without it they say nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from manycore.local.cpus import granted_cpus


def describe() -> dict[str, str]:
    """CPU, cores, load, Python, operating system and version of manycore, in this order."""
    return {
        "CPU": _cpu_model(),
        "cores": f"{granted_cpus()} granted of {os.cpu_count()}",
        "load before": _load(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "OS": _system(),
        "manycore": version("manycore"),
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _load() -> str:
    load = os.getloadavg()[0]
    return f"{load:.2f}{' (busy: rates and efficiencies will be too low)' if load > granted_cpus() / 2 else ''}"


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()
    return f"{name}, {platform.system()} {platform.release()}"
