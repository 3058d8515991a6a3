"""What we were given wins: nothing of the environment that is another project's reaches Celery, here or in a worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from manycore.local.server import server_binary
from tests.integration.conftest import ROOT, Server
from tests.waiting import wait_until

PROGRAM = """
import os
from manycore import Cluster
with Cluster({url}, workers=1) as cluster:
    assert cluster.submit(pow, 2, 5).result(timeout=30) == 32
    assert cluster.batch(abs, [-1, -2], retries=1).gather() == [1, 2]
    print(cluster.submit(os.environ.get, "CELERY_BROKER_URL").result(timeout=30))
assert os.environ["CELERY_BROKER_URL"].startswith("redis+socket"), "the client's own environment is left alone"
"""
PLAIN = """
from manycore.plain import celery_app
print(celery_app().send_task("tasks.primes.count_primes", (0, 1000)).get(timeout=30))
"""
MODULES = {
    "celeryconfig.py": "raise SystemExit('another project is configured here')",
    "settings.py": "raise SystemExit('another project is configured here')",
    "project.py": "raise SystemExit('another project is loaded here')",
}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[redis.Redis]:
    """Another project's server."""
    path = tmp_path / "other.sock"
    command = [server_binary(), "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=str(path))
    wait_until(path.exists, "the other server is there")
    yield client
    process.kill()
    process.wait()


@pytest.fixture
def foreign(elsewhere: redis.Redis, tmp_path: Path) -> dict[str, str]:
    """An environment, and a working folder, full of another project's settings."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name, text in MODULES.items():
        (folder / name).write_text(text)
    url = f"redis+socket://{tmp_path / 'other.sock'}"
    addresses = ("BROKER_URL", "BROKER_READ_URL", "BROKER_WRITE_URL", "RESULT_BACKEND")
    return os.environ | {
        **{name: url for short in addresses for name in (short, f"CELERY_{short}")},
        **{f"{prefix}CONFIG_MODULE": "celeryconfig" for prefix in ("", "CELERY_")},
        **{f"{prefix}LOADER": "project:Loader" for prefix in ("", "CELERY_")},
        "APP": "project:app",
        "CELERY_CUSTOM_WORKER_POOL": "project:Pool",
        "CELERY_WORKER_REVOKES_MAX": "many",
        "DJANGO_SETTINGS_MODULE": "settings",
        "REDIS_URL": url,
        "C_STRICT_APP": "1",
        "FORKED_BY_MULTIPROCESSING": "1",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
        "PWD": str(folder),
    }


def run(code: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=env["PWD"], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commands(server: redis.Redis) -> set[str]:
    """What the server was asked, our own looks apart (and `config|get`, which Valkey asks itself when it starts)."""
    asked = {name.removeprefix("cmdstat_") for name in server.info("commandstats")}
    return asked - {"info", "client|setinfo", "hello", "config|get"}


def test_a_local_cluster_is_left_alone(foreign: dict[str, str], elsewhere: redis.Redis) -> None:
    assert run(PROGRAM.format(url=None), foreign) == foreign["CELERY_BROKER_URL"], "items see the user's environment"
    assert commands(elsewhere) == set()


def test_a_cluster_with_an_address_is_left_alone(
    foreign: dict[str, str],
    elsewhere: redis.Redis,
    server: Server,
    start_worker: Callable[..., subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in set(foreign) - set(os.environ):
        monkeypatch.setenv(name, foreign[name])
    start_worker(tasks="tasks.primes")
    start_worker("--pool", "threads", "--queue", "io")
    env = foreign | {"MANYCORE_URL": server.url, "MANYCORE_KEY": server.key}
    run(PROGRAM.format(url=repr(server.url)), env)
    assert run(PLAIN, env) == "168"
    assert commands(elsewhere) == set()
