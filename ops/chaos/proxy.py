"""A TCP proxy between the workers and the server, which cuts connections: all at once, or at one exact moment.

The exact moment is the one in which plain Celery loses a message (celery#7950): the server has taken it out of its
queue, and the reply has left, but the worker never receives it.

It reads of the protocol what this needs: the first bytes of a reply, the names in a request.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

READ_BYTES = 65_536
MESSAGE = b"\r\n*2\r\n"
"""What stands in a reply that brings a message, behind the answer to the wait for it; one without says null."""
LOOK_BYTES = 80


class Proxy:
    """Listens at construction, on a thread of its own; `cuts` counts the exact ones."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._armed: list[int] = []
        self.cuts = 0
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-proxy", daemon=True)
        self._thread.start()
        starting = asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._listening = asyncio.run_coroutine_threadsafe(starting, self._loop).result(timeout=10)
        self.port: int = self._listening.sockets[0].getsockname()[1]

    def arm(self, *, let_pass: int = 0) -> None:
        """Cut one connection when the moment comes, after it has come `let_pass` times."""
        self._armed.append(let_pass)

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

    def strikes(self) -> bool:
        """Whether to cut now, as the moment has come."""
        if not self._armed:
            return False
        let_pass = self._armed.pop(0)
        if let_pass:
            self._armed.append(let_pass - 1)
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
        await asyncio.gather(link.pump(reader, server[1], link.passes), link.pump(server[0], writer, link.answers))
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

    def passes(self, request: bytes) -> bool:
        """Always: a request is only looked at."""
        self._waiting = self._waiting or b"BZPOPMIN" in request
        return True

    def answers(self, reply: bytes) -> bool:
        """Whether to pass a reply on; if not, the connection is cut."""
        came = self._waiting and MESSAGE in reply[:LOOK_BYTES]
        self._waiting = False
        return not (came and self._proxy.strikes())

    async def pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, passes: Callable[[bytes], bool]
    ) -> None:
        try:
            while data := await source.read(READ_BYTES):
                if not passes(data):
                    break
                target.write(data)
                await target.drain()
        except OSError:
            pass  # one end is gone, and so the other goes below
        self.cut()
