"""A child process that takes orders on standard input and reports on standard output: both sides."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

from stream.errors import Fatal, StreamError
from stream.json_lines import M, Message, decode_line, encode_line
from stream.tools.load_test.messages import Status

_CLOSE_S_MAX = 5.0
_LAST_LINES = 15

OrderT = TypeVar("OrderT", bound=Message)


class Overdue(Fatal):
    """A running child did not reach a condition in time."""


class Parent:
    """The parent process, as seen by the child. The child exits when the parent exits."""

    def __init__(self, orders: BinaryIO, reports: BinaryIO) -> None:
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._orders = orders
        self._reports = reports
        threading.Thread(target=self._read, daemon=True, name="orders").start()

    def receive(self, kind: type[M]) -> M:
        """Wait for the next order."""
        return _decode(self._lines.get(), kind)

    def receive_nowait(self, kind: type[M]) -> M | None:
        """Return the next order if one has arrived."""
        return None if self._lines.empty() else self.receive(kind)

    def report(self, status: Status) -> None:
        self._reports.write(encode_line(status))
        self._reports.flush()

    def _read(self) -> None:
        for line in self._orders:
            self._lines.put(line)
        os._exit(1)  # the parent has exited


def run_child(kind: type[OrderT], run: Callable[[OrderT, Parent], Status]) -> None:
    """Run the child: receive the order, carry it out, report the outcome."""
    # Unbuffered: if a thread holds the lock of a buffered reader, the interpreter exits with a fatal error.
    parent = Parent(FileIO(sys.stdin.fileno(), closefd=False), sys.stdout.buffer)
    try:
        status = run(parent.receive(kind), parent)
    except StreamError as error:
        status = Status(done=True, failed=str(error))
    parent.report(status)


class Child:
    """A child process, as seen by its parent.

    Attributes:
        last_status: the last status that was read.
    """

    def __init__(self, module: str, order: Message, env: Mapping[str, str], log: Path) -> None:
        self._name = module.rsplit(".", maxsplit=1)[-1]
        self._log = log
        self._statuses: queue.SimpleQueue[Status | None] = queue.SimpleQueue()
        self.last_status = Status(ready=False)
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=env,
                start_new_session=True,  # Ctrl-C in the terminal goes to the parent alone
            )
        self._reader = threading.Thread(target=self._read, daemon=True, name=self._name)
        self._reader.start()
        self.send(order)

    def send(self, message: Message) -> None:
        """Send an order; does nothing if the child is already done.

        Raises:
            Fatal: the child failed, or exited before it was done.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(encode_line(message))
            self._process.stdin.flush()
        except BrokenPipeError as error:  # the child may have finished before the order
            self._reader.join(_CLOSE_S_MAX)
            if not self.poll().done:
                raise self._ended() from error

    def poll(self, wait_s: float = 0.0) -> Status:
        """Return the last status; wait at most `wait_s` for a new one.

        Raises:
            Fatal: the child failed, or exited before it was done.
        """
        try:
            status = self._statuses.get(timeout=wait_s) if wait_s else self._statuses.get_nowait()
            while True:
                if status is None:
                    if self.last_status.done:
                        return self.last_status
                    raise self._ended()
                self.last_status = status
                if status.failed:
                    raise Fatal(f"the {self._name} failed: {status.failed}")
                status = self._statuses.get_nowait()
        except queue.Empty:
            return self.last_status

    def wait_for(
        self, condition: Callable[[Status], bool], seconds: float, on_progress: Callable[[Status], None]
    ) -> Status:
        """Wait for a status that fulfills the condition, and return it.

        Raises:
            Overdue: no status fulfills the condition within `seconds`.
            Fatal: the child failed, or exited before it was done.
        """
        deadline = monotonic() + seconds
        while not condition(status := self.poll(0.1)):
            on_progress(status)
            if monotonic() > deadline:
                raise Overdue(f"the {self._name} did not finish within {seconds:.0f} s")
        return status

    def _ended(self) -> Fatal:
        with suppress(subprocess.TimeoutExpired):  # its pipes are closed shortly before it exits
            self._process.wait(_CLOSE_S_MAX)
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        return Fatal(f"the {self._name} exited with status {self._process.poll()}:\n" + "\n".join(lines))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._statuses.put(_decode(line, Status))
        self._statuses.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()  # the child exits
        try:
            self._process.wait(_CLOSE_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()  # ends: the child has closed its end of the pipe
        assert self._process.stdout is not None
        self._process.stdout.close()


def _decode(line: bytes, kind: type[M]) -> M:
    try:
        return decode_line(line, kind)
    except ValueError as error:
        raise Fatal(f"not a {kind.__name__}: {line[:200]!r}") from error
