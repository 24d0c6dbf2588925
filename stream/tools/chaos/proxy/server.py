"""The proxy: a thread with an event loop; it opens one connection to the broker per client connection."""

import asyncio
import contextlib
import socket
import threading
from collections import Counter, deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from stream.tools.chaos.proxy.error_responses import error_response
from stream.tools.chaos.proxy.metadata import without_brokers
from stream.tools.chaos.proxy.rules import Api, Delay, Disconnect, Error, NoBrokers, Rule
from stream.tools.chaos.proxy.wire import RequestHeader, read_header

HOST, ADDRESS = "localhost", "127.0.0.1"
_LENGTH = 4
_BUFFER_BYTES = 1 << 20
_START_S_MAX = 10.0
_NAMES = {int(api): api.name for api in Api}


@dataclass(slots=True)
class _PendingResponse:
    """A response that a client waits for; a client receives responses in the order of its requests.

    Attributes:
        own: the response of the proxy; None if the broker responds.
        delay_s: how long the response is held.
        cut: whether the connection is closed instead.
        emptied: version of a metadata request whose response loses its brokers.
    """

    own: bytes | None = None
    delay_s: float = 0.0
    cut: bool = False
    emptied: int | None = None


@dataclass(slots=True, eq=False)
class _Connection:
    """The connections of one client: from the client, and from here to the broker."""

    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    broker: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    pending: deque[_PendingResponse] = field(default_factory=deque)

    def close(self) -> None:
        """Close both connections at once."""
        for _, writer in (self.client, self.broker):
            writer.transport.abort()

    async def flush_own(self) -> None:
        """Send the responses of the proxy that do not have to wait for a response of the broker."""
        while self.pending and (own := self.pending[0].own) is not None:
            self.pending.popleft()
            await _send(self.client[1], own)


class FaultProxy:
    """Forwards requests to a broker, except those that a rule affects.

    Attributes:
        port: its port, open from construction on, so that a broker can advertise it.
        seen: number of requests by name.
        injected: number of faults by request and action.
        failed: why a rule could not be applied; `check` raises it.
    """

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((ADDRESS, port))
        self.port: int = self._socket.getsockname()[1]
        self.seen: Counter[str] = Counter()
        self.injected: Counter[tuple[str, str]] = Counter()
        self.failed = ""
        self._target = ("", 0)
        self._rules: tuple[Rule, ...] = ()  # replaced as a whole: the loop reads it without a lock
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._connections: set[_Connection] = set()
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """Address for `bootstrap.servers` of a client."""
        return f"{HOST}:{self.port}"

    def start(self, target: str) -> Self:
        """Forward to `target` (`host:port`), which need not be available yet."""
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True, name="proxy")
        self._thread.start()
        assert ready.wait(_START_S_MAX)
        return self

    def close(self) -> None:
        """Close all connections and the port."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_START_S_MAX)
            self._thread = None
        self._socket.close()

    def add(self, rule: Rule) -> Rule:
        """Apply a rule from now on; the first rule that affects a request is applied."""
        with self._lock:
            self._rules = (*self._rules, rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Remove a rule; requests that it holds are forwarded after their delay."""
        with self._lock:
            self._rules = tuple(each for each in self._rules if each is not rule)

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._rules = ()

    def check(self) -> None:
        """Raise AssertionError if a rule could not be applied: a fault was counted and not injected."""
        assert not self.failed, self.failed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, ready: threading.Event) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(
            asyncio.start_server(self._accept, sock=self._socket, limit=_BUFFER_BYTES)
        )
        ready.set()
        loop.run_forever()
        server.close()
        for connection in self._connections:
            connection.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            broker = await asyncio.open_connection(*self._target, limit=_BUFFER_BYTES)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection((reader, writer), broker)
        self._connections.add(connection)
        halves = [self._forward_requests(connection), self._forward_responses(connection)]
        tasks = [asyncio.ensure_future(_until_closed(half)) for half in halves]
        try:
            with contextlib.suppress(
                asyncio.CancelledError
            ):  # `close` cancels; asyncio would print it as an error
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            connection.close()
            self._connections.discard(connection)
            for task in tasks:
                task.cancel()

    async def _forward_requests(self, connection: _Connection) -> None:
        while True:  # ends: with the connection
            frame = await _receive(connection.client[0])
            header = read_header(frame)
            name = _NAMES.get(header.api, str(header.api))
            self.seen[name] += 1
            rule = next((rule for rule in self._rules if rule.applies(header.api, header.client)), None)
            if rule is not None:
                self.injected[name, str(rule.action)] += 1
            if not await self._apply(rule, connection, header, frame):
                return

    async def _apply(
        self, rule: Rule | None, connection: _Connection, header: RequestHeader, frame: bytes
    ) -> bool:
        """Apply the rule to a request; return whether the connection stays open."""
        pending = _PendingResponse()
        match rule.action if rule is not None else None:
            case Disconnect(after=False):
                return False
            case Disconnect(after=True):
                pending.cut = True
            case Delay(seconds=seconds, after=False):
                await asyncio.sleep(seconds)
            case Delay(seconds=seconds, after=True):
                pending.delay_s = seconds
            case NoBrokers():
                pending.emptied = header.version
            case Error(code=code):
                try:
                    pending.own = error_response(header, frame, code)
                except NotImplementedError as error:
                    self.failed = str(error)
                    return False
        connection.pending.append(pending)
        if pending.own is None:
            await _send(connection.broker[1], frame)
        else:
            await connection.flush_own()
        return True

    @staticmethod
    async def _forward_responses(connection: _Connection) -> None:
        while True:  # ends: with the connection
            frame = await _receive(connection.broker[0])
            pending = connection.pending[
                0
            ]  # stays until it is sent, so that no response of the proxy overtakes it
            if pending.cut:
                return
            if pending.delay_s:
                await asyncio.sleep(pending.delay_s)
            if pending.emptied is not None:
                frame = without_brokers(frame, pending.emptied)
            await _send(connection.client[1], frame)
            connection.pending.popleft()
            await connection.flush_own()


async def _receive(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(_LENGTH))
    return await reader.readexactly(length)


async def _send(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.writelines((len(frame).to_bytes(_LENGTH), frame))
    await writer.drain()


async def _until_closed(half: Coroutine[None, None, None]) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await half
