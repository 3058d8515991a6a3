"""A TCP proxy between the workers and the server, which cuts connections: all at once, or at one exact moment.

The exact moment is kombu's gap (celery#7950): the server has taken a message out of its queue, and nobody has it.
- `gap`: the reply to BRPOP has left the server, and the worker never receives it;
- `record`: the worker has received it, and its note of that never reaches the server.

It reads of the protocol what these two need: the first bytes of a reply, the names in a request.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Literal

Moment = Literal["gap", "record"]
READ_BYTES = 65_536
MESSAGE = b"*2\r\n"
"""How the reply begins that brings a message; one without says null."""


class Proxy:
    """Listens at construction, on a thread of its own; `cuts` counts the exact ones."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._armed: list[tuple[Moment, int]] = []
        self.cuts = 0
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-proxy", daemon=True)
        self._thread.start()
        starting = asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._listening = asyncio.run_coroutine_threadsafe(starting, self._loop).result(timeout=10)
        self.port: int = self._listening.sockets[0].getsockname()[1]

    def arm(self, moment: Moment, *, let_pass: int = 0) -> None:
        """Cut one connection when this moment comes, after it has come `let_pass` times."""
        self._armed.append((moment, let_pass))

    def disarm(self) -> None:
        """Forget the cuts that have not come."""
        self._armed.clear()

    def cut_all(self) -> int:
        """Reset every connection now; says how many there were."""
        links = list(self._links)
        for link in links:
            self._loop.call_soon_threadsafe(link.cut)
        return len(links)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    def strikes(self, moment: Moment) -> bool:
        """Whether to cut now, as this moment has come."""
        place = next((at for at, armed in enumerate(self._armed) if armed[0] == moment), None)
        if place is None:
            return False
        let_pass = self._armed.pop(place)[1]
        if let_pass:
            self._armed.append((moment, let_pass - 1))
            return False
        self.cuts += 1
        return True

    async def _end(self) -> None:
        self._listening.close()
        for link in list(self._links):
            link.cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()  # the server is down: so is the way to it
            return
        link = _Link(self, writer, server[1])
        self._links.add(link)
        await asyncio.gather(link.pump(reader, server[1], link.asks), link.pump(server[0], writer, link.answers))
        self._links.discard(link)


class _Link:
    """One connection: what one end sends goes to the other, unless the moment for a cut has come."""

    def __init__(self, proxy: Proxy, *ends: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._ends = ends
        self._waiting = False

    def cut(self) -> None:
        """Reset both ends."""
        for end in self._ends:
            end.transport.abort()

    def asks(self, data: bytes) -> bool:
        """Whether to cut instead of passing a request on."""
        if b"BRPOP" in data:
            self._waiting = True
        return b"HSET" in data and b"unacked-index" in data and self._proxy.strikes("record")

    def answers(self, data: bytes) -> bool:
        """Whether to cut instead of passing a reply on."""
        came = self._waiting and data.startswith(MESSAGE)
        self._waiting = False
        return came and self._proxy.strikes("gap")

    async def pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, cuts: Callable[[bytes], bool]
    ) -> None:
        try:
            while data := await source.read(READ_BYTES):
                if cuts(data):
                    break
                target.write(data)
                await target.drain()
        except OSError:
            pass  # one end is gone, and so the other goes below
        self.cut()
