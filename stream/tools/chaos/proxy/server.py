"""The proxy itself: a thread with an event loop, a pair of connections for each client's."""

import asyncio
import contextlib
import socket
import threading
from collections import Counter, deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from stream.tools.chaos.proxy.answers import answer
from stream.tools.chaos.proxy.rules import Api, Delay, Disconnect, Error, Rule
from stream.tools.chaos.proxy.wire import RequestHeader, read_header

HOST, ADDRESS = "localhost", "127.0.0.1"
_LENGTH = 4
_BUFFER_BYTES = 1 << 20
_START_S_MAX = 10.0
_NAMES = {int(api): api.name for api in Api}


@dataclass(slots=True)
class _Awaited:
    """A response that a client waits for, in the order of its requests.

    Attributes:
        own: ours; None: the broker's.
        delay_s: to hold it for.
        cut: the connection ends in its place.
    """

    own: bytes | None = None
    delay_s: float = 0.0
    cut: bool = False


@dataclass(slots=True, eq=False)
class _Connection:
    """A client's connection and ours to the broker; responses go back in the order of the requests."""

    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    broker: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    awaited: deque[_Awaited] = field(default_factory=deque)

    def close(self) -> None:
        """Close both, without a farewell."""
        for _, writer in (self.client, self.broker):
            writer.transport.abort()

    async def flush_own(self) -> None:
        """Send what is ours and has nothing before it."""
        while self.awaited and (own := self.awaited[0].own) is not None:
            self.awaited.popleft()
            await _send(self.client[1], own)


class FaultProxy:
    """Passes requests on to a broker, but for those that a rule meets.

    Attributes:
        port: it listens there from the start on, so that a broker can be told; 0 chose a free one.
        seen: requests by name.
        injected: faults by request and action.
        failed: why a rule could not be obeyed; raised by `check`.
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
        self._rules: tuple[Rule, ...] = ()  # replaced whole: the loop reads it without a lock
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._connections: set[_Connection] = set()
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """What a client's `bootstrap.servers` takes."""
        return f"{HOST}:{self.port}"

    def start(self, target: str) -> Self:
        """Pass on to `target`, host and port, which may come and go."""
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True, name="proxy")
        self._thread.start()
        assert ready.wait(_START_S_MAX)
        return self

    def close(self) -> None:
        """Close all connections, and the port."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_START_S_MAX)
            self._thread = None
        self._socket.close()

    def add(self, rule: Rule) -> Rule:
        """Obey a rule from now on; the first that meets a request is obeyed."""
        with self._lock:
            self._rules = (*self._rules, rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Obey it no more; what it holds is let go in its time."""
        with self._lock:
            self._rules = tuple(each for each in self._rules if each is not rule)

    def clear(self) -> None:
        """Obey no rule."""
        with self._lock:
            self._rules = ()

    def check(self) -> None:
        """Raise AssertionError if a rule could not be obeyed: a fault that was claimed and not done."""
        assert not self.failed, self.failed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
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
        halves = [self._pass_requests(connection), self._pass_responses(connection)]
        tasks = [asyncio.ensure_future(_until_closed(half)) for half in halves]
        try:
            with contextlib.suppress(asyncio.CancelledError):  # we close; asyncio would print it as an error
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            connection.close()
            self._connections.discard(connection)
            for task in tasks:
                task.cancel()

    async def _pass_requests(self, connection: _Connection) -> None:
        while True:  # ends: with the connection
            frame = await _receive(connection.client[0])
            header = read_header(frame)
            name = _NAMES.get(header.api, str(header.api))
            self.seen[name] += 1
            rule = next((rule for rule in self._rules if rule.takes(header.api, header.client)), None)
            if rule is not None:
                self.injected[name, str(rule.action)] += 1
            if not await self._obey(rule, connection, header, frame):
                return

    async def _obey(
        self, rule: Rule | None, connection: _Connection, header: RequestHeader, frame: bytes
    ) -> bool:
        """Do as the rule says; return whether the connection goes on."""
        awaited = _Awaited()
        match rule.action if rule is not None else None:
            case Disconnect(after=False):
                return False
            case Disconnect(after=True):
                awaited.cut = True
            case Delay(seconds=seconds, after=False):
                await asyncio.sleep(seconds)
            case Delay(seconds=seconds, after=True):
                awaited.delay_s = seconds
            case Error(code=code):
                try:
                    awaited.own = answer(header, frame, code)
                except NotImplementedError as error:
                    self.failed = str(error)
                    return False
        connection.awaited.append(awaited)
        if awaited.own is None:
            await _send(connection.broker[1], frame)
        else:
            await connection.flush_own()
        return True

    @staticmethod
    async def _pass_responses(connection: _Connection) -> None:
        while True:  # ends: with the connection
            frame = await _receive(connection.broker[0])
            awaited = connection.awaited[0]  # it stays there until it is sent: nothing of ours overtakes it
            if awaited.cut:
                return
            if awaited.delay_s:
                await asyncio.sleep(awaited.delay_s)
            await _send(connection.client[1], frame)
            connection.awaited.popleft()
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
