"""A second machine, in its own network namespace, joins over TLS, works, is cut off and killed: nothing is lost."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from manycore.local.server import server_binary
from manycore.protocol.invitation import Invitation
from manycore.protocol.signing import generate_key
from ops.init.certificates import ensure_certificates
from tests.stack.machines import FIRST, Machines, kill
from tests.waiting import wait_until

PORT, TLS_PORT = 6379, 6380  # of a namespace in which nobody else is
ITEMS = 400

CLIENT = """
import json, os, sys, time
from pathlib import Path
from manycore import Cluster

folder = Path(sys.argv[1])

def item(number):
    time.sleep(0.05)
    return number, os.readlink("/proc/self/ns/net")

with Cluster() as cluster:
    batch = cluster.batch(item, range(int(sys.argv[2])))
    seen, outcomes = set(), []
    for outcome in batch.as_completed():
        outcomes.append((outcome.index, *outcome.value))
        seen.add(outcome.value[1])
        (folder / "seen").write_text(json.dumps([len(outcomes), sorted(seen)]))
    (folder / "done").write_text(json.dumps(outcomes))
"""


def held_up_by_others(process: subprocess.Popen[bytes]) -> float:
    """How long its first thread was ready to run and other programs had the cores."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[1]) / 1e9


def test_a_machine_joins_a_running_batch_and_dies_in_the_middle_of_it(machines: Machines, tmp_path: Path) -> None:
    certificates = tmp_path / "certificates"
    for service in ("authority", "redis", "worker", "client"):
        (certificates / service).mkdir(parents=True)
    ensure_certificates(certificates)
    key, password = generate_key(), secrets.token_hex(8)
    at_home = {"MANYCORE_URL": f"redis://:{password}@127.0.0.1:{PORT}/0", "MANYCORE_KEY": key}
    python, manycore = sys.executable, Path(sys.executable).with_name("manycore")
    data = tmp_path / "data"
    data.mkdir()
    server = (server_binary(), "--port", str(PORT), "--bind", "127.0.0.1", "--requirepass", password, "--save", "")
    machines.start(machines.first, *server, "--dir", str(data))
    machines.start(machines.first, python, "-m", "tests.tls_front", FIRST, str(TLS_PORT), str(PORT), str(certificates))
    machines.start(machines.first, manycore, "worker", "--slots", "1", env=at_home)
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    client = machines.start(machines.first, python, str(script), str(tmp_path), str(ITEMS), env=at_home)

    def seen() -> tuple[int, list[str]]:
        try:
            count, places = json.loads((tmp_path / "seen").read_text())
        except (OSError, ValueError):
            return 0, []
        return count, places

    wait_until(lambda: seen()[0] > 5 or client.poll() is not None, "the batch runs", seconds=30)
    assert len(seen()[1]) == 1, machines.logs()
    url = f"rediss://:{password}@{FIRST}:{TLS_PORT}/0?ssl_check_hostname=false"
    token = Invitation(url, key, (certificates / "worker/ca.crt").read_text()).token()
    pasted = monotonic()
    second = machines.start(machines.second, manycore, "worker", "--slots", "1", "--join", token)
    wait_until(lambda: len(seen()[1]) == 2 or client.poll() is not None, "both machines work", seconds=30)
    seconds, held_up = monotonic() - pasted, held_up_by_others(second)
    print(f"from the pasted line to its first outcome: {seconds:.2f} s, of that {held_up:.2f} s without a core")
    assert client.poll() is None, machines.logs()
    assert seconds - held_up < 5
    machines.pull_the_cable()
    kill(second)
    client.wait(timeout=60)
    outcomes: list[Any] = json.loads((tmp_path / "done").read_text())
    assert sorted(index for index, _, _ in outcomes) == list(range(ITEMS))
    assert all(index == value for index, value, _ in outcomes)
    assert len({place for _, _, place in outcomes}) == 2
