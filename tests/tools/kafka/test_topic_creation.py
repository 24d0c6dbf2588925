"""Brokers that do not know or accept a topic setting; the fake returns the errors that Kafka returns."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic  # type: ignore[attr-defined]
from support.topics import admin_of, settings_of

from stream.config import Settings
from stream.errors import Fatal, Refused
from stream.kafka import topics
from stream.kafka.clients import Admin
from stream.kafka.topics import TopicFacts, names, unknown_configs, wanted_configs
from stream.tools.doctor import topic_checks
from stream.tools.doctor.findings import Level
from stream.tools.kafka import topic_creation

SETTINGS = settings_of({})
TIMESTAMPS = ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms")
Refuse = Callable[[NewTopic], KafkaError | None]


def answer(error: KafkaError | None) -> Future[None]:
    future = Future[None]()
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(KafkaException(error))
    return future


class FakeAdmin:
    """A cluster that rejects topics for which `refuse` returns an error, and describes its other topics."""

    def __init__(self, refuse: Refuse) -> None:
        self._refuse = refuse
        self.created: dict[str, dict[str, str]] = {}

    def create_topics(
        self, new: Sequence[NewTopic], *, request_timeout: float, validate_only: bool
    ) -> dict[str, Future[None]]:
        (topic,) = new
        error = self._refuse(topic)
        if error is None and not validate_only:
            self.created[topic.topic] = dict(topic.config or {})
        return {topic.topic: answer(error)}

    def incremental_alter_configs(
        self, resources: Sequence[ConfigResource], *, request_timeout: float
    ) -> dict[ConfigResource, Future[None]]:
        (resource,) = resources
        configs = {entry.name: str(entry.value) for entry in resource.incremental_configs}
        error = self._refuse(NewTopic(resource.name, 1, 1, config=configs))
        if error is None:
            self.created[resource.name] |= configs
        return {resource: answer(error)}

    def describe(self, settings: Settings) -> dict[str, TopicFacts]:
        return {
            role: TopicFacts(name, role, 4, self.created[name])
            for role, name in names(settings).items()
            if name in self.created
        }


def refuses(*unknown: str, code: int = KafkaError.INVALID_CONFIG, says: str = "") -> Refuse:
    def refuse(topic: NewTopic) -> KafkaError | None:
        given = next((name for name in topic.config or {} if name in unknown), None)
        return None if given is None else KafkaError(code, says or f"Unknown topic config name: {given}")

    return refuse


@pytest.fixture
def create(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    def run(admin: FakeAdmin, *, repair: bool = False) -> list[str]:
        monkeypatch.setattr(topic_creation, "describe", lambda *_: admin.describe(SETTINGS))
        return topic_creation.create_topics(cast("Admin", admin), SETTINGS, None, None, repair=repair)

    return run


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (KafkaError.INVALID_CONFIG, ""),
        (KafkaError.INVALID_CONFIG, "A setting is invalid"),
        (KafkaError.POLICY_VIOLATION, "Not on this cluster"),
    ],
)
def test_optional_setting_that_a_broker_refuses_is_left_out_and_named(
    create: Callable[..., list[str]], code: int, says: str
) -> None:
    admin = FakeAdmin(refuses(*TIMESTAMPS, "segment.bytes", code=code, says=says))
    done = create(admin)
    assert set(admin.created) == set(names(SETTINGS).values())
    assert admin.created["signature-counts"] == {"cleanup.policy": "compact"}
    assert set(admin.created["dead-letters"]) == {"cleanup.policy", "max.message.bytes"}
    left_out = [line for line in done if line.startswith("left out ")]
    for line, name in zip(left_out, ("segment.bytes", *TIMESTAMPS), strict=True):
        assert line.startswith(f"left out {name}=")
        assert (says or "Unknown topic config name") in line
    assert sum(line.startswith("created ") for line in done) == 4


@pytest.mark.parametrize(
    "unknown", [name for configs in wanted_configs(SETTINGS).values() for name in configs]
)
def test_each_setting_that_is_left_out_has_a_consequence(unknown: str) -> None:
    assert topics.WITHOUT[unknown]


def test_required_setting_that_a_broker_refuses_is_named_with_a_request(
    create: Callable[..., list[str]],
) -> None:
    admin = FakeAdmin(
        lambda topic: (
            KafkaError(KafkaError.POLICY_VIOLATION, "compaction is not offered")
            if (topic.config or {}).get("cleanup.policy") == "compact"
            else None
        )
    )
    with pytest.raises(
        Refused, match=r"refused to create signature-counts: .*compaction is not offered"
    ) as caught:
        create(admin)
    assert "signature-counts with 4 partitions and cleanup.policy=compact" in caught.value.hint
    assert set(admin.created) == set(names(SETTINGS).values()) - {"signature-counts"}
    assert "created dead-letters" in str(caught.value)


def test_hint_requests_every_topic_if_the_cluster_creates_none(
    create: Callable[..., list[str]],
) -> None:
    admin = FakeAdmin(lambda _: KafkaError(KafkaError.POLICY_VIOLATION, "replication factor must be 3"))
    with pytest.raises(Refused, match="replication factor must be 3") as caught:
        create(admin)
    assert all(f"create {name} with 4 partitions" in caught.value.hint for name in names(SETTINGS).values())


def test_error_that_no_setting_causes_is_reported_as_it_is(create: Callable[..., list[str]]) -> None:
    admin = FakeAdmin(lambda _: KafkaError(KafkaError.INVALID_REPLICATION_FACTOR, "only 1 broker"))
    with pytest.raises(Fatal, match="only 1 broker"):
        create(admin)


def test_topic_that_another_client_creates_meanwhile_is_found(create: Callable[..., list[str]]) -> None:
    admin = FakeAdmin(lambda _: None)
    create(admin)
    existing = dict(admin.created)

    def exists(_: NewTopic) -> KafkaError:
        admin.created |= existing
        return KafkaError(KafkaError.TOPIC_ALREADY_EXISTS, "exists")

    admin = FakeAdmin(exists)
    assert [line.partition(" ")[0] for line in create(admin)] == ["found"] * 4


def test_repair_leaves_out_what_the_broker_refuses_and_sets_the_rest(
    create: Callable[..., list[str]],
) -> None:
    admin = FakeAdmin(refuses(*TIMESTAMPS))
    admin.created = {name: {"cleanup.policy": "delete"} for name in names(SETTINGS).values()}
    done = create(admin, repair=True)
    assert admin.created["signature-counts"]["cleanup.policy"] == "compact"
    assert "max.message.bytes" in admin.created["dead-letters"]
    assert [line.split()[2].partition("=")[0] for line in done if line.startswith("left out")] == [
        *TIMESTAMPS
    ]


@pytest.mark.parametrize(("actual", "is_kept"), [("99999999", True), ("1000", False)])
def test_repair_raises_a_limit_and_never_lowers_it(
    actual: str, create: Callable[..., list[str]], *, is_kept: bool
) -> None:
    admin = FakeAdmin(refuses())
    admin.created = {name: {"max.message.bytes": actual} for name in names(SETTINGS).values()}
    done = create(admin, repair=True)
    assert (admin.created["anagram-results"]["max.message.bytes"] == actual) is is_kept
    assert any("max.message.bytes" in line for line in done) is not is_kept


def test_repair_states_a_request_if_the_policy_of_the_totals_cannot_be_set(
    create: Callable[..., list[str]],
) -> None:
    admin = FakeAdmin(refuses("cleanup.policy"))
    admin.created = {name: {"cleanup.policy": "delete"} for name in names(SETTINGS).values()}
    with pytest.raises(Refused, match=r"cleanup\.policy=compact on signature-counts") as caught:
        create(admin, repair=True)
    assert "owner of the cluster" in caught.value.hint
    assert "max.message.bytes" in admin.created["dead-letters"], "the other topics are repaired"


def test_setting_that_the_brokers_do_not_know_is_named_by_every_check_and_fails_none() -> None:
    known = {
        name: value
        for name, value in wanted_configs(SETTINGS)["dead-letter"].items()
        if name not in TIMESTAMPS
    }
    letters = TopicFacts("dead-letters", "d", 4, known)
    sentences = list(unknown_configs("dead-letter", letters, SETTINGS))
    assert [sentence.partition(" ")[0] for sentence in sentences] == [*TIMESTAMPS]
    findings = list(topic_checks.examine({"dead-letter": letters}, SETTINGS, brokers=1))
    of_letters = [finding for finding in findings if finding.check == "topic dead-letters"]
    assert {finding.level for finding in of_letters} == {Level.OK}
    assert [finding.detail for finding in of_letters[1:]] == sentences


def test_settings_that_the_brokers_do_not_show_are_not_called_unknown() -> None:
    assert not list(unknown_configs("count", TopicFacts("signature-counts", "c", 4, {}), SETTINGS))


@pytest.mark.broker
def test_broker_that_refuses_settings_gets_all_topics(
    bare_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = wanted_configs(SETTINGS)
    unknown = {"no.such.setting": "1", "segment.bytes": "no number"}
    monkeypatch.setattr(
        topic_creation,
        "wanted_configs",
        lambda _: {role: configs | unknown for role, configs in wanted.items()},
    )
    monkeypatch.setattr(topic_creation, "WITHOUT", {**topics.WITHOUT, "no.such.setting": "nothing"})
    settings, admin = settings_of(bare_env), admin_of(bare_env)
    done = topic_creation.create_topics(admin, settings, None, None, repair=False)
    assert sum(line.startswith("left out no.such.setting=1") for line in done) == 4
    assert sum(line.startswith("left out segment.bytes=no number") for line in done) == 4
    described = topics.describe(admin, settings)
    assert described["count"].configs["cleanup.policy"] == "compact"
    assert len(described) == 4
    repaired = topic_creation.create_topics(admin, settings, None, None, repair=True)
    assert sum(line.startswith("left out no.such.setting=1") for line in repaired) == 4
