"""Chooses the Kafka versions to test."""

import pytest

from stream.broker.jars import versions


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kafka_version" in metafunc.fixturenames:
        given = metafunc.config.getoption("--kafka")
        chosen = given.split(",") if given else [versions()[0], versions()[-1]]
        metafunc.parametrize("kafka_version", versions() if given == "all" else chosen, scope="module")
