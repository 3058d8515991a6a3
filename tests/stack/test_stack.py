"""The whole stack, from nothing: healthy, reachable, scaled and stopped in mid-batch, secret, gone without a trace."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from manycore import Cluster
from manycore.errors import WorkerCrashed
from tasks.primes import count_primes, segments
from tests.documents import examples
from tests.stack.stack import IMAGE, ROOT, Stack, docker
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

NOTE, WAIT = "tasks.mine.note", "tasks.mine.wait"
LIMIT = 1_000_000
ITEMS = segments(LIMIT, 10_000)


def embedded_answers() -> list[int]:
    with Cluster(workers=2) as cluster:
        return cluster.batch(count_primes, ITEMS, star=True).gather()


def test_it_comes_up_healthy_from_nothing(stack: Stack) -> None:
    states = {
        service: [container["State"] for container in stack.containers(service)]
        for service in ("init", "redis", "cpu", "io", "flower")
    }
    assert [state["ExitCode"] for state in states.pop("init")] == [0]
    assert {state["Health"]["Status"] for found in states.values() for state in found} == {"healthy"}
    assert stack.seconds_to_healthy < 60


def test_ten_thousand_items_from_the_host_have_the_answers_of_the_embedded_cluster(
    stack: Stack, connected: Cluster
) -> None:
    answers = connected.batch(count_primes, ITEMS, star=True).gather()
    assert sum(answers) == 78_498
    assert answers == embedded_answers()


def test_the_example_of_the_readme_prints_its_output(stack: Stack, tmp_path: Path) -> None:
    (example,) = [example for example in examples(ROOT / "README.md") if "tasks.primes" in example.code]
    (tmp_path / "example.py").write_text(example.code)
    env = os.environ | stack.client_environment() | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "example.py"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert run.stdout == example.output, run.stderr


def test_the_io_fleet_runs_its_tasks_side_by_side_in_one_process(connected: Cluster) -> None:
    started = monotonic()
    processes = connected.batch(WAIT, [0.2] * 64).gather()
    assert len(set(processes)) == 1
    assert monotonic() - started < 64 * 0.2 / 2


def test_a_plain_celery_client_calls_by_name(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("from manycore.plain import celery_app\n\napp = celery_app()\n")
    env = os.environ | stack.client_environment() | {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    celery = [sys.executable, "-m", "celery", "-A", "plain"]
    call = [*celery, "call", "tasks.primes.count_primes", "--args", "[0, 1000]", "--serializer", "manycore"]
    task_id = subprocess.run(call, env=env, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    result = subprocess.run([*celery, "result", task_id], env=env, capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "168", result.stderr


def test_a_client_in_another_container_needs_the_clients_volume_alone(stack: Stack) -> None:
    code = (
        "from manycore import Cluster\n"
        "with Cluster(open('/secrets/client/url').read().strip()) as cluster:\n"
        "    print(cluster.submit('tasks.primes.count_primes', 0, 1000).result(timeout=20))"
    )
    volume = f"{stack.project}_client-secrets:/secrets/client:ro"
    network = ["--network", f"{stack.project}_default", "-e", "MANYCORE_KEY_FILE=/secrets/client/key"]
    run = ["run", "--rm", "-v", volume, *network, "--entrypoint", "python", IMAGE, "-c", code]
    assert docker(*run).strip() == "168"


def test_more_workers_in_mid_batch_are_used_within_five_seconds(stack: Stack, connected: Cluster) -> None:
    batch = connected.batch(NOTE, range(900), kwargs={"batch": "up", "seconds": 0.03})
    wait_until(lambda: batch.progress.done > 20, "the batch is under way")
    stack.scale_cpu(3)
    scaled = monotonic()
    hosts: dict[str, float] = {}
    for outcome in batch.as_completed():
        hosts.setdefault(str(outcome.worker).partition("/")[0], monotonic() - scaled)
    assert len(hosts) == 3
    assert max(hosts.values()) < 5
    assert set(stack.runs_of("up").values()) == {1}


def test_fewer_workers_in_mid_batch_lose_and_repeat_nothing(stack: Stack, connected: Cluster) -> None:
    stack.scale_cpu(3)
    batch = connected.batch(NOTE, range(600), kwargs={"batch": "down", "seconds": 0.03})
    wait_until(lambda: batch.progress.done > 60, "the batch is under way")
    stack.scale_cpu(1)
    assert batch.gather() == list(range(600))
    assert stack.runs_of("down") == dict.fromkeys(range(600), 1)


@pytest.mark.parametrize("services", [("cpu",), ()], ids=["the workers", "all"])
def test_a_stop_in_mid_batch_loses_and_repeats_nothing(
    stack: Stack, connected: Cluster, services: tuple[str, ...]
) -> None:
    name = f"stop{len(services)}"
    batch = connected.batch(NOTE, range(600), kwargs={"batch": name, "seconds": 0.03})
    wait_until(lambda: batch.progress.done > 20, "the batch is under way")
    stack.compose("stop", *services)
    assert len(stack.runs_of(name)) < 600
    stack.up()
    assert batch.gather() == list(range(600))
    assert stack.runs_of(name) == dict.fromkeys(range(600), 1)


def test_an_item_that_takes_all_memory_ends_its_process_and_not_the_container(stack: Stack, connected: Cluster) -> None:
    stack.compose("up", "-d", "--wait", "--no-deps", "cpu", MANYCORE_CPU_MEMORY="300m")
    results = connected.batch("tasks.mine.fill", [10, 2_000, 20]).gather(return_exceptions=True)
    assert isinstance(results[1], WorkerCrashed)
    assert "SIGKILL" in str(results[1])
    assert [results[0], results[2]] == [10, 20]
    assert [container["RestartCount"] for container in stack.containers("cpu")] == [0]
    stack.up()


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_container_starts_a_process_for_each_cpu_that_it_was_granted(stack: Stack, cpus: int) -> None:
    if cpus > len(os.sched_getaffinity(0)):
        pytest.skip(f"this machine has fewer than {cpus} CPUs")
    up = ("up", "-d", "--wait", "--no-deps", "cpu")
    stack.compose(*up, MANYCORE_CPU_CPUS=str(cpus))
    listed = docker("top", stack.containers("cpu")[0]["Id"], "-eo", "pid,args")
    assert listed.count("workers cpu") - 2 == cpus, "besides docker-init and the parent"


def test_no_secret_shows_in_the_image_the_containers_or_the_logs(stack: Stack) -> None:
    found = stack.client_environment()
    hidden = [Path(found["MANYCORE_KEY_FILE"]).read_text().strip(), stack.flower_password]
    for user in ("client", "worker", "flower", "exporter"):
        init = stack.containers("init")[0]["Id"]
        archive = subprocess.run(
            ["docker", "cp", f"{init}:/secrets/{user}/url", "-"], capture_output=True, check=True, timeout=30
        ).stdout.decode(errors="replace")
        hidden.append(archive.partition("://")[2].partition(":")[2].partition("@")[0])
    assert all(len(secret) > 20 for secret in hidden)
    containers = [c["Id"] for service in ("init", "redis", "cpu", "io", "flower") for c in stack.containers(service)]
    shown = docker("history", "--no-trunc", IMAGE) + docker("inspect", IMAGE, *containers) + stack.logs()
    assert [secret for secret in hidden if secret in shown] == []


def test_every_container_is_confined(stack: Stack) -> None:
    for service in ("init", "redis", "cpu", "io", "flower"):
        for container in stack.containers(service):
            host = container["HostConfig"]
            assert container["Config"]["User"] not in ("", "root", "0"), service
            assert host["ReadonlyRootfs"], service
            assert host["CapDrop"] == ["ALL"], service
            assert "no-new-privileges:true" in host["SecurityOpt"], service
            assert host["Memory"] > 0, service
            assert host["PidsLimit"] > 0, service
            published = [port["HostIp"] for ports in (host["PortBindings"] or {}).values() for port in ports]
            assert set(published) <= {"127.0.0.1"}, service


def test_the_compose_file_is_clean(stack: Stack) -> None:
    done = subprocess.run(
        ["docker", "compose", "-f", "docker-compose.yml", "config", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def valkey(stack: Stack, user_tasks: Path, tmp_path: Path) -> Iterator[Stack]:
    """The same stack on Valkey, by one variable."""
    project = f"manycore-test-{secrets.token_hex(3)}"
    valkey = Stack(
        project, tmp_path, MANYCORE_TASKS_FOLDER=str(user_tasks), MANYCORE_REDIS_IMAGE="valkey/valkey:8-alpine"
    )
    try:
        valkey.up()
        yield valkey
    finally:
        valkey.down()


def test_on_valkey_it_gives_the_same_answers_and_leaves_nothing(
    valkey: Stack, connected: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_redis = connected.batch(count_primes, ITEMS, star=True).gather()
    for name, value in valkey.client_environment().items():
        monkeypatch.setenv(name, value)
    with Cluster() as cluster:
        assert cluster.batch(count_primes, ITEMS, star=True).gather() == on_redis
    valkey.down()
    label = f"label=com.docker.compose.project={valkey.project}"
    for kind in (("ps", "--all"), ("volume", "ls"), ("network", "ls")):
        assert docker(*kind, "--quiet", "--filter", label) == ""


def test_an_object_beyond_dockers_own_shared_memory_reaches_the_workers(connected: Cluster) -> None:
    """Docker's are 64 MiB, of which objects take half."""
    size = 48 * 1024 * 1024
    ref = connected.put(bytes(size))
    assert connected.submit(len, ref).result(timeout=60) == size


def test_an_image_from_ours_brings_its_own_tasks(stack: Stack, connected: Cluster, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from manycore import task\n\n\n@task\ndef double(n):\n    return 2 * n\n")
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY mine.py /app/mine.py\n")
    image = f"{stack.project}:derived"
    docker("build", "--quiet", "--tag", image, str(tmp_path))
    try:
        stack.compose("up", "-d", "--wait", "--no-deps", "cpu", MANYCORE_IMAGE=image, MANYCORE_TASKS="mine")
        assert connected.submit("mine.double", 21).result(timeout=60) == 42
    finally:
        stack.up()
        docker("image", "rm", image)
