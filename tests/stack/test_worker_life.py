"""A worker's life in our image, on our redis.conf: start, task, kill, restart, and a broker that restarts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from pytest_celery import CeleryTestWorker, CeleryWorkerContainer, RedisContainer, RedisTestBroker
from pytest_docker_tools import container, fxtr, network, volume

from manycore import Cluster
from manycore.plain import celery_app
from manycore.protocol.app import create_app
from manycore.protocol.settings import load_settings
from ops.init.certificates import ensure_certificates
from ops.init.secrets import ensure
from tests.stack.stack import IMAGE, ROOT, Stack, free_port
from tests.waiting import wait_until

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("engine")]  # first: it says what is missing

NOTE = "tasks.mine.note"
LEASE_SECONDS = 5


class OurRedis(RedisContainer):
    """The server with our configuration and our users."""

    worker_url = ""

    def get_addr(self, port: str) -> tuple[str, int]:
        return "127.0.0.1", self.ports[port][0]  # the published one: we may well run in a container ourselves


class OurWorker(CeleryWorkerContainer):
    """A worker of our image. It is ready when its heartbeat says so, not when a log line does."""

    ready_prompt = None

    @classmethod
    def worker_name(cls) -> str:
        return "cpu"


@pytest.fixture
def secrets_folder(stack: Stack, tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    for service in ("authority", "redis", "worker", "flower", "exporter", "grafana", "client"):
        (folder / service).mkdir(parents=True)
    ensure(folder, (ROOT / "ops/redis/users.acl").read_text())
    ensure_certificates(folder)
    for path in (folder, *folder.parents[:4], *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # the containers' users are others than ours
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def redis_ports() -> dict[str, int]:
    return {"6379/tcp": free_port()}  # a fixed one: an ephemeral one is another after a restart


life_network = network()
redis_data = volume()  # a named one: an anonymous one would stay for ever

redis_container = container(
    image="redis:8-alpine",
    command=["/etc/manycore/redis.conf"],
    user="999:1000",
    ports=fxtr("redis_ports"),
    network="{life_network.name}",
    volumes={
        str(ROOT / "ops/redis/redis.conf"): {"bind": "/etc/manycore/redis.conf", "mode": "ro"},
        "{redis_data.name}": {"bind": "/data", "mode": "rw"},
        "{secrets_folder}/redis": {"bind": "/secrets/redis", "mode": "ro"},
    },
    wrapper_class=OurRedis,
)


@pytest.fixture
def broker(redis_container: OurRedis, secrets_folder: Path, monkeypatch: pytest.MonkeyPatch) -> RedisTestBroker:
    """The broker; the secrets of worker and client name its address, within its network and on this host."""
    inside, outside = f"{redis_container.hostname}:6379", f"127.0.0.1:{redis_container.port}"
    redis_container.worker_url = place(secrets_folder / "worker/url", outside)
    place(secrets_folder / "worker/url", inside)
    place(secrets_folder / "client/url", outside)
    monkeypatch.setenv("MANYCORE_URL", (secrets_folder / "client/url").read_text().strip())
    monkeypatch.setenv("MANYCORE_KEY_FILE", str(secrets_folder / "client/key"))
    return RedisTestBroker(redis_container)


def place(path: Path, address: str) -> str:
    """Put the server's address into the file of a URL, and give what it says then."""
    credentials, _, _ = path.read_text().rpartition("@")
    path.write_text(f"{credentials}@{address}/0")
    return path.read_text()


worker_container = container(
    image=IMAGE,
    command=["workers", "cpu", "--slots", "2"],
    environment={
        "MANYCORE_URL_FILE": "/secrets/worker/url",
        "MANYCORE_KEY_FILE": "/secrets/worker/key",
        "MANYCORE_LEASE_SECONDS": str(LEASE_SECONDS),
    },
    network="{life_network.name}",
    volumes={
        "{secrets_folder}/worker": {"bind": "/secrets/worker", "mode": "ro"},
        "{user_tasks}": {"bind": "/app/tasks", "mode": "ro"},
        "{runs}": {"bind": "/runs", "mode": "rw"},
    },
    wrapper_class=OurWorker,
)


@pytest.fixture
def app(broker: RedisTestBroker) -> Celery:
    return celery_app()


@pytest.fixture
def worker(app: Celery, request: pytest.FixtureRequest) -> CeleryTestWorker:
    return CeleryTestWorker(request.getfixturevalue("worker_container"), app)  # after the secrets name the broker


@pytest.fixture
def client(broker: RedisTestBroker) -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


def started(runs: Path, batch: str) -> int:
    return len(list(runs.glob(f"{batch}-*")))


def test_a_task_runs_and_the_worker_answers_remote_control(
    app: Celery, broker: RedisTestBroker, worker: CeleryTestWorker
) -> None:
    assert app.send_task("tasks.primes.count_primes", (0, 1000)).get(timeout=30) == 168
    control = create_app(load_settings(url=broker.container.worker_url)).control
    wait_until(lambda: control.ping(destination=[worker.hostname()], timeout=1), "it answers")


def test_a_killed_workers_items_run_after_it_restarted(client: Cluster, worker: CeleryTestWorker, runs: Path) -> None:
    batch = client.batch(NOTE, range(150), kwargs={"batch": "kill", "seconds": 0.02})
    wait_until(lambda: started(runs, "kill") > 10, "the batch is under way")
    worker.kill()
    assert worker.container.status == "exited"
    worker.restart()
    assert batch.gather() == list(range(150))


def test_a_worker_that_is_restarted_repeats_nothing(client: Cluster, worker: CeleryTestWorker, runs: Path) -> None:
    batch = client.batch(NOTE, range(150), kwargs={"batch": "restart", "seconds": 0.02})
    wait_until(lambda: started(runs, "restart") > 10, "the batch is under way")
    worker.restart()
    assert batch.gather() == list(range(150))
    assert {path.read_text() for path in runs.iterdir()} == {"x"}


@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_a_broker_that_went_away_has_lost_nothing(
    how: str, client: Cluster, broker: RedisTestBroker, worker: CeleryTestWorker, runs: Path
) -> None:
    batch = client.batch(NOTE, range(150), kwargs={"batch": how, "seconds": 0.02})
    wait_until(lambda: started(runs, how) > 10, "the batch is under way")
    if how == "killed":
        broker.kill()
    broker.restart()
    assert batch.gather() == list(range(150))
    assert worker.container.status == "running"
