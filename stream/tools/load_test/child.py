"""A child process that takes orders on standard input and answers on standard output: both ends of it."""

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
from stream.tools.load_test.messages import M, Message, Said, line_of, read_line

_CLOSE_S_MAX = 5.0
_SHOWN_LINES = 15

O = TypeVar("O", bound=Message)  # noqa: E741 - an order


class Overdue(Fatal):
    """A child did not come to what it was waited for in time; it runs."""


class Parent:
    """Who ordered, as the child sees it. When it is gone, so are we."""

    def __init__(self, orders: BinaryIO, answers: BinaryIO) -> None:
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._orders = orders
        self._answers = answers
        threading.Thread(target=self._listen, daemon=True, name="orders").start()

    def hear(self, kind: type[M]) -> M:
        """Wait for the next message."""
        return read_line(self._lines.get(), kind)

    def told(self, kind: type[M]) -> M | None:
        """Return the next message if there is one."""
        return None if self._lines.empty() else self.hear(kind)

    def say(self, said: Said) -> None:
        """Say something."""
        self._answers.write(line_of(said))
        self._answers.flush()

    def _listen(self) -> None:
        for line in self._orders:
            self._lines.put(line)
        os._exit(1)  # nobody is there who would want to know


def run_child(kind: type[O], run: Callable[[O, Parent], Said]) -> None:
    """Be the child: hear the order, carry it out, say how it ended."""
    # Not buffered: the lock of a buffer that a thread reads from lets the interpreter end with a fatal error.
    parent = Parent(FileIO(sys.stdin.fileno(), closefd=False), sys.stdout.buffer)
    try:
        said = run(parent.hear(kind), parent)
    except StreamError as error:
        said = Said(done=True, failed=str(error))
    parent.say(said)


class Child:
    """A child, as its parent sees it; its last word is kept.

    Attributes:
        last: what it said last.
    """

    def __init__(self, module: str, order: Message, env: Mapping[str, str], log: Path) -> None:
        self._name = module.rsplit(".", maxsplit=1)[-1]
        self._log = log
        self._said: queue.SimpleQueue[Said | None] = queue.SimpleQueue()
        self.last = Said(ready=False)
        with log.open("wb") as printed:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                env=env,
                start_new_session=True,  # a Ctrl-C in the terminal is ours to handle
            )
        self._listener = threading.Thread(target=self._listen, daemon=True, name=self._name)
        self._listener.start()
        self.tell(order)

    def tell(self, message: Message) -> None:
        """Tell it something; nothing, where it is done.

        Raises:
            Fatal: it failed or is gone.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line_of(message))
            self._process.stdin.flush()
        except BrokenPipeError as error:  # it is gone, but may have come to its end before it was told
            self._listener.join(_CLOSE_S_MAX)
            if not self.look().done:
                raise self._gone() from error

    def look(self, wait_s: float = 0.0) -> Said:
        """Return the last that it said, after waiting for something new for a while.

        Raises:
            Fatal: it failed or is gone.
        """
        try:
            said = self._said.get(timeout=wait_s) if wait_s else self._said.get_nowait()
            while True:
                if said is None:
                    if self.last.done:
                        return self.last
                    raise self._gone()
                self.last = said
                if said.failed:
                    raise Fatal(f"the {self._name} failed: {said.failed}")
                said = self._said.get_nowait()
        except queue.Empty:
            return self.last

    def wait_for(self, holds: Callable[[Said], bool], seconds: float, tell: Callable[[Said], None]) -> Said:
        """Wait until what it says fulfils a condition, and return that.

        Raises:
            Overdue: it does not within `seconds`.
            Fatal: it failed or is gone.
        """
        deadline = monotonic() + seconds
        while not holds(said := self.look(0.1)):
            tell(said)
            if monotonic() > deadline:
                raise Overdue(f"the {self._name} did not come to an end within {seconds:.0f} s")
        return said

    def _gone(self) -> Fatal:
        with suppress(subprocess.TimeoutExpired):  # its pipes are closed a little before
            self._process.wait(_CLOSE_S_MAX)
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]
        return Fatal(f"the {self._name} ended with status {self._process.poll()}:\n" + "\n".join(lines))

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(read_line(line, Said))
        self._said.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()  # it ends then
        try:
            self._process.wait(_CLOSE_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()  # ends: nobody is there to write
        assert self._process.stdout is not None
        self._process.stdout.close()
