from collections.abc import Iterator
from pathlib import Path

import pytest
from support.environment import SHORT_SESSIONS, own_env
from support.firing import Prometheus, run_prometheus
from support.ops import PROMETHEUS, docker, image
from support.scene import Scene
from support.topics import make_topics

from stream.broker.embedded import EmbeddedBroker


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    if not docker():
        pytest.skip("no Docker engine")
    if not image(PROMETHEUS, pull=True):
        pytest.skip(f"the image {PROMETHEUS} is not available")
    with run_prometheus() as running:
        yield running


@pytest.fixture
def own_broker(prometheus: Prometheus, tmp_path: Path) -> Iterator[Scene]:
    """A scene whose broker may be stopped."""
    with EmbeddedBroker(properties=SHORT_SESSIONS, heap_mib=512) as broker:
        env = make_topics(own_env(broker.bootstrap_servers, tmp_path), partitions=2)
        scene = Scene(broker, prometheus, env, tmp_path)
        yield scene
        scene.close()
