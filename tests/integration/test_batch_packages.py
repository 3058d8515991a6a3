"""Packages that a worker starts with, and those that a batch asks for: installed once a host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from manycore import Cluster
from manycore.errors import BatchChanged, PackagesFailed, SettingsError
from tests.functions import square
from tests.integration.conftest import Server, serving, workers_of
from tests.packages import wheel

pytestmark = pytest.mark.slow
"""Each set costs an installer's run."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheels are, and what is installed from them."""
    home = tmp_path_factory.mktemp("home")
    wheels = home / "wheels"
    for version in ("1.0", "1.1", "2.0"):
        wheel(wheels, "asked_for", version, f"VERSION = {version!r}\n")
    wheel(wheels, "started_with", "1.0", "LEVEL = 7\n")
    wheel(wheels, "click", "7.0", "raise RuntimeError\n")
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    """With a worker of two processes that installs what batches ask for, and has what it was started with."""
    with serving(home) as server, workers_of(server, home) as start_worker, pytest.MonkeyPatch.context() as environment:
        for tool in ("PIP", "UV"):
            environment.setenv(f"{tool}_NO_INDEX", "1")
            environment.setenv(f"{tool}_FIND_LINKS", str(home / "wheels"))
        environment.setenv("PIP_NO_CACHE_DIR", "1")
        start_worker(
            slots=2, allow_packages="1", packages_folder=str(home / "packages"), extra_packages="started_with==1.*"
        )
        yield server


@pytest.fixture
def cluster(connect: Callable[..., Cluster]) -> Cluster:
    return connect()


def version(_: object = None) -> str:
    import asked_for  # type: ignore[import-not-found]

    return str(asked_for.VERSION)


def version_or_none(_: object = None) -> str:
    try:
        return version()
    except ImportError:
        return "none"


def installed(home: Path) -> int:
    """How many sets."""
    return len([path for path in (home / "packages").iterdir() if path.is_dir()])


def test_a_batch_has_what_it_asks_for_and_others_do_not(cluster: Cluster, home: Path) -> None:
    assert set(cluster.batch(version, range(200), packages=["asked_for == 1.*"]).gather()) == {"1.1"}
    assert cluster.submit(version_or_none).result(timeout=30) == "none"
    assert cluster.batch(version, [0], packages=["asked_for==1.0"]).gather() == ["1.0"]
    before = installed(home)
    assert cluster.batch(version, [0, 1], packages=["asked_for==1.*"]).gather() == ["1.1", "1.1"]
    assert cluster.batch(lambda _: version(), [0], packages=("asked_for==1.*",)).gather() == ["1.1"]
    assert installed(home) == before, "once a host"


def test_batches_with_different_packages_do_not_meet(cluster: Cluster) -> None:
    def work(packages: list[str]) -> set[str]:
        return {
            value for _ in range(8) for value in cluster.batch(version_or_none, range(6), packages=packages).gather()
        }

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(work, [["asked_for==2.*"], ["asked_for==1.0"], []]))
    assert found == [{"2.0"}, {"1.0"}, {"none"}]


@pytest.mark.parametrize(
    ("packages", "why"),
    [
        (["there_is_no_such"], "there.is.no.such"),
        (["asked_for==9.*"], "asked.for"),
        (["click==7.0"], "click"),  # the worker has another itself
    ],
)
def test_what_cannot_be_installed_is_the_batchs_one_error(packages: list[str], why: str, cluster: Cluster) -> None:
    batch = cluster.batch(square, range(5_000), packages=packages)
    with pytest.raises(PackagesFailed, match=rf"(?s)The packages {re.escape(packages[0])} cannot be had on .*{why}"):
        batch.gather()
    assert {type(error) for error in batch.gather(return_exceptions=True)} == {PackagesFailed}
    assert cluster.submit(square, 3).result(timeout=30) == 9


@pytest.mark.parametrize(
    "package", ["--index-url=http://x", "a @ file:///x", "./here", "a; rm -rf", "-r file", "", 5, "a==1 b==2\nc"]
)
def test_only_names_and_versions_are_taken(package: Any, cluster: Cluster) -> None:
    with pytest.raises(SettingsError, match="is no requirement"):
        cluster.batch(square, [1], packages=[package])


def test_a_named_batch_is_another_one_with_other_packages(cluster: Cluster) -> None:
    batch = cluster.batch(version, [0], id="packages", packages=["asked_for==1.*"])
    assert batch.gather() == ["1.1"]
    with pytest.raises(BatchChanged, match="arguments"):
        cluster.batch(version, [0], id="packages", packages=["asked_for==2.*"])
    batch.delete()


def test_a_worker_has_what_it_was_started_with(cluster: Cluster) -> None:
    def level(_: object = None) -> int:
        import started_with  # type: ignore[import-not-found]

        return int(started_with.LEVEL)

    assert cluster.submit(level).result(timeout=30) == 7


def test_workers_install_nothing_unless_they_are_told_to(connect: Callable[..., Cluster], tmp_path: Path) -> None:
    with serving(tmp_path) as server, workers_of(server, tmp_path) as start_worker:
        start_worker(packages_folder=str(tmp_path / "packages"))
        batch = connect(url=server.url, key=server.key).batch(version, [0], packages=["asked_for==1.*"])
        with pytest.raises(PackagesFailed, match="MANYCORE_ALLOW_PACKAGES=1"):
            batch.gather()
        assert not (tmp_path / "packages").exists()


def test_a_worker_that_cannot_have_them_says_so_and_does_not_start(server: Server, home: Path) -> None:
    env = os.environ | {"MANYCORE_URL": server.url, "MANYCORE_KEY": server.key, "PIP_NO_INDEX": "1", "UV_NO_INDEX": "1"}
    env |= {"MANYCORE_EXTRA_PACKAGES": "there_is_no_such", "MANYCORE_PACKAGES_FOLDER": str(home / "packages")}
    done = subprocess.run(
        [sys.executable, "-m", "manycore.worker"], env=env, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 1
    assert "The packages there_is_no_such cannot be had on" in done.stderr
