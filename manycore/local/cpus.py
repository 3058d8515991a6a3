"""How many CPUs this process was granted: the least of the affinity mask and the cgroup quota, v1 and v2.

`os.cpu_count()` ignores both, and so does billiard: a container with `cpus: 1` on a 64-core host would start 64
processes. Sources: cgroup-v2 `cpu.max`, cgroup-v1 `cpu.cfs_quota_us` (Linux kernel documentation).
"""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
PROC_CGROUP = Path("/proc/self/cgroup")


def granted_cpus(root: Path = CGROUP, membership: Path = PROC_CGROUP) -> int:
    """Whole CPUs that this process may use, at least 1. A quota of 1.5 counts as 2: a process waits now and then."""
    quota = min([q for path in _folders(root, membership) if (q := _quota(path)) is not None], default=None)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return available if quota is None else max(1, min(available, -int(-quota // 1)))


def _folders(root: Path, membership: Path) -> list[Path]:
    """The cgroup folders whose quotas bind this process, from its own up to the root."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    found = [root, root / "cpu", root / "cpu,cpuacct"]
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / controllers if controllers else root
        for parent in (Path(place), *Path(place).parents):
            found += [base / str(parent).lstrip("/"), root / "cpu" / str(parent).lstrip("/")]
    return found


def _quota(folder: Path) -> float | None:
    """The CPUs that a cgroup's quota grants, None for no quota."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        return None if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None  # not there, or not a quota file of either version: it binds nobody
