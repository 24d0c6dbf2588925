"""TLS, SASL/SCRAM and ACLs on real Kafka, and nothing said that must not be said."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest
from support.environment import SHORT_SESSIONS, SOON_ABORTED, own_env
from support.process import COMMAND, WorkerProcess
from support.secure import SecureBroker, another_ca, secure_broker
from support.topics import make_topics, produce, read, results, settings_of, totals, wait_until

from stream.kafka.access import RequiredAcl, worker_acls

pytestmark = [pytest.mark.broker, pytest.mark.embedded]

PASSWORD = "hunter2-Zq7-of-the-worker"
WITHOUT_ASKING = (
    "-c",
    """if True:
    import sys, stream.worker.startup, stream.cli.main
    stream.worker.startup.check_access = lambda *_: None
    sys.argv = ["", "worker"]
    stream.cli.main.main()
    """,
)
TEXT, KEY = "cat zqxsecrettextzqx", "zqxsecretkeyzqx"
PLACES = [
    (place, operation)
    for place, need in enumerate(worker_acls(settings_of({})))
    for operation in need.operations
]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with secure_broker(tmp_path_factory.mktemp("secure"), SHORT_SESSIONS | SOON_ABORTED) as broker:
        yield broker


@pytest.fixture
def administrator(secure: SecureBroker, tmp_path: Path) -> dict[str, str]:
    """The environment past the security, with topics."""
    return make_topics(own_env(secure.broker.bootstrap_servers, tmp_path), partitions=2)


def worker_env(
    secure: SecureBroker,
    administrator: dict[str, str],
    folder: Path,
    needs: list[RequiredAcl],
    protocol: str = "consumer",
) -> dict[str, str]:
    user = f"worker-{administrator['STREAM_GROUP_ID']}"
    secure.add_user(user, PASSWORD)
    secure.grant(user, needs)
    config = secure.client_config(folder, user, PASSWORD)
    if protocol == "classic":
        config.write_text(config.read_text() + "session.timeout.ms=6000\n")
    return {
        **administrator,
        "STREAM_BOOTSTRAP_SERVERS": secure.address,
        "STREAM_KAFKA_CONFIG": str(config),
        "STREAM_GROUP_PROTOCOL": protocol,
        "STREAM_TRANSACTION_TIMEOUT_MS": "5000",
    }


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_worker_needs_the_listed_access_and_no_more_and_tells_no_secret(
    secure: SecureBroker, administrator: dict[str, str], tmp_path: Path, protocol: str
) -> None:
    needs = worker_acls(settings_of(administrator))
    env = worker_env(secure, administrator, tmp_path, needs, protocol)
    env["STREAM_KAFKA_CONFIG"] = str(loud(Path(env["STREAM_KAFKA_CONFIG"])))
    produce(administrator, [(KEY, TEXT), (KEY, b"\xff" + TEXT.encode()), (KEY, None)])
    with WorkerProcess(env, tmp_path / "log") as worker:
        wait_until(
            lambda: len(results(administrator)) == 1 and len(read(administrator, "dead-letter")) == 2, 60
        )
        (listens,) = worker.events("telemetry listens")
        with urlopen(listens["address"] + "/metrics", timeout=5) as answer:
            metrics = answer.read().decode()
        worker.kill()
        worker.start()  # to restore as well, and to end another one's transaction
        produce(administrator, [(KEY, TEXT)])
        wait_until(lambda: len(results(administrator)) == 2, 60)
        assert worker.stop() == 0
    assert totals(administrator)["act"] == 2
    written = b"".join(
        name.encode() + (value or b"")
        for record in read(administrator, "dead-letter")
        for name, value in record.headers
    )
    assert PASSWORD not in metrics + written.decode()
    assert PASSWORD not in worker.log.read_text()
    assert "librdkafka" in worker.log.read_text()  # it is as loud as it gets
    for private in (TEXT.split()[1], KEY):
        assert private not in metrics + written.decode()
        assert private not in worker.log.read_text()


def loud(config: Path) -> Path:
    """With everything that librdkafka may log."""
    config.write_text(config.read_text() + "debug=all\n")
    return config


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize(("place", "operation"), PLACES)
def test_each_access_is_needed_and_its_want_is_one_clear_error(  # noqa: PLR0913, PLR0917
    secure: SecureBroker,
    administrator: dict[str, str],
    tmp_path: Path,
    place: int,
    operation: str,
    asks: bool,  # noqa: FBT001
) -> None:
    """Told at the start; and where a worker does not ask then, Kafka stops it at the latest after a crash."""
    needs = worker_acls(settings_of(administrator))
    lacking = needs[place]
    rest = [each for each in lacking.operations if each != operation]
    needs[place] = replace(lacking, operations=rest)
    env = worker_env(secure, administrator, tmp_path, needs)
    produce(administrator, [(None, "cat"), (None, None)] * 10)
    with WorkerProcess(env, tmp_path / "log", COMMAND if asks else WITHOUT_ASKING) as worker:
        if needed_later := not asks and (lacking.name, operation) == (env["STREAM_COUNT_TOPIC"], "Read"):
            wait_until(lambda: results(administrator), 60)
            worker.kill()
            shutil.rmtree(env["STREAM_STATE_DIR"])
            worker.start()
        assert worker.wait(90) == 1
    said = worker.log.read_text()
    (failed,) = worker.events("worker failed")
    assert "topics acls" in failed["fix"]
    assert "Traceback" not in said
    assert PASSWORD not in said
    if not needed_later:
        assert results(administrator) == []
        assert totals(administrator) == {}


def test_a_wrong_password_and_a_foreign_broker_are_one_clear_error_each(
    secure: SecureBroker, administrator: dict[str, str], tmp_path: Path
) -> None:
    env = worker_env(secure, administrator, tmp_path, worker_acls(settings_of(administrator)))
    user = f"worker-{administrator['STREAM_GROUP_ID']}"
    wrong = "hunter3-" + PASSWORD
    said = refused({**env, "STREAM_KAFKA_CONFIG": str(secure.client_config(tmp_path, user, wrong))}, tmp_path)
    assert "sasl.username and sasl.password" in said
    foreign = secure.client_config(tmp_path, user, PASSWORD, another_ca(tmp_path))
    said += refused({**env, "STREAM_KAFKA_CONFIG": str(foreign)}, tmp_path)
    assert "ssl.ca.location" in said
    missing = secure.client_config(tmp_path, user, PASSWORD, tmp_path / "nowhere.pem")
    said += refused({**env, "STREAM_KAFKA_CONFIG": str(missing)}, tmp_path, status=2)
    assert PASSWORD not in said


def test_the_doctor_needs_no_more_than_a_worker_and_names_the_grant_of_what_is_wanting(
    secure: SecureBroker, administrator: dict[str, str], tmp_path: Path
) -> None:
    needs = worker_acls(settings_of(administrator))
    found = examined(worker_env(secure, administrator, tmp_path, needs), 0)
    assert "DescribeConfigs" in found["brokers"]["found"] or found["brokers"]["level"] == "skipped"
    poor = own_env(secure.broker.bootstrap_servers, tmp_path)
    make_topics(poor, partitions=2)
    some = [
        replace(n, operations=sorted({each.replace("Write", "Read") for each in n.operations}))
        for n in worker_acls(settings_of(poor))[:5]
    ]
    found = examined(worker_env(secure, poor, tmp_path, some[:4]), 1)
    count = found[f"topic {poor['STREAM_COUNT_TOPIC']}"]
    assert "--operation Read --operation Write" in count["fix"]
    assert f"--group {poor['STREAM_GROUP_ID']}" in found["group"]["fix"]
    found = examined(worker_env(secure, poor, tmp_path, some), 1)
    assert f"--transactional-id {poor['STREAM_GROUP_ID']}-" in found["transactions"]["fix"]


def examined(env: dict[str, str], status: int) -> dict[str, dict[str, str]]:
    base = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
    done = subprocess.run(
        [sys.executable, "-m", "stream", "doctor", "--format", "json"],
        env={**base, **env},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}


def refused(env: dict[str, str], folder: Path, status: int = 1) -> str:
    log = folder / "refused"
    log.unlink(missing_ok=True)
    with WorkerProcess(env, log) as worker:
        assert worker.wait(60) == status, log.read_text()
    assert "Traceback" not in log.read_text()
    return log.read_text()
