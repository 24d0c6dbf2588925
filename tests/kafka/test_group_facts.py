"""What the cluster reports about group protocols."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import cast

import pytest

from stream.errors import Retriable
from stream.kafka.clients import Admin
from stream.kafka.group_protocol import read_group_facts


def test_cluster_that_lists_no_broker_is_asked_again() -> None:
    described: Future[object] = Future()
    described.set_result(SimpleNamespace(nodes=[]))
    admin = SimpleNamespace(describe_cluster=lambda **_: described, wait_for=lambda futures: futures)
    with pytest.raises(Retriable, match="lists no broker"):
        read_group_facts(cast("Admin", admin), "group")
