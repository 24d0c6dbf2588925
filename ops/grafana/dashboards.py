"""Generates `dashboards/*.json` from a short description of each panel.

hatch run dashboards            writes them
hatch run dashboards --check    exit status 1 if they differ
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
RUNBOOKS = "ops/runbooks"
SERVED = "/public/runbooks"  # path under which Grafana serves them, see docker-compose.yml
SELECTOR = 'job=~"$job",instance=~"$instance"'
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, STAT_HEIGHT, HEIGHT = 24, 4, 8
RED, GREEN, AMBER = "red", "green", "orange"

Json = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One panel. In a query `SEL` stands for the job and instance matchers.

    Attributes:
        queries: legend -> PromQL.
        bad: values from this one on are red, or with `low` values below it; None: no colour.
    """

    title: str
    text: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"
    width: int = 8
    bad: float | None = None
    low: bool = False
    stack: bool = False
    runbook: str = ""


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    text: str
    rows: Sequence[Row]
    tags: Sequence[str] = field(default=("anagram-stream",))


def rate(metric: str, by: str = "", more: str = "") -> str:
    inner = f"rate({metric}{{SEL{more}}}[$__rate_interval])"
    return f"sum by ({by}) ({inner})" if by else f"sum({inner})"


def quantile(q: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{SEL}}[$__rate_interval])))"


FAILED = rate("stream_transactions_total", more=',outcome!="committed"')
RESTORES = "sum by (le) (increase(stream_restore_seconds_bucket{SEL}[1h]))"

GLANCE = Row(
    "Is it up? Is it behind? Is it correct? Is it failing?",
    [
        Panel("Workers up", "Scraped with success.", "none", {"up": "sum(up{SEL})"}, "stat", 3, 1, low=True,
              runbook="StreamDown"),
        Panel("Workers ready", "Joined, restored, with partitions, and not fenced.", "none",
              {"ready": "sum(stream_ready{SEL})"}, "stat", 3, 1, low=True, runbook="StreamDown"),
        Panel("Behind, seconds", "How old the oldest input not yet done may be, on the worst partition.", "s",
              {"lag": "max(stream_lag_seconds{SEL})"}, "stat", 3, 30, runbook="StreamLagBurnRate"),
        Panel("Behind, records", "Committed input not yet done; exactly 0 when idle.", "short",
              {"lag": "sum(stream_lag_records{SEL})"}, "stat", 3, runbook="StreamLagBurnRate"),
        Panel("Differences found", "By `verify --follow`: anything but 0 breaks a promise.", "none",
              {"differences": "sum(stream_audit_differences{SEL})"}, "stat", 3, 1,
              runbook="StreamAuditMismatch"),
        Panel("Last audit", "How long ago `verify --follow` ended a round.", "s",
              {"ago": "time() - max(stream_audit_last_round_timestamp_seconds{SEL})"}, "stat", 3, 900,
              runbook="StreamAuditStale"),
        Panel("Dead letters", "Share of input that was rejected.", "percentunit",
              {"share": f"{rate('stream_dead_letters_total')} / {rate('stream_records_total')}"}, "stat", 3,
              0.05, runbook="StreamDeadLetterRatio"),
        Panel("Transactions that failed", "Share that aborted or came out in doubt.", "percentunit",
              {"share": f"{FAILED} / {rate('stream_transactions_total')}"}, "stat", 3, 0.1,
              runbook="StreamTransactionsFail"),
    ],
)  # fmt: skip

FLOW = Row(
    "Flow",
    [
        Panel("Records", "Input records with a committed outcome, and what came of them.", "ops",
              {"records": rate("stream_records_total"), "results": rate("stream_results_total"),
               "dead letters": rate("stream_dead_letters_total")}),
        Panel("Words", "Words in committed results.", "ops", {"words": rate("stream_words_total")}),
        Panel("Input", "Keys and values polled, including those of aborted batches.", "Bps",
              {"bytes": rate("stream_input_bytes_total")}),
        Panel("Lag in records", "Up to the last stable offset, by partition.", "short",
              {"partition {{partition}}": "sum by (partition) (stream_lag_records{SEL})"},
              runbook="StreamLagBurnRate"),
        Panel("Lag in seconds", "How old the oldest input not yet done may be, by partition.", "s",
              {"partition {{partition}}": "max by (partition) (stream_lag_seconds{SEL})"},
              runbook="StreamLagBurnRate"),
        Panel("Lag of the whole group", "Of every partition, as one worker sees it; one without a line of a "
              "worker is owned by nobody, or by a member that is no worker.", "short",
              {"partition {{partition}}": "max by (partition) (stream_group_lag_records{SEL})",
               "partition {{partition}} of {{instance}}":
               "sum by (partition, instance) (stream_lag_records{SEL})"},
              runbook="StreamPartitionNotCounted"),
        Panel("Latency", "From a record's timestamp to the commit of its outcome, of the oldest in each "
              "transaction.", "s", {"p50": quantile(0.5, "stream_latency_seconds"),
                                    "p99": quantile(0.99, "stream_latency_seconds")}),
        Panel("Where the loop's time goes", "Seconds per second, by activity; `gather` mostly waits.",
              "percentunit", {"{{activity}}": rate("stream_loop_seconds_total", "activity")}, stack=True),
        Panel("Records a transaction", "Grows with the backlog.", "short",
              {"mean": f"{rate('stream_batch_size_records_sum')} / {rate('stream_batch_size_records_count')}",
               "p99": quantile(0.99, "stream_batch_size_records")}),
        Panel("Retries", "Attempts of a stage that failed transiently.", "ops",
              {"{{stage}}": rate("stream_retries_total", "stage")}),
    ],
)  # fmt: skip

EXACTLY_ONCE = Row(
    "Exactly once",
    [
        Panel("Transactions", "By outcome; `in_doubt` means that the producer was replaced.", "ops",
              {"{{outcome}}": rate("stream_transactions_total", "outcome")},
              runbook="StreamTransactionsFail"),
        Panel("Phases, 99 %", "How long a batch is in a phase.", "s",
              {"{{phase}}": quantile(0.99, "stream_batch_phase_seconds", "phase")}),
        Panel("Age of the open transaction", "Bounded by STREAM_TRANSACTION_TIMEOUT_MS.", "s",
              {"{{instance}}": "max by (instance) (stream_open_transaction_age_seconds{SEL})"}),
        Panel("Since the last commit", "Grows when idle; an alert only where there is lag as well.", "s",
              {"{{instance}}": "time() - max by (instance) (stream_last_commit_timestamp_seconds{SEL} > 0)"},
              runbook="StreamNoCommit"),
        Panel("Last stable offset does not advance", "Readers see nothing after a transaction that hangs.",
              "s", {"{{topic}}": "max by (topic) (stream_last_stable_offset_stalled_seconds{SEL})"},
              runbook="StreamLastStableOffsetStuck"),
        Panel("Written, not yet stable", "Offsets between the last stable one and the end.", "short",
              {"{{topic}}": "max by (topic) (stream_last_stable_offset_lag_records{SEL})"},
              runbook="StreamLastStableOffsetStuck"),
        Panel("Between polls, 99 %", "The group removes a worker after 300 s without a poll.", "s",
              {"p99": quantile(0.99, "stream_poll_gap_seconds")}),
        Panel("Changed totals", "Changelog records, one for each changed signature and transaction.", "ops",
              {"totals": rate("stream_changelog_records_total")}),
        Panel("Kafka is unavailable", "1 while a worker waits for it.", "none",
              {"{{instance}}": "max by (instance) (stream_broker_away{SEL})"}, runbook="StreamBrokerAway"),
    ],
)  # fmt: skip

STATE = Row(
    "State and restore",
    [
        Panel("Partitions", "Assigned, by worker.", "none",
              {"{{instance}}": "sum by (instance) (stream_assigned_partitions{SEL})"}),
        Panel("Partitions paused", "That do not run, by reason.", "none",
              {"{{reason}}": "sum by (reason) (stream_paused_partitions{SEL})"},
              runbook="StreamPartitionsBlocked"),
        Panel("Rebalances", "Times that partitions came or went, in 5 minutes.", "short",
              {"{{event}}": "sum by (event) (increase(stream_rebalances_total{SEL}[5m]))"},
              runbook="StreamRebalanceStorm"),
        Panel("Rebalance callbacks, 99 %", "How long taking or giving partitions took.", "s",
              {"{{event}}": quantile(0.99, "stream_rebalance_callback_seconds", "event")}),
        Panel("Left to restore", "Changelog offsets; /healthz/started estimates when it ends.", "short",
              {"{{instance}}": "sum by (instance) (stream_restore_remaining_offsets{SEL})"},
              runbook="StreamRestoreTooLong"),
        Panel("Restored", "Changelog records applied.", "ops",
              {"records": rate("stream_restore_records_total")}),
        Panel("Restore, 95 %", "From assignment to running, by partition, in the last hour.", "s",
              {"p95": f"histogram_quantile(0.95, {RESTORES})"}),
        Panel("Signatures in stores", "By partition; RocksDB's estimate before it is used.",
              "short",
              {"partition {{partition}}": "sum by (partition) (stream_store_keys{SEL})"}),
        Panel("Stores on disk", "RocksDB's data files, by partition.", "bytes",
              {"partition {{partition}}": "sum by (partition) (stream_store_bytes{SEL})"}),
        Panel("RocksDB's memory", "By purpose.", "bytes",
              {"{{part}}": "sum by (part) (stream_store_memory_bytes{SEL})"}, stack=True),
        Panel("RocksDB's jobs", "Under way, and stores whose writes it has stopped.", "none",
              {"{{kind}}": "sum by (kind) (stream_store_background_jobs{SEL})",
               "writes stopped": "sum(stream_store_writes_stopped{SEL})"}),
        Panel("Free disk", "Below STREAM_STATE_DIR.", "bytes",
              {"{{instance}}": "min by (instance) (stream_state_disk_free_bytes{SEL})"},
              runbook="StreamDiskAlmostFull"),
        Panel("Stores set aside", "Damaged or foreign, in the last hour; restored from the changelog.",
              "none",
              {"{{instance}}": "sum by (instance) (increase(stream_stores_set_aside_total{SEL}[1h]))"},
              runbook="StreamStoreSetAside"),
    ],
)  # fmt: skip

DEAD_LETTERS = Row(
    "Dead letters and faults on purpose",
    [
        Panel("Dead letters by reason", "`anagram-stream dead-letters list` shows them.", "ops",
              {"{{reason}}": rate("stream_dead_letters_total", "reason")}, runbook="StreamDeadLetterRatio"),
        Panel("Faults injected on purpose", "STREAM_FAULTS: for trials.", "ops",
              {"{{stage}} {{kind}}": rate("stream_injected_faults_total", "stage, kind")},
              runbook="StreamFaultsInjected"),
        Panel("Workers with faults on", "None in production.", "none",
              {"workers": "sum(stream_faults_injected_on_purpose{SEL})"}, bad=1,
              runbook="StreamFaultsInjected"),
    ],
)  # fmt: skip

CLIENT = Row(
    "Client",
    [
        Panel("Round trips, 99 %", "To the slowest broker; a fetch without data waits half a second.", "s",
              {"{{client}}": "max by (client) (stream_client_rtt_seconds{SEL})"}),
        Panel("Queues", "Records in librdkafka's queues.", "short",
              {"{{client}}": "sum by (client) (stream_client_queue_records{SEL})"}),
        Panel("Brokers connected", "By client, of the worker that has fewest.", "none",
              {"{{client}}": "min by (client) (stream_client_brokers_up{SEL})"}),
        Panel("Trouble", "Requests that failed, were sent again, or had no answer.", "ops",
              {"{{client}} errors": rate("stream_client_errors_total", "client"),
               "{{client}} retries": rate("stream_client_retries_total", "client"),
               "{{client}} timeouts": rate("stream_client_timeouts_total", "client")}),
        Panel("Network", "Bytes from and to brokers.", "Bps",
              {"{{client}} received": rate("stream_client_received_bytes_total", "client"),
               "{{client}} sent": rate("stream_client_sent_bytes_total", "client")}),
        Panel("Throttled", "Longest throttling by a broker.", "s",
              {"{{client}}": "max by (client) (stream_client_throttle_seconds{SEL})"}),
    ],
)  # fmt: skip

PROCESS = Row(
    "Process",
    [
        Panel("Processor", "Seconds per second.", "percentunit",
              {"{{instance}}": rate("process_cpu_seconds_total", "instance")}),
        Panel("Memory", "Resident, and addressed.", "bytes",
              {"{{instance}}": "sum by (instance) (process_resident_memory_bytes{SEL})",
               "{{instance}} addressed": "sum by (instance) (process_virtual_memory_bytes{SEL})"}),
        Panel("Open files", "And the lowest limit.", "none",
              {"{{instance}}": "sum by (instance) (process_open_fds{SEL})",
               "allowed": "min(process_max_fds{SEL})"}),
        Panel("Processes", "Of each worker, that answer.", "none",
              {"{{instance}}": "sum by (instance) (stream_process_up{SEL})"
                               " or count by (instance) (stream_live{SEL})"},
              runbook="StreamProcessEnded"),
        Panel("Processes started again", "After a death that nobody asked for, in the last hour.", "none",
              {"{{instance}}": "sum by (instance) (increase(stream_process_restarts_total{SEL}[1h]))"
                               " or 0 * count by (instance) (stream_live{SEL})"},
              runbook="StreamProcessCrashes"),
        Panel("Garbage collections", "By generation.", "ops",
              {"{{generation}}": rate("python_gc_collections_total", "generation")}),
        Panel("Garbage", "Objects collected, and those that could not be.", "ops",
              {"collected": rate("python_gc_objects_collected_total"),
               "uncollectable": rate("python_gc_objects_uncollectable_total")}),
        Panel("The loop advances", "1 while it does; when not, the stacks are in the log.", "none",
              {"{{instance}}": "min by (instance) (stream_live{SEL})"}, runbook="StreamLoopHangs"),
        Panel("Up since", "Each worker's age, and that of its process, which a restart in place keeps.", "s",
              {"{{instance}}": "time() - max by (instance) (stream_started_timestamp_seconds{SEL})",
               "{{instance}} process": "time() - max by (instance) (process_start_time_seconds{SEL})"},
              runbook="StreamWorkerRestarts"),
        Panel("What runs", "Versions, groups and instances.", "none",
              {"{{version}}, Python {{python}}": "sum by (version, python) (stream_build_info{SEL})",
               "{{implementation}} {{version}}": "sum by (implementation, version) (python_info{SEL})",
               "{{group}} {{worker}}": "sum by (group, worker) (stream_worker_info{SEL})"}),
    ],
)  # fmt: skip

BUSINESS = [
    Row(
        "What was counted",
        [
            Panel("Words, last hour", "In committed results.", "short",
                  {"words": "sum(increase(stream_words_total{SEL}[1h]))"}, "stat", 6),
            Panel("Blobs, last hour", "With a committed outcome.", "short",
                  {"blobs": "sum(increase(stream_records_total{SEL}[1h]))"}, "stat", 6),
            Panel("Distinct signatures", "On the partition that has most of them.",
                  "short", {"signatures": "max(stream_store_keys{SEL})"}, "stat", 6),
            Panel("Rejected, last hour", "Dead letters.", "short",
                  {"blobs": "sum(increase(stream_dead_letters_total{SEL}[1h]))"}, "stat", 6),
        ],
    ),
    Row(
        "Over time",
        [
            Panel("Words", "A second.", "wps", {"words": rate("stream_words_total")}, width=12),
            Panel("Top signatures", "Words so far of those with the greatest totals.",
                  "short",
                  {"{{signature}}": "topk(10, sum by (signature) (stream_top_signature_words{SEL}))"},
                  "bargauge", 12),
            Panel("Blobs by size", "In the last hour, up to so many bytes; of large batches a sample.",
                  "short", {"{{le}}": "sum by (le) (increase(stream_blob_size_bytes_bucket{SEL}[1h]))"},
                  "bargauge", 12),
            Panel("Words a blob", "On average.", "short",
                  {"words": f"{rate('stream_words_total')} / {rate('stream_results_total')}"}, width=12),
            Panel("Until it is counted", "From a blob's timestamp to its committed result, of the oldest in "
                  "each transaction.", "s", {"p50": quantile(0.5, "stream_latency_seconds"),
                                             "p95": quantile(0.95, "stream_latency_seconds")}, width=12),
            Panel("Checked", "Input records that `verify --follow` has checked, and what it could not check.",
                  "short", {"records": "max(stream_audit_records{SEL})",
                            "unchecked": "max(stream_audit_unchecked{SEL})"}, width=12),
        ],
    ),
]  # fmt: skip

DASHBOARDS = (
    Dashboard(
        "anagram-stream-operations", "Anagram stream: operations",
        "First row: up, behind, correct, failing. Each panel with an alert links to its runbook.",
        (GLANCE, FLOW, EXACTLY_ONCE, STATE, DEAD_LETTERS, CLIENT, PROCESS),
    ),
    Dashboard(
        "anagram-stream-business", "Anagram stream: business",
        "What was counted: words, signatures, sizes.", BUSINESS,
    ),
)  # fmt: skip


def variables() -> list[Json]:
    every = {"allValue": ".+", "includeAll": True, "multi": True, "refresh": 2, "sort": 1, "type": "query"}
    ours = '{__name__=~"stream_records_total|stream_audit_records"}'
    queries = {
        "job": f"label_values({ours}, job)",
        "instance": f'label_values({ours[:-1]},job=~"$job"}}, instance)',
    }
    return [
        {"label": "Data source", "name": "datasource", "query": "prometheus", "type": "datasource"},
        *(
            {
                **every,
                "name": name,
                "label": name.title(),
                "datasource": DATASOURCE,
                "query": query,
                "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            }
            for name, query in queries.items()
        ),
    ]


def panel_json(panel: Panel, number: int, grid: Json) -> Json:
    defaults: Json = {"unit": panel.unit, "min": 0}
    if panel.bad is not None:
        below, above = (RED, GREEN) if panel.low else (GREEN, RED)
        steps = [{"color": below, "value": None}, {"color": above, "value": panel.bad}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.kind == "timeseries":
        fill: Json = {"fillOpacity": 10, "showPoints": "never"}
        defaults["custom"] = fill | ({"stacking": {"mode": "normal", "group": "A"}} if panel.stack else {})
    links = [
        {"title": f"Runbook {panel.runbook}", "url": f"{SERVED}/{panel.runbook}.md", "targetBlank": True}
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text + (f" Runbook: {RUNBOOKS}/{panel.runbook}.md" if panel.runbook else ""),
        "datasource": DATASOURCE,
        "gridPos": grid,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options_json(panel),
        "links": links if panel.runbook else [],
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": query.replace("SEL", SELECTOR),
                "legendFormat": legend,
                "instant": panel.kind != "timeseries",
                "range": panel.kind == "timeseries",
            }
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def options_json(panel: Panel) -> Json:
    if panel.kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    reduced: Json = {"reduceOptions": {"calcs": ["lastNotNull"], "values": False}}
    if panel.kind == "bargauge":
        return reduced | {"orientation": "horizontal", "displayMode": "gradient"}
    return reduced | {"colorMode": "background" if panel.bad is not None else "value"}


def panels_json(rows: Sequence[Row]) -> Iterator[Json]:
    number, y = 1, 0
    for row in rows:
        yield {
            "id": number, "type": "row", "title": row.title, "collapsed": False, "panels": [],
            "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
        }  # fmt: skip
        number, y, x, height = number + 1, y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + height
            height = STAT_HEIGHT if panel.kind == "stat" else HEIGHT
            yield panel_json(panel, number, {"h": height, "w": panel.width, "x": x, "y": y})
            number, x = number + 1, x + panel.width
        y += height


def dashboard_json(dashboard: Dashboard) -> Json:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": list(dashboard.tags),
        "editable": False,
        "schemaVersion": 39,
        "version": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "graphTooltip": 1,
        "links": [
            {
                "type": "dashboards", "tags": list(dashboard.tags), "asDropdown": False,
                "includeVars": True, "keepTime": True, "title": "",
            }
        ],
        "annotations": {"list": []},
        "templating": {"list": variables()},
        "panels": list(panels_json(dashboard.rows)),
    }  # fmt: skip


def main() -> int:
    stale = 0
    for dashboard in DASHBOARDS:
        path = FOLDER / f"{dashboard.uid.removeprefix('anagram-stream-')}.json"
        text = json.dumps(dashboard_json(dashboard), indent=1, sort_keys=True) + "\n"
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{path} is not up to date; hatch run dashboards writes it\n")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
