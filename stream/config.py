"""Frozen settings from `STREAM_*` variables and `.env`; the only module that reads the environment."""

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import platformdirs
from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings import PydanticBaseSettingsSource as SettingsSource

from stream.client_properties import check_session, read_properties
from stream.errors import Misconfigured
from stream.service_links import names_of_service_links

PREFIX = "STREAM_"
MAX_POLL_INTERVAL_MS = 300_000  # longest time between polls; set explicitly, because a default could change
RESTORE_STEP_MS = 1_000  # time limit for one step of a restore
RESERVED_INSTANCES = ("doctor", "offsets", "replay")  # commands with their own transactional id
PROCESSES_MAX = 256
_MIB = 1024 * 1024
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")

Positive = Annotated[int, Field(ge=1)]


class Settings(BaseSettings):
    """The worker's settings, read once; functions receive only the parts that they need."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8-sig",  # a byte order mark is not part of the first name
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    bootstrap_servers: Annotated[str, Field(min_length=1)] = Field(
        "localhost:9092", description="Kafka brokers: `host:port,host:port`."
    )
    input_topic: str = Field("text-blobs", description="Topic of the text blobs to count.")
    result_topic: str = Field("anagram-results", description="Topic of the results.")
    count_topic: str = Field(
        "signature-counts",
        description="Topic of the running totals: the changelog of the stores, which others may read, too.",
    )
    dead_letter_topic: str = Field("dead-letters", description="Topic of the rejected records.")
    group_id: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        "anagram-counter", description="Consumer group. Workers of one group share the partitions."
    )
    group_protocol: Literal["auto", "consumer", "classic"] = Field(
        "auto", description="`consumer` (KIP-848), `classic`, or `auto`: as the brokers and members support."
    )
    static_membership: bool = Field(
        False,
        description="With `classic`: a worker that stops cleanly also keeps its partitions for a session.",
    )
    instance_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,100}$")] | None = Field(
        None,
        description="Stable name of this worker. By default a generated name, kept in the state folder.",
    )
    state_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_state_dir("anagram-stream", appauthor=False)),
        description="Folder of the stores. By default the user's state folder.",
    )
    dictionary: Path | None = Field(
        None,
        description="Word list, one word per line. By default the list `gcide` of the package english-words.",
    )
    input_format: Literal["text", "json"] = Field(
        "text", description="Format of input records without the header `content-type: application/json`."
    )
    commit_interval_ms: Positive = Field(
        100,
        description="Maximum time to collect records before a commit under load, in milliseconds.",
    )
    transaction_timeout_ms: Annotated[int, Field(ge=2_000, le=900_000)] = Field(
        10_000,
        description="Time after which the broker aborts the transaction of a dead worker, in milliseconds.",
    )
    batch_records_max: Positive = Field(
        60_000, description="Maximum number of input records of one transaction."
    )
    batch_bytes_max: Positive = Field(
        48 * _MIB,
        description="Maximum input of one transaction, in bytes. A single larger record is still processed.",
    )
    batch_deadline_ms: Positive = Field(
        30_000, description="Time limit for all retries of one batch together, in milliseconds."
    )
    text_bytes_max: Positive = Field(
        10 * _MIB, description="Maximum size of a text, in bytes. Longer texts are rejected."
    )
    result_bytes_max: Positive = Field(
        10 * _MIB, description="Maximum size of a result, in bytes. Longer results are rejected."
    )
    retry_attempts_max: Positive = Field(
        12, description="Number of attempts of a failing stage before its record is rejected."
    )
    rejected_in_a_row_max: Annotated[int, Field(ge=0)] = Field(
        1_000, description="Rejections in a row per partition after which the worker stops; 0: no limit."
    )
    processes: Literal["auto"] | int = Field(
        "auto",
        description="Worker processes. `auto`: one per usable core, at most one per input partition.",
    )
    faults: Annotated[str, Field(min_length=1)] = Field(
        "none", description="Injected failures and delays for trials: `none`, `original` or a JSON file."
    )
    faults_accepted: bool = Field(
        False, description="Must be `true` if `STREAM_FAULTS` is set; prevents accidental use."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="Format of log lines. `auto`: text on a terminal, otherwise JSON."
    )
    http_host: str = Field("127.0.0.1", description="Address on which `/metrics` and `/healthz` listen.")
    http_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        0, description="Port of `/metrics` and `/healthz`; 0 uses any free port and logs it."
    )
    serve_host: str = Field("127.0.0.1", description="Address on which `serve` listens.")
    serve_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        8000, description="Port on which `serve` listens; 0 uses any free port and logs it."
    )
    serve_submit: bool = Field(
        False, description="`serve` accepts texts (`POST /v1/blobs`) and sends them to the input topic."
    )
    serve_token: SecretStr | None = Field(
        None, description="Token that `serve` requires (`Authorization: Bearer …`). By default none."
    )
    serve_outcomes_mib: Positive = Field(
        1024, description="Disk space in which `serve` keeps the newest results and dead letters, in MiB."
    )
    kafka_config: Path | None = Field(
        None, description="Properties file with librdkafka names (SASL, TLS, …) that applies to every client."
    )
    java: Path | None = Field(
        None, description="Java for the embedded broker: a `java` binary or the folder of a JDK."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: SettingsSource,
        env_settings: SettingsSource,
        dotenv_settings: SettingsSource,
        file_secret_settings: SettingsSource,
    ) -> tuple[SettingsSource, ...]:
        """Ignore variables of Kubernetes: a Service `stream-http` sets STREAM_HTTP_PORT, for example."""
        assert isinstance(env_settings, EnvSettingsSource)
        ignored = {name.lower() for name in ignored_variables()}
        env_settings.env_vars = {k: v for k, v in env_settings.env_vars.items() if k.lower() not in ignored}
        return init_settings, env_settings, dotenv_settings, file_secret_settings

    @field_validator("input_topic", "result_topic", "count_topic", "dead_letter_topic")
    @classmethod
    def _is_topic_name(cls, name: str) -> str:
        if not _TOPIC.fullmatch(name) or name in {".", ".."}:
            raise ValueError("a topic name has 1 to 249 characters from a-z, A-Z, 0-9, '.', '_' and '-'")
        return name

    @field_validator("processes", mode="before")
    @classmethod
    def _is_number_of_processes(cls, given: object) -> object:
        number = str(given)
        if number == "auto" or (number.isdecimal() and 1 <= int(number) <= PROCESSES_MAX):
            return given
        raise ValueError(f"must be a number from 1 to {PROCESSES_MAX}, or auto")

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        names = [self.input_topic, self.result_topic, self.count_topic, self.dead_letter_topic]
        if len(set(names)) < len(names):
            raise ValueError(
                "INPUT_TOPIC, RESULT_TOPIC, COUNT_TOPIC and DEAD_LETTER_TOPIC must be four different topics"
            )
        return self

    @field_validator("instance_id")
    @classmethod
    def _is_not_reserved(cls, given: str | None) -> str | None:
        if given in RESERVED_INSTANCES:
            raise ValueError(f"'{given}' is reserved for a command; choose another name")
        return given

    @field_validator("serve_token")
    @classmethod
    def _can_be_sent(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not re.fullmatch("[!-~]+", token.get_secret_value()):
            raise ValueError("a token contains only ASCII characters without spaces; it is sent in a header")
        return token

    @model_validator(mode="after")
    def _faults_are_accepted(self) -> Self:
        if self.faults != "none" and not self.faults_accepted:
            raise ValueError(
                f"STREAM_FAULTS={self.faults} makes stages fail on purpose; if you want that, set "
                "STREAM_FAULTS_ACCEPTED=true, otherwise unset STREAM_FAULTS"
            )
        return self

    @model_validator(mode="after")
    def _static_is_classic(self) -> Self:
        if self.static_membership and self.group_protocol == "consumer":
            raise ValueError(
                "STATIC_MEMBERSHIP=true needs GROUP_PROTOCOL=classic or auto: under the consumer protocol "
                "the replacement of a killed static member is refused until the session times out"
            )
        return self

    @model_validator(mode="after")
    def _timeouts_nest(self) -> Self:
        """A batch, its transaction and a step of a restore end before the group removes this worker."""
        longest = (
            self.commit_interval_ms + self.batch_deadline_ms + self.transaction_timeout_ms + RESTORE_STEP_MS
        )
        if longest >= MAX_POLL_INTERVAL_MS * 8 // 10:
            raise ValueError(
                "COMMIT_INTERVAL_MS + BATCH_DEADLINE_MS + TRANSACTION_TIMEOUT_MS must stay below "
                f"{MAX_POLL_INTERVAL_MS * 8 // 10 - RESTORE_STEP_MS} (four fifths of the group's poll "
                f"interval of {MAX_POLL_INTERVAL_MS} ms, minus one step of a restore)"
            )
        if self.commit_interval_ms >= self.transaction_timeout_ms:
            raise ValueError("COMMIT_INTERVAL_MS must be below TRANSACTION_TIMEOUT_MS")
        return self

    @model_validator(mode="after")
    def _session_fits(self) -> Self:
        check_session(self.client_config, self.group_protocol, self.transaction_timeout_ms)
        return self

    @cached_property
    def client_config(self) -> dict[str, str]:
        """The client properties from STREAM_KAFKA_CONFIG."""
        return {} if self.kafka_config is None else read_properties(self.kafka_config)


def ignored_variables() -> list[str]:
    """Return the names of variables that Kubernetes sets for its Services and that are not settings."""
    return names_of_service_links(os.environ)


def load_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - as the settings
    """Read the settings once, before any connection; `overrides` take precedence over the environment.

    Raises:
        Misconfigured: a `STREAM_*` name is unknown, a value is invalid, or values contradict each other.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    try:
        from_file = dotenv_values(".env", encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot read .env: {error}") from error
    from_environment = os.environ.keys() - ignored_variables()
    given = {name for name in (*from_environment, *from_file) if name.upper().startswith(PREFIX)}
    given |= overrides.keys() - Settings.model_fields.keys()
    unknown = sorted(name for name in given if name.upper() not in known)
    if unknown:
        raise Misconfigured(
            f"unknown setting{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}",
            "known settings: " + ", ".join(sorted(known)),
        )
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise Misconfigured(
            "; ".join(_message(e) for e in error.errors(include_url=False, include_input=False))
        ) from error


def _message(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{str(error['loc'][0]).upper()}: {message}" if error["loc"] else message


def settings_table() -> str:
    """Return the settings as a Markdown table, for the documentation."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = (
            "" if field.is_required() or field.default is None or field.default_factory else field.default
        )
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        rows.append(f"| `{PREFIX}{name.upper()}` | {f'`{shown}`' if shown else ''} | {field.description} |")
    return "\n".join(rows)
