"""`granted_cpus` takes the least of the affinity mask and every cgroup quota above the process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from manycore.local.cpus import granted_cpus


@pytest.fixture(autouse=True)
def _eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)


def v2(root: Path, folder: str, text: str) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / "cpu.max").write_text(text + "\n")


def v1(root: Path, folder: str, quota: int, period: int = 100_000) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (root / folder / "cpu.cfs_period_us").write_text(f"{period}\n")


def member(root: Path, *lines: str) -> Path:
    path = root / "membership"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_without_quotas_the_affinity_counts(tmp_path: Path) -> None:
    assert granted_cpus(tmp_path, tmp_path / "none") == 8


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000", 8),
        ("100000 100000", 1),
        ("150000 100000", 2),
        ("200000 100000", 2),
        ("10000 100000", 1),
        ("6400000 100000", 8),
        ("25000 50000", 1),
        ("garbage", 8),
        ("100000 0", 8),
        ("", 8),
    ],
)
def test_a_quota_counts_in_whole_cpus(tmp_path: Path, quota: str, cpus: int) -> None:
    v2(tmp_path, "", quota)
    assert granted_cpus(tmp_path, tmp_path / "none") == cpus


@pytest.mark.parametrize("tightest", ["", "pod", "pod/box", "pod/box/inner"])
def test_the_tightest_of_nested_quotas_binds(tmp_path: Path, tightest: str) -> None:
    for folder in ("", "pod", "pod/box", "pod/box/inner"):
        v2(tmp_path, folder, "300000 100000" if folder == tightest else "500000 100000")
    assert granted_cpus(tmp_path, member(tmp_path, "0::/pod/box/inner")) == 3


def test_a_neighbours_quota_binds_nobody_else(tmp_path: Path) -> None:
    v2(tmp_path, "pod/other", "100000 100000")
    assert granted_cpus(tmp_path, member(tmp_path, "0::/pod/box")) == 8


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("folder", ["", "docker/abc"])
def test_version_1(tmp_path: Path, mount: str, folder: str) -> None:
    v1(tmp_path, f"{mount}/{folder}", 250_000)
    assert granted_cpus(tmp_path, member(tmp_path, "3:cpuset:/x", "4:cpu,cpuacct:/docker/abc")) == 3


def test_version_1_without_a_quota(tmp_path: Path) -> None:
    v1(tmp_path, "cpu", -1)
    assert granted_cpus(tmp_path, member(tmp_path, "4:cpu:/")) == 8


def test_quotas_of_other_controllers_do_not_count(tmp_path: Path) -> None:
    v1(tmp_path, "cpuset/x", 100_000)
    assert granted_cpus(tmp_path, member(tmp_path, "3:cpuset:/x")) == 8


def test_there_is_always_one_cpu(tmp_path: Path) -> None:
    v2(tmp_path, "", "1 100000")
    assert granted_cpus(tmp_path, tmp_path / "none") == 1
