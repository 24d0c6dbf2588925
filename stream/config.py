"""Settings: frozen, from `STREAM_*` and `.env`; the only reader of the environment."""

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import platformdirs
from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stream.errors import Misconfigured

PREFIX = "STREAM_"
MAX_POLL_INTERVAL_MS = 300_000  # the group's patience between two polls; written out, never trusted
RESTORE_STEP_MS = 1_000  # one bounded step of restore
SESSION_TIMEOUT_MS = 45_000  # Kafka's default, under the classic protocol the client's to say
PROCESSES_MAX = 256
_MIB = 1024 * 1024
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")

# What exactness rests on: these the worker sets itself, and STREAM_KAFKA_CONFIG may not.
FORBIDDEN_KAFKA_CONFIG = frozenset(
    {
        "acks", "auto.commit.enable", "auto.commit.interval.ms", "auto.offset.reset", "bootstrap.servers",
        "delivery.report.only.error", "delivery.timeout.ms",
        "enable.auto.commit", "enable.auto.offset.store", "enable.idempotence",
        "enable.partition.eof", "group.id", "group.instance.id", "group.protocol", "isolation.level",
        "max.in.flight", "max.in.flight.requests.per.connection", "max.poll.interval.ms", "message.max.bytes",
        "message.send.max.retries", "message.timeout.ms", "metadata.broker.list",
        "partition.assignment.strategy", "request.required.acks", "retries", "socket.timeout.ms",
        "transaction.timeout.ms", "transactional.id",
    }
)  # fmt: skip
_FORBIDDEN_SUFFIX = "_cb"  # functions, not values
_FORBIDDEN_PREFIXES = ("test.mock.", "default.topic.config", "plugin.library.paths")

Positive = Annotated[int, Field(ge=1)]


class Settings(BaseSettings):
    """The worker's settings. Read once, passed down in narrow parts."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    bootstrap_servers: Annotated[str, Field(min_length=1)] = Field(
        "localhost:9092", description="Kafka brokers, `host:port,host:port`."
    )
    input_topic: str = Field("text-blobs", description="Where text blobs arrive.")
    result_topic: str = Field("anagram-results", description="Where results go.")
    count_topic: str = Field(
        "signature-counts", description="Running totals: the stores' changelog and a public table."
    )
    dead_letter_topic: str = Field("dead-letters", description="Where rejected records go.")
    group_id: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        "anagram-counter", description="The consumer group; workers of one group share the partitions."
    )
    group_protocol: Literal["consumer", "classic"] = Field(
        "consumer", description="The group protocol: `consumer` is KIP-848's, `classic` the older one."
    )
    static_membership: bool = Field(
        False,
        description="Under `classic`: a worker restarted within its session keeps its partitions.",
    )
    instance_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,100}$")] | None = Field(
        None, description="A stable name of this worker; by default one is kept in the state folder."
    )
    state_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_state_dir("anagram-stream", appauthor=False)),
        description="Where stores lie. By default a folder of the user's own.",
    )
    dictionary: Path | None = Field(
        None,
        description="A word list, a word per line; by default the list `gcide` of the package english-words.",
    )
    input_format: Literal["text", "json"] = Field(
        "text", description="What a record holds that does not say `content-type: application/json`."
    )
    commit_interval_ms: Positive = Field(
        100, description="How long a batch is gathered before it is committed."
    )
    transaction_timeout_ms: Annotated[int, Field(ge=2_000, le=900_000)] = Field(
        10_000,
        description="When the broker ends a dead worker's transaction.",
    )
    batch_records_max: Positive = Field(60_000, description="Records of one transaction.")
    batch_bytes_max: Positive = Field(
        48 * _MIB, description="Bytes of input of one transaction (one record may exceed it)."
    )
    batch_deadline_ms: Positive = Field(
        30_000, description="How long the retries of one batch may take together."
    )
    text_bytes_max: Positive = Field(10 * _MIB, description="A longer text is rejected.")
    result_bytes_max: Positive = Field(10 * _MIB, description="A longer result is rejected.")
    retry_attempts_max: Positive = Field(
        12, description="How often a failing stage is tried before its record is rejected."
    )
    rejected_in_a_row_max: Annotated[int, Field(ge=0)] = Field(
        1_000, description="More rejections in a row on a partition stop the worker; 0 is no limit."
    )
    processes: Literal["auto"] | int = Field(
        "auto",
        description="Worker processes; `auto`: the usable cores, at most the input's partitions.",
    )
    faults: Annotated[str, Field(min_length=1)] = Field(
        "none",
        description="Failures and delays on purpose, for trials: `none`, `original` or a plan's JSON file.",
    )
    faults_accepted: bool = Field(
        False, description="Must be `true` where `STREAM_FAULTS` is set, so that nobody sets it by accident."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="Log lines for people or as JSON; `auto` is text on a terminal, else JSON."
    )
    http_host: str = Field("127.0.0.1", description="Where `/metrics` and `/healthz` listen.")
    http_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        0, description="Their port; 0 is any free one, which is logged."
    )
    kafka_config: Path | None = Field(
        None, description="A properties file in librdkafka's names for every client: SASL, TLS and the rest."
    )
    java: Path | None = Field(
        None, description="The Java for the embedded broker: a `java` or a JDK's folder."
    )

    @field_validator("input_topic", "result_topic", "count_topic", "dead_letter_topic")
    @classmethod
    def _is_topic_name(cls, name: str) -> str:
        if not _TOPIC.fullmatch(name) or name in {".", ".."}:
            raise ValueError("a topic's name is 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-'")
        return name

    @field_validator("processes", mode="before")
    @classmethod
    def _is_number_of_processes(cls, given: object) -> object:
        number = str(given)
        if number == "auto" or (number.isdecimal() and 1 <= int(number) <= PROCESSES_MAX):
            return given
        raise ValueError(f"a number from 1 to {PROCESSES_MAX}, or auto")

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        names = [self.input_topic, self.result_topic, self.count_topic, self.dead_letter_topic]
        if len(set(names)) < len(names):
            raise ValueError(
                "INPUT_TOPIC, RESULT_TOPIC, COUNT_TOPIC and DEAD_LETTER_TOPIC must be four different topics"
            )
        return self

    @model_validator(mode="after")
    def _faults_are_accepted(self) -> Self:
        if self.faults != "none" and not self.faults_accepted:
            raise ValueError(
                f"STREAM_FAULTS={self.faults} makes stages fail on purpose; if that is what you want, set "
                "STREAM_FAULTS_ACCEPTED=true, else unset STREAM_FAULTS"
            )
        return self

    @model_validator(mode="after")
    def _static_is_classic(self) -> Self:
        if self.static_membership and self.group_protocol != "classic":
            raise ValueError(
                "STATIC_MEMBERSHIP=true needs GROUP_PROTOCOL=classic: under the consumer protocol the "
                "successor of a killed static member is refused until its session times out"
            )
        return self

    @model_validator(mode="after")
    def _timeouts_nest(self) -> Self:
        """A batch, its transaction and a step of restore end before the group gives up on us."""
        longest = (
            self.commit_interval_ms + self.batch_deadline_ms + self.transaction_timeout_ms + RESTORE_STEP_MS
        )
        if longest >= MAX_POLL_INTERVAL_MS * 8 // 10:
            raise ValueError(
                "COMMIT_INTERVAL_MS + BATCH_DEADLINE_MS + TRANSACTION_TIMEOUT_MS must stay below "
                f"{MAX_POLL_INTERVAL_MS * 8 // 10 - RESTORE_STEP_MS} (four fifths of the group's poll "
                f"interval of {MAX_POLL_INTERVAL_MS}, less a step of restore)"
            )
        if self.commit_interval_ms >= self.transaction_timeout_ms:
            raise ValueError("COMMIT_INTERVAL_MS must be below TRANSACTION_TIMEOUT_MS")
        return self

    @model_validator(mode="after")
    def _session_outlasts_transaction(self) -> Self:
        """Under `classic` the session is the client's to say; its transaction ends first."""
        session_ms = self.client_config.get("session.timeout.ms")
        if session_ms is not None and self.group_protocol == "consumer":
            raise ValueError(
                "session.timeout.ms in KAFKA_CONFIG needs GROUP_PROTOCOL=classic: under the consumer "
                "protocol it is the broker's (group.consumer.session.timeout.ms)"
            )
        if session_ms is None and self.group_protocol == "classic":
            session_ms = str(SESSION_TIMEOUT_MS)
        if session_ms is not None and not (
            session_ms.isdecimal() and int(session_ms) > self.transaction_timeout_ms
        ):
            raise ValueError(
                f"session.timeout.ms in KAFKA_CONFIG ({SESSION_TIMEOUT_MS} by default) must exceed "
                "TRANSACTION_TIMEOUT_MS"
            )
        return self

    @cached_property
    def client_config(self) -> dict[str, str]:
        """What STREAM_KAFKA_CONFIG says, for every client."""
        return {} if self.kafka_config is None else read_properties(self.kafka_config)


def read_properties(path: Path) -> dict[str, str]:
    """Read a properties file: `name=value` lines, `#` or `!` begins a comment.

    Raises:
        ValueError: not readable, not of that form, or a name that exactness rests on.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"KAFKA_CONFIG: cannot read {path}: {error}") from error
    properties: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#!":
            continue
        name, equals, value = stripped.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ValueError(f"KAFKA_CONFIG: line {number} of {path} is not of the form name=value")
        if (
            name in FORBIDDEN_KAFKA_CONFIG
            or name.startswith(_FORBIDDEN_PREFIXES)
            or name.endswith(_FORBIDDEN_SUFFIX)
        ):
            raise ValueError(
                f"KAFKA_CONFIG: line {number} of {path}: {name} is set by the worker and may not be changed"
            )
        properties[name] = value.strip()
    return properties


def load_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - as wide as the settings are
    """Read the settings once, before any connection; `overrides` go before the environment.

    Raises:
        Misconfigured: an unknown `STREAM_*` name, a bad value, or values that do not fit together.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    try:
        in_file = dotenv_values(".env")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot read .env: {error}") from error
    given = {name for name in (*os.environ, *in_file) if name.upper().startswith(PREFIX)}
    given |= overrides.keys() - Settings.model_fields.keys()
    unknown = sorted(name for name in given if name.upper() not in known)
    if unknown:
        raise Misconfigured(
            f"unknown setting{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}",
            "the known ones: " + ", ".join(sorted(known)),
        )
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise Misconfigured(
            "; ".join(_complaint(e) for e in error.errors(include_url=False, include_input=False))
        ) from error


def _complaint(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{str(error['loc'][0]).upper()}: {message}" if error["loc"] else message


def settings_table() -> str:
    """Return the settings as a Markdown table, for the README."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = (
            "" if field.is_required() or field.default is None or field.default_factory else field.default
        )
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        rows.append(f"| `{PREFIX}{name.upper()}` | {f'`{shown}`' if shown else ''} | {field.description} |")
    return "\n".join(rows)
