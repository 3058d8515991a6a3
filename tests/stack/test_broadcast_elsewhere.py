"""One large value for many items of another machine: it passes the cable once, about as fast as the cable carries."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from manycore.local.server import server_binary
from manycore.protocol.signing import generate_key
from tests.stack.machines import FIRST, Machines

PORT, LINK_PORT = 6379, 6380  # of a namespace in which nobody else is
MEGABYTES, ITEMS, SLOTS = 64, 32, 3
MEGABITS = 400
"""What the cable is limited to, so that it, and not this machine's mood, says how long the bytes take."""
ROUNDS, SHARE = 5, 0.7
"""The best of some rounds: others use this machine's cores too."""

CLIENT = """
import json, os, sys, time
from manycore import Cluster

def item(data):
    begun = time.monotonic()
    time.sleep(0.02)  # so that each process gets some
    return begun, os.getpid(), len(data), data[-1]

size, count = map(int, sys.argv[1:])
with Cluster() as cluster:
    list(cluster.map(item, [b"x"] * 8))  # they are up
    print("ready", flush=True)
    for line in sys.stdin:
        data = os.urandom(size - 1) + b"z"
        called = time.monotonic()
        found = cluster.batch(item, [data] * count).gather()
        begun = min(each[0] for each in found)  # the clock is one, of all namespaces
        right = {each[2:] for each in found} == {(size, 122)}
        print(json.dumps([begun - called, len({each[1] for each in found}), right]), flush=True)
"""
SENDER = """
import socket, sys
with socket.create_server((sys.argv[1], int(sys.argv[2]))) as server:
    server.accept()[0].sendall(bytes(int(sys.argv[3])))
"""
RECEIVER = """
import socket, sys, time
while True:
    try:
        link = socket.create_connection((sys.argv[1], int(sys.argv[2])))
        break
    except ConnectionRefusedError:
        time.sleep(0.01)
started, left = time.monotonic(), int(sys.argv[3])
while left:
    left -= len(link.recv(min(left, 1 << 20)))
print(time.monotonic() - started)
"""
WATCHER = """
import sys, time
counter, size = sys.argv[1], int(sys.argv[2])

def arrived():
    with open(counter) as file:
        return int(file.read())

before, started = arrived(), None
print("watching", flush=True)
while (crossed := arrived() - before) < size:
    if started is None and crossed > 1_000_000:  # it has begun, whatever else was said before
        started = time.monotonic()
    time.sleep(0.002)
print(time.monotonic() - started)
"""


def carried_in(machines: Machines, size: int) -> float:
    """The seconds that so many bytes take over the cable by themselves."""
    link = (FIRST, str(LINK_PORT), str(size))
    machines.start(machines.first, sys.executable, "-c", SENDER, *link)
    command = ["ip", "netns", "exec", machines.second, sys.executable, "-c", RECEIVER, *link]
    return float(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)


@pytest.mark.timeout(120)
def test_a_value_for_many_items_is_one_transfer_a_machine(machines: Machines, tmp_path: Path) -> None:
    limited = machines.limit(MEGABITS)
    key, password, size = generate_key(), secrets.token_hex(8), MEGABYTES << 20
    server = (server_binary(), "--port", str(PORT), "--requirepass", password, "--save", "", "--dir", str(tmp_path))
    machines.start(machines.first, *server, "--bind", "0.0.0.0")
    manycore, objects = Path(sys.executable).with_name("manycore"), tmp_path / "objects"
    objects.mkdir(0o700)
    settings = {"MANYCORE_URL": f"redis://:{password}@{FIRST}:{PORT}/0", "MANYCORE_KEY": key}
    worker = ("worker", "--slots", str(SLOTS))
    machines.start(machines.second, manycore, *worker, env=settings | {"MANYCORE_OBJECTS_FOLDER": str(objects)})
    (tmp_path / "client.py").write_text(CLIENT)
    arguments = (str(tmp_path / "client.py"), str(size), str(ITEMS))
    client = machines.start(machines.first, sys.executable, *arguments, talk=True, env=settings)
    assert client.stdin is not None
    assert client.stdout is not None
    assert client.stdout.readline() == b"ready\n", machines.logs()
    shares: list[float] = []
    while len(shares) < ROUNDS and max(shares, default=0.0) < SHARE:
        alone, before = carried_in(machines, size), machines.arrived()
        watcher = machines.start(machines.second, sys.executable, "-c", WATCHER, machines.counter, str(size), talk=True)
        assert watcher.stdout is not None
        watcher.stdout.readline()
        client.stdin.write(b"again\n")
        client.stdin.flush()
        seconds, processes, right = json.loads(client.stdout.readline())
        crossed = machines.arrived() - before
        shares.append(alone / float(watcher.stdout.readline()))
        print(f"{size:,} bytes to {processes} processes: {crossed:,} crossed, {seconds:.2f} s from the call")
        print(f"the bytes alone: {alone:.2f} s; {shares[-1]:.2f} of what the cable carries, {limited=}")
        assert right, machines.logs()
        assert processes >= 2
        assert crossed < 1.15 * size
    assert max(shares) >= SHARE, shares
