from pathlib import Path

import orjson

from stream.tools.chaos.worker_log import FleetHistory, Hang, WorkerLog

HANGS = {
    "event": "loop hangs",
    "what": "a call to the client library does not return",
    "stacks": {
        "MainThread": [
            "/app/stream/worker/transaction.py:40 transact",
            "/app/stream/kafka/sink.py:155 send_offsets",
            "/app/stream/kafka/sink.py:226 _call",
            "/app/stream/kafka/sink.py:155 <lambda>",
        ],
        "watchdog": ["/app/stream/telemetry/watchdog.py:99 check"],
    },
}


def test_restart_after_a_hang_is_counted_with_the_call_that_hung(tmp_path: Path) -> None:
    history = FleetHistory()
    log = WorkerLog("worker-1", tmp_path, history)
    log._apply(orjson.loads(orjson.dumps(HANGS)))
    what = "a call to the client library does not return"
    assert history.hangs == [Hang("worker-1", what, "sink.py:155 send_offsets")]


def test_crash_is_kept_with_its_last_lines_and_an_orderly_exit_is_not() -> None:
    history = FleetHistory()
    history.add_exit("worker-0", 1, ["error: refused"])
    history.add_exit("worker-1", 134, [str(number) for number in range(9)] + ["Assertion failed"])
    assert history.exits == {1: 1, 134: 1}
    (crash,) = history.crashes
    assert crash.startswith("worker-1: exit status 134\n")
    assert crash.endswith("Assertion failed")
    assert "  5\n" in crash
    assert "  4\n" not in crash
