"""Reads the code blocks of a documentation page, and runs its commands in order.

A comment on the line before a block changes how it is treated:

    <!-- test: background TEXT -->   start it; continue when its output contains TEXT
    <!-- test: status N -->          it must exit with status N instead of 0
    <!-- test: skip REASON -->       do not run it
    <!-- test: file NAME -->         write it to a file
    <!-- test: python -->            run it with Python
    <!-- test: output -->            its lines must occur in the output of the block before, in this order;
                                     `…` is any text
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

COMMAND_S = 120.0
_BLOCK = re.compile(
    r"(?:^[ ]*<!-- test: (?P<directive>[a-z]+)(?: (?P<argument>[^\n]+?))? -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_DIRECTIVES = {"background", "status", "skip", "file", "python", "output"}


@dataclass(frozen=True, slots=True)
class Block:
    """A code block of a page.

    Attributes:
        line: the number of its first line of code.
        directive: how the block is treated: `run`, the word of its comment, or `text` for a block that is
            only shown.
    """

    line: int
    language: str
    code: str
    directive: str
    argument: str


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a page in order."""
    comments = len(re.findall(r"<!-- test:", text))
    for match in _BLOCK.finditer(text):
        directive = match["directive"] or ("run" if match["language"] == "sh" else "text")
        comments -= match["directive"] is not None
        assert directive in _DIRECTIVES | {"run", "text"}, f"unknown: {match[0]}"
        code = re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE)
        line = text.count("\n", 0, match.start("code")) + 1
        yield Block(line, match["language"], code, directive, match["argument"] or "")
    assert not comments, "a comment `test:` is not on the line before a block"


@dataclass(slots=True)
class Page:
    """Runs the blocks of a page in one folder.

    Attributes:
        env: environment of the commands.
        replaced: text of the page -> its replacement in the test.
        commands: number of blocks that were run.
    """

    path: Path
    folder: Path
    env: Mapping[str, str]
    replaced: Mapping[str, str]
    commands: int = 0
    _output: str = ""
    _background: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self) -> None:
        """Run all blocks.

        Raises:
            AssertionError: a command exited with another status, took too long, or its output differs.
        """
        try:
            for block in blocks(self.path.read_text(encoding="utf-8")):
                self._run(block)
        finally:
            self._end()

    def _run(self, block: Block) -> None:
        code = block.code
        for old, new in self.replaced.items():
            code = code.replace(old, new)
        where = f"{self.path.name}, line {block.line}"
        match block.directive:
            case "run" | "status" | "python":
                command = [sys.executable] if block.directive == "python" else ["bash", "-euo", "pipefail"]
                self._execute([*command, "-c", code], int(block.argument or 0), where)
            case "background":
                self._start(code, block.argument, where)
            case "file":
                (self.folder / block.argument).write_text(code, encoding="utf-8")
            case "output":
                assert_output(code, self._output, where)
            case _:
                pass

    def _execute(self, command: list[str], status: int, where: str) -> None:
        with (self.folder / ".output").open("w+b") as output:  # a pipe would wait for background processes
            done = subprocess.run(
                command, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, timeout=COMMAND_S, check=False,
            )  # fmt: skip
            output.seek(0)
            self._output = output.read().decode()
        assert done.returncode == status, f"{where}: status {done.returncode}, not {status}\n{self._output}"
        self.commands += 1

    def _start(self, code: str, text: str, where: str) -> None:
        log = self.folder / f".background-{len(self._background)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", code], cwd=self.folder, env=self.env,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._background.append(process)
        deadline = time.monotonic() + COMMAND_S
        while text not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, f"{where}: it exited\n{log.read_text(encoding='utf-8')}"
            assert time.monotonic() < deadline, f"{where}: no {text!r}\n{log.read_text(encoding='utf-8')}"
            time.sleep(0.1)
        self.commands += 1

    def _end(self) -> None:
        for process in reversed(self._background):
            _signal_group(process, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                _signal_group(process, signal.SIGKILL)
                process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the process group, if it is still running."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def assert_output(expected: str, output: str, where: str) -> None:
    """Check that the expected lines occur in this order."""
    lines = iter(output.splitlines())
    for line in filter(str.strip, expected.splitlines()):
        pattern = re.compile(".*".join(map(re.escape, line.strip().split("…"))))
        assert any(pattern.search(each) for each in lines), f"{where}: not in the output: {line}\n{output}"
