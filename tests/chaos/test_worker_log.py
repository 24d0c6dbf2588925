from pathlib import Path

import orjson

from stream.tools.chaos.worker_log import FleetHistory, Hang, WorkerLog

HANGS = {
    "event": "loop hangs",
    "what": "a call of the client library does not return",
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
    what = "a call of the client library does not return"
    assert history.hangs == [Hang("worker-1", what, "sink.py:155 send_offsets")]
