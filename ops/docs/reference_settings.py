"""The page of the settings."""

from collections.abc import Iterator, Mapping, Sequence

from reference_markdown import (
    Json,
    alternatives,
    block,
    bullets,
    code,
    document,
    join,
    limits,
    of_schema,
    paragraph,
    section,
    table,
)

from stream.client_properties import FORBIDDEN_KAFKA_CONFIG, HEARTBEAT_MS, SESSION_TIMEOUT_MS
from stream.config import (
    MAX_POLL_INTERVAL_MS,
    PREFIX,
    PROCESSES_MAX,
    RESERVED_INSTANCES,
    RESTORE_STEP_MS,
    Settings,
    settings_table,
)

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"  # of `anagram-stream settings --write`
GROUPS: Mapping[str, Sequence[str]] = {
    "Kafka": ("bootstrap_servers", "kafka_config"),
    "Topics and input": (
        *("input_topic", "result_topic", "count_topic", "dead_letter_topic"),
        *("input_format", "dictionary"),
    ),
    "Consumer group": ("group_id", "group_protocol", "static_membership", "instance_id"),
    "Transactions and batches": (
        *("commit_interval_ms", "transaction_timeout_ms"),
        *("batch_records_max", "batch_bytes_max", "batch_deadline_ms"),
    ),
    "Limits": ("text_bytes_max", "result_bytes_max", "retry_attempts_max", "rejected_in_a_row_max"),
    "Processes and state": ("processes", "state_dir"),
    "Logs, metrics and probes": ("log_format", "http_host", "http_port"),
    "HTTP API (`serve`)": (
        *("serve_host", "serve_port", "serve_submit", "serve_token", "serve_outcomes_mib"),
    ),
    "Injected faults": ("faults", "faults_accepted"),
    "Embedded broker": ("java",),
}
_TOPIC_NAME = "1 to 249 characters out of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`"
CHECKED_BY_CODE: Mapping[str, str] = {  # what the types of the settings do not say
    **dict.fromkeys(("input_topic", "result_topic", "count_topic", "dead_letter_topic"), _TOPIC_NAME),
    "processes": f"`auto`, or integer ({limits(1, PROCESSES_MAX)})",
    "serve_token": "ASCII characters except spaces",
    "faults": "`none`, `original`, or path of a JSON file",
    **dict.fromkeys(("static_membership", "serve_submit", "faults_accepted"), "`true` or `false`"),
}


def page() -> str:
    return document(
        "Settings",
        "All settings of `anagram-stream`: their defaults, allowed values and meaning.",
        _sources(),
        section("All settings", f"{BEGIN}\n{settings_table()}\n{END}\n"),
        section("Allowed values", paragraph("A default that is empty above means that the setting is unset."),
                *_allowed_values()),
        _combinations(),
        _client_properties(),
    )  # fmt: skip


def _sources() -> str:
    return section(
        "Where settings are read from",
        paragraph("Each command reads the settings once, before it connects to Kafka. The first source that "
                  "has a value wins:"),
        "1. an option of the command, such as `worker --processes 4`\n"
        "2. an environment variable\n"
        "3. the file `.env` in the current folder, in UTF-8, with one `NAME=value` per line\n"
        "4. the default\n",
        paragraph("An empty value counts as unset. Names may be in upper or lower case."),
        paragraph(f"A name that begins with `{PREFIX}` and is not in the table is refused, and so are "
                  "invalid values and values that contradict each other: the command starts nothing and "
                  "ends with [exit status 2](exit-status.md). Variables that Kubernetes sets for a Service "
                  "whose name begins with `stream` are ignored; a log line names them."),
        paragraph("To show the current values and where each comes from:"),
        block("sh", "anagram-stream settings --current"),
    )  # fmt: skip


def _allowed_values() -> Iterator[str]:
    """Yield a table for each group.

    Raises:
        ValueError: a setting is in no group, or in two.
    """
    grouped = [name for names in GROUPS.values() for name in names]
    if sorted(grouped) != sorted(Settings.model_fields):
        different = set(grouped) ^ set(Settings.model_fields)
        raise ValueError(f"GROUPS must have each setting once: {', '.join(sorted(different)) or grouped}")
    properties = Settings.model_json_schema()["properties"]
    for title, names in GROUPS.items():
        rows = ([code(PREFIX + name.upper()), _allowed(name, properties[name])] for name in names)
        yield section(title, table(["variable", "allowed values"], rows), level=3)


def _allowed(name: str, schema: Json) -> str:
    if name in CHECKED_BY_CODE:
        return CHECKED_BY_CODE[name]
    of_values = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    allowed = join([of_schema(each) for each in of_values])
    return (
        f"{allowed}, except {alternatives(RESERVED_INSTANCES, 'and')}" if name == "instance_id" else allowed
    )


def _combinations() -> str:
    longest_ms = MAX_POLL_INTERVAL_MS * 8 // 10 - RESTORE_STEP_MS
    return section(
        "Values that must fit together",
        bullets([
            "The four topics are different.",
            ("`STREAM_COMMIT_INTERVAL_MS` + `STREAM_BATCH_DEADLINE_MS` + `STREAM_TRANSACTION_TIMEOUT_MS` is "
             f"below {longest_ms}: a batch ends before the group removes the worker "
             f"(`max.poll.interval.ms` is {MAX_POLL_INTERVAL_MS})."),
            "`STREAM_COMMIT_INTERVAL_MS` is below `STREAM_TRANSACTION_TIMEOUT_MS`.",
            "`STREAM_STATIC_MEMBERSHIP=true` needs `STREAM_GROUP_PROTOCOL` `classic` or `auto`.",
            "`STREAM_FAULTS` other than `none` needs `STREAM_FAULTS_ACCEPTED=true`.",
            ("With `STREAM_GROUP_PROTOCOL=consumer`, `STREAM_KAFKA_CONFIG` contains neither "
             "`session.timeout.ms` nor `heartbeat.interval.ms`: the broker sets them."),
            (f"With another protocol, `session.timeout.ms` ({SESSION_TIMEOUT_MS} by default) is above "
             f"`STREAM_TRANSACTION_TIMEOUT_MS`, and `heartbeat.interval.ms` ({HEARTBEAT_MS} by default) is "
             "at most a third of `session.timeout.ms`."),
        ]),
    )  # fmt: skip


def _client_properties() -> str:
    return section(
        "Client properties",
        paragraph("`STREAM_KAFKA_CONFIG` names a file with one `name=value` per line; `#` or `!` starts a "
                  "comment. It may contain any property of librdkafka, except these, which the worker sets "
                  "because exactness depends on them, and names that begin with `test.mock.`, "
                  "`default.topic.config` or `plugin.library.paths` or end with `_cb`:"),
        paragraph(", ".join(map(code, sorted(FORBIDDEN_KAFKA_CONFIG))) + "."),
        paragraph("[librdkafka's documentation]"
                  "(https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md) describes the "
                  "properties."),
    )  # fmt: skip
