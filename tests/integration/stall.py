"""Prints the stall after a kill -9 under each group protocol, with sessions of 45 s: `hatch run stall`."""

import tempfile
from pathlib import Path

from support.environment import own_env
from support.stall import stall_s
from support.topics import make_topics

from stream.broker.embedded import EmbeddedBroker

STATIC_S_MAX, DYNAMIC_S_MAX = 2.0, 45.0 + 2.0
CASES = {
    "classic": ({"STREAM_GROUP_PROTOCOL": "classic"}, STATIC_S_MAX),
    "consumer": ({"STREAM_GROUP_PROTOCOL": "consumer"}, DYNAMIC_S_MAX),
}


def main() -> None:
    with EmbeddedBroker() as broker:
        for name, (settings, seconds_max) in CASES.items():
            with tempfile.TemporaryDirectory() as folder:
                env = make_topics(own_env(broker.bootstrap_servers, Path(folder)), partitions=2)
                stalled_s = stall_s({**env, **settings}, Path(folder), 90)
                print(f"{name}: {stalled_s:.1f} s", flush=True)  # noqa: T201
                assert stalled_s < seconds_max, f"the limit is {seconds_max} s"


if __name__ == "__main__":
    main()
