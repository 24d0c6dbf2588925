import subprocess
import sys
from pathlib import Path

import pytest

from stream.config import load_settings
from stream.errors import Fatal
from stream.json_lines import encode_line
from stream.tools.child_environment import child_environment
from stream.tools.load_test.child import Child, Overdue
from stream.tools.load_test.messages import GeneratorOrder, ReaderOrder, Status, Stop
from stream.tools.load_test.texts import Recipe

NO_BROKER = {"STREAM_BOOTSTRAP_SERVERS": "localhost:1"}


def environment(**more: str) -> dict[str, str]:
    return child_environment(load_settings(), **NO_BROKER, **more)


def read_order(folder: Path) -> ReaderOrder:
    return ReaderOrder(prefix="b", start={0: 0}, first=0, blobs=1, file=folder / "arrivals")


def test_child_exits_with_its_parent(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "stream.tools.load_test.reader"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encode_line(read_order(tmp_path)))
        process.stdin.flush()
        assert process.stdout.readline()  # it has started
        process.stdin.close()  # as if the parent had been killed
        assert process.wait(20) == 1


def test_child_that_finishes_before_its_stop_order_is_done(tmp_path: Path) -> None:
    order = ReaderOrder(prefix="b", start={0: 0}, first=0, blobs=0, file=tmp_path / "arrivals")
    with Child("stream.tools.load_test.reader", order, environment(), tmp_path / "log") as reader:
        assert reader._process.wait(60) == 0
        reader.send(Stop(blobs=0))
        assert reader.poll().done
        assert reader.wait_for(lambda status: status.done, 5, lambda _: None).count == 0


def test_child_that_does_not_finish_in_time_is_overdue(tmp_path: Path) -> None:
    with Child(
        "stream.tools.load_test.reader", read_order(tmp_path), environment(), tmp_path / "log"
    ) as reader:
        reader.wait_for(lambda status: status.ready, 60, lambda _: None)
        statuses: list[Status] = []
        with pytest.raises(Overdue, match="reader did not finish within 0 s"):
            reader.wait_for(lambda status: status.done, 0.3, statuses.append)
        assert statuses


def test_child_that_exits_unexpectedly_is_an_error_with_its_last_lines(tmp_path: Path) -> None:
    with (
        Child(
            "stream.tools.load_test.nothing", read_order(tmp_path), environment(), tmp_path / "log"
        ) as child,
        pytest.raises(
            Fatal, match=r"nothing exited with status 1:\n.*No module named stream.tools.load_test.nothing"
        ),
    ):
        child.wait_for(lambda status: status.done, 60, lambda _: None)


def test_child_reports_its_error(tmp_path: Path) -> None:
    order = GeneratorOrder(prefix="b", recipe=Recipe(1, 1, 0, 1), partitions=1, first=0, blobs=1, rate=0)
    env = environment(STREAM_DICTIONARY="no-such-file")
    with (
        Child("stream.tools.load_test.generator", order, env, tmp_path / "log") as child,
        pytest.raises(Fatal, match="the generator failed: STREAM_DICTIONARY: cannot read no-such-file"),
    ):
        child.wait_for(lambda status: status.done, 60, lambda _: None)
