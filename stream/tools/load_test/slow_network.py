"""A slow network between workers and a broker, which delays everything that the broker sends."""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from types import TracebackType
from typing import Self

_HOST, _ADDRESS = "localhost", "127.0.0.1"
_READ_BYTES = 1 << 16
_START_S_MAX = 10.0


class SlowNetwork:
    """Forwards connections to a broker. Each byte from the broker is delayed, and none delays another.

    Attributes:
        port: its port, open from construction on, so that a broker can advertise it.
        delay_s: may be changed at any time.
    """

    def __init__(self) -> None:
        self._socket = socket.create_server((_ADDRESS, 0))
        # Connections inherit it from their listener. asyncio sets it only on sockets that it created; without
        # it, a small response may wait 40 ms for the acknowledgement of the previous one.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self._socket.getsockname()[1]
        self.delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._target = ("", 0)

    @property
    def address(self) -> str:
        """Address for `bootstrap.servers` of a client."""
        return f"{_HOST}:{self.port}"

    def start(self, target: str) -> Self:
        """Forward to `target` (`host:port`)."""
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True, name="slow network")
        self._thread.start()
        assert ready.wait(_START_S_MAX)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_START_S_MAX)
        self._socket.close()

    def _run(self, ready: threading.Event) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(asyncio.start_server(self._accept, sock=self._socket))
        ready.set()
        loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # at the end; asyncio would print it as an error
            try:
                from_broker, to_broker = await asyncio.open_connection(*self._target)
            except OSError:
                writer.transport.abort()
                return
            halves = self._forward(reader, to_broker), self._forward(from_broker, writer, is_delayed=True)
            try:
                await asyncio.wait(map(asyncio.ensure_future, halves), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in (writer, to_broker):
                    each.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_delayed: bool = False
    ) -> None:
        held = deque[bytes]()

        def deliver() -> None:
            writer.write(held.popleft())  # in order, whichever timer fires first

        with contextlib.suppress(OSError):
            while received := await reader.read(_READ_BYTES):
                held.append(received)
                if is_delayed and self.delay_s:
                    self._loop.call_later(self.delay_s, deliver)
                else:
                    deliver()
