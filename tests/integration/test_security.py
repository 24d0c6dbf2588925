"""TLS, SASL/SCRAM and ACLs on a real Kafka; no secret and no input text is logged."""

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
from support.serve_process import ServeProcess
from support.topics import make_topics, produce, read, results, settings_of, totals, wait_until
from test_refusals import run

from stream.client import Answered, Client
from stream.kafka.access import RequiredAcl, replay_acls, serve_acls, worker_acls

pytestmark = [pytest.mark.broker, pytest.mark.embedded]

PASSWORD = "hunter2-Zq7-of-the-worker"
WITHOUT_ACCESS_CHECK = (
    "-c",
    """if True:
    import sys, stream.worker.startup, stream.cli.main
    stream.worker.startup.check_access = lambda *_: None
    sys.argv = ["", "worker"]
    stream.cli.main.main()
    """,
)
TEXT, KEY = "cat zqxsecrettextzqx", "zqxsecretkeyzqx"
ACCESSES = [
    (acl, operation, checks)
    for acl, need in enumerate(worker_acls(settings_of({})))
    for operation in need.operations
    for checks in (True, False)
    # Results and dead letters are read only after a leader election; without the check nothing fails before.
    if checks or operation != "Read" or need.name not in {"anagram-results", "dead-letters"}
]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with secure_broker(tmp_path_factory.mktemp("secure"), SHORT_SESSIONS | SOON_ABORTED) as broker:
        yield broker


@pytest.fixture
def administrator(secure: SecureBroker, tmp_path: Path) -> dict[str, str]:
    """Settings that bypass security; the topics exist."""
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
def test_worker_needs_exactly_the_listed_access_and_reveals_no_secret(
    secure: SecureBroker, administrator: dict[str, str], tmp_path: Path, protocol: str
) -> None:
    needs = worker_acls(settings_of(administrator))
    env = worker_env(secure, administrator, tmp_path, needs, protocol)
    env["STREAM_KAFKA_CONFIG"] = str(with_debug_log(Path(env["STREAM_KAFKA_CONFIG"])))
    produce(administrator, [(KEY, TEXT), (KEY, b"\xff" + TEXT.encode()), (KEY, None)])
    with WorkerProcess(env, tmp_path / "log") as worker:
        wait_until(
            lambda: len(results(administrator)) == 1 and len(read(administrator, "dead-letter")) == 2, 60
        )
        (listens,) = worker.events("telemetry listens")
        with urlopen(listens["address"] + "/metrics", timeout=5) as response:
            metrics = response.read().decode()
        worker.kill()
        worker.start()  # also restores, and ends the transaction of its predecessor
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
    assert "librdkafka" in worker.log.read_text()  # the debug log is on
    for private in (TEXT.split()[1], KEY):
        assert private not in metrics + written.decode()
        assert private not in worker.log.read_text()


def with_debug_log(config: Path) -> Path:
    """Make librdkafka log everything."""
    config.write_text(config.read_text() + "debug=all\n")
    return config


@pytest.mark.parametrize(("acl", "operation", "checks"), ACCESSES)
def test_each_missing_access_is_a_clear_error(  # noqa: PLR0913, PLR0917
    secure: SecureBroker,
    administrator: dict[str, str],
    tmp_path: Path,
    acl: int,
    operation: str,
    checks: bool,  # noqa: FBT001
) -> None:
    """The worker checks its access at the start; without that, Kafka stops it after a crash at the latest."""
    needs = worker_acls(settings_of(administrator))
    lacking = needs[acl]
    others = [each for each in lacking.operations if each != operation]
    needs[acl] = replace(lacking, operations=others)
    env = worker_env(secure, administrator, tmp_path, needs)
    for partition in (0, 1):  # each starts with a dead letter, so that each transaction has one
        produce(administrator, [(None, None), (None, "cat")] * 5, partition=partition)
    with WorkerProcess(env, tmp_path / "log", COMMAND if checks else WITHOUT_ACCESS_CHECK) as worker:
        if needed_later := not checks and (lacking.name, operation) == (env["STREAM_COUNT_TOPIC"], "Read"):
            wait_until(lambda: results(administrator), 60)
            worker.kill()
            shutil.rmtree(env["STREAM_STATE_DIR"])
            worker.start()
        assert worker.wait(90) == 1
    log = worker.log.read_text()
    (failed,) = worker.events("worker failed")
    assert "topics acls" in failed["fix"]
    assert "Traceback" not in log
    assert PASSWORD not in log
    if not needed_later:
        assert results(administrator) == []
        assert totals(administrator) == {}


def test_replay_needs_no_more_than_the_listed_access(
    secure: SecureBroker, administrator: dict[str, str], tmp_path: Path
) -> None:
    worker = worker_env(secure, administrator, tmp_path, worker_acls(settings_of(administrator)))
    produce(administrator, [(KEY, b"\xff")])
    with WorkerProcess(worker, tmp_path / "log") as running:
        wait_until(lambda: len(read(administrator, "dead-letter")) == 1, 60)
        running.kill()
    user = f"operator-{administrator['STREAM_GROUP_ID']}"
    secure.add_user(user, PASSWORD)
    secure.grant(user, replay_acls(settings_of(administrator)))
    (tmp_path / "operator").mkdir()
    config = secure.client_config(tmp_path / "operator", user, PASSWORD)
    env = {**worker, "STREAM_KAFKA_CONFIG": str(config)}
    for number in (1, 0):
        done = run(env, "dead-letters", "replay", "--yes")
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith(f"{number} dead letter")
    assert len(read(administrator, "input")) == 2


@pytest.mark.parametrize("submit", ["false", "true"])
def test_serve_needs_no_more_than_the_listed_access(
    secure: SecureBroker, administrator: dict[str, str], tmp_path: Path, submit: str
) -> None:
    """Reading needs no write access; submitting needs it only for the input topic."""
    user = f"reader-{submit}-{administrator['STREAM_GROUP_ID']}"
    own = {**administrator, "STREAM_SERVE_SUBMIT": submit}
    secure.add_user(user, PASSWORD)
    secure.grant(user, serve_acls(settings_of(own)))
    (tmp_path / "reader").mkdir()
    config = secure.client_config(tmp_path / "reader", user, PASSWORD)
    produce(administrator, [(KEY, b"cat")])
    worker = worker_env(secure, administrator, tmp_path, worker_acls(settings_of(administrator)))
    env = {**own, "STREAM_BOOTSTRAP_SERVERS": secure.address, "STREAM_KAFKA_CONFIG": str(config)}
    with WorkerProcess(worker, tmp_path / "log"), ServeProcess(env, tmp_path / "serve.log") as serve:
        url = serve.wait_serving()
        wait_until(lambda: serve.get(f"/v1/blobs/{KEY}").get("outcome") == "result", 60)
        status = serve.get("/v1/status")
        assert status["unknown"] is None
        with Client(url) as client:
            if submit == "true":
                assert client.result(client.submit("cat"), timeout_s=30).words == 1
            else:
                with pytest.raises(Answered, match="STREAM_SERVE_SUBMIT"):
                    client.submit("cat")


def test_wrong_password_and_untrusted_certificate_are_clear_errors(
    secure: SecureBroker, administrator: dict[str, str], tmp_path: Path
) -> None:
    env = worker_env(secure, administrator, tmp_path, worker_acls(settings_of(administrator)))
    user = f"worker-{administrator['STREAM_GROUP_ID']}"
    wrong = "hunter3-" + PASSWORD
    log = refused({**env, "STREAM_KAFKA_CONFIG": str(secure.client_config(tmp_path, user, wrong))}, tmp_path)
    assert "sasl.username and sasl.password" in log
    foreign = secure.client_config(tmp_path, user, PASSWORD, another_ca(tmp_path))
    log += refused({**env, "STREAM_KAFKA_CONFIG": str(foreign)}, tmp_path)
    assert "ssl.ca.location" in log
    missing = secure.client_config(tmp_path, user, PASSWORD, tmp_path / "nowhere.pem")
    log += refused({**env, "STREAM_KAFKA_CONFIG": str(missing)}, tmp_path, status=2)
    assert PASSWORD not in log


def test_doctor_needs_no_more_access_than_a_worker_and_names_the_missing_grant(
    secure: SecureBroker, administrator: dict[str, str], tmp_path: Path
) -> None:
    needs = worker_acls(settings_of(administrator))
    findings = findings_of(worker_env(secure, administrator, tmp_path, needs), 0)
    assert "DescribeConfigs" in findings["brokers"]["found"] or findings["brokers"]["level"] == "skipped"
    poor = own_env(secure.broker.bootstrap_servers, tmp_path)
    make_topics(poor, partitions=2)
    some = [
        replace(n, operations=sorted({each.replace("Write", "Read") for each in n.operations}))
        for n in worker_acls(settings_of(poor))[:5]
    ]
    findings = findings_of(worker_env(secure, poor, tmp_path, some[:4]), 1)
    assert "does not grant Write" in findings[f"topic {poor['STREAM_COUNT_TOPIC']}"]["found"]
    denied = [findings[f"topic {poor['STREAM_COUNT_TOPIC']}"], findings["group"]]
    findings = findings_of(worker_env(secure, poor, tmp_path, some), 1)
    denied.append(findings["transactions"])
    assert all("topics acls --principal User:NAME --grant" in finding["fix"] for finding in denied)


def test_administrator_grants_what_a_worker_needs_with_one_command(
    secure: SecureBroker, administrator: dict[str, str], tmp_path: Path
) -> None:
    env = worker_env(secure, administrator, tmp_path, worker_acls(settings_of(administrator))[-1:])
    principal = f"User:worker-{administrator['STREAM_GROUP_ID']}"
    assert "topics acls" in refused(env, tmp_path)
    denied = run(env, "topics", "acls", "--principal", principal, "--grant")
    assert denied.returncode == 1
    assert "an administrator with Alter on the cluster" in denied.stderr
    assert run(administrator, "topics", "acls", "--principal", "worker", "--grant").returncode == 2
    shown = run(administrator, "topics", "acls")
    assert f"transactional-id\t{administrator['STREAM_GROUP_ID']}-\tprefixed\tWrite" in shown.stdout
    for _ in range(2):
        granted = run(administrator, "topics", "acls", "--principal", principal, "--grant")
        assert granted.returncode == 0, granted.stderr
    assert run(env, "topics", "check").returncode == 0
    findings_of(env, 0)
    produce(administrator, [(None, "cat")])
    with WorkerProcess(env, tmp_path / "log"):
        wait_until(lambda: results(administrator), 60)
    assert run(env, "offsets", "show").returncode == 0


def findings_of(env: dict[str, str], status: int) -> dict[str, dict[str, str]]:
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
