"""Prints the stall after kill -9 under each membership, at Kafka's own session of 45 s: `hatch run stall`."""

import tempfile
from pathlib import Path

from support.environment import own_env
from support.stall import stall_s
from support.topics import make_topics

from stream.broker.embedded import EmbeddedBroker

CASES = {
    "classic, static member": {"STREAM_GROUP_PROTOCOL": "classic", "STREAM_STATIC_MEMBERSHIP": "true"},
    "classic, dynamic member": {"STREAM_GROUP_PROTOCOL": "classic"},
    "consumer, dynamic member": {"STREAM_GROUP_PROTOCOL": "consumer"},
}


def main() -> None:
    with EmbeddedBroker() as broker:
        for name, settings in CASES.items():
            with tempfile.TemporaryDirectory() as folder:
                env = make_topics(own_env(broker.bootstrap_servers, Path(folder)), partitions=2)
                print(f"{name}: {stall_s({**env, **settings}, Path(folder), 90):.1f} s", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
