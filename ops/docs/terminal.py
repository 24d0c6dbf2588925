"""Records a command on a terminal and draws its last screen: `python ops/docs/terminal.py`.

The picture is docs/pictures/demo.svg. No test compares it, because times and ports differ in each run.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs/pictures/demo.svg"
COLUMNS, LINES = 100, 60
# Rich's own template loads a font from another host.
TEMPLATE = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def record(command: Sequence[str]) -> list[Text]:
    """Run the command on a terminal; return the lines of its last screen."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    main, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    env = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
    process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=env, cwd=ROOT)
    os.close(child)
    while True:
        try:
            data = os.read(main, 65_536)
        except OSError:  # the last process has closed the terminal
            break
        if not data:
            break
        stream.feed(data)
    if process.wait():
        sys.exit(f"{' '.join(command)} ended with status {process.returncode}")
    lines = [_line(screen, number) for number in range(LINES)]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    return lines


def _line(screen: pyte.Screen, number: int) -> Text:
    chars = [screen.buffer[number][column] for column in range(COLUMNS)]
    line = Text()
    for style, run in groupby(chars, _style):
        line.append("".join(char.data for char in run), style)
    line.rstrip()
    return line


def _style(char: Any) -> Style:  # noqa: ANN401 - pyte has no types
    """Return the style of a character; pyte names colors as terminals do, or writes them in hex."""
    color = char.fg.replace("brown", "yellow").replace("bright", "bright_")
    if re.fullmatch("[0-9a-f]{6}", color):
        color = f"#{color}"
    return Style(color=None if color == "default" else color, bold=char.bold, italic=char.italics)


def draw(lines: Sequence[Text], title: str) -> str:
    """Return the picture of a terminal with these lines."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(
            record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor"
        )
        for line in lines:
            console.print(line, soft_wrap=True)
        return console.export_svg(title=title, code_format=TEMPLATE, unique_id="demo")


if __name__ == "__main__":
    shown = Text("$ hatch run demo", "bold")
    PICTURE.write_text(draw([shown, *record(["anagram-stream", "demo"])], "anagram-stream"), encoding="utf-8")
