"""Generates `dashboards/*.json`. This file defines what each panel shows; panels.py converts panels to JSON.

hatch run dashboards            writes them
hatch run dashboards --check    exit status 1 if they differ
"""

import json
import sys
from pathlib import Path

from panels import (
    GREEN,
    NEUTRAL,
    ORANGE,
    RARE,
    RED,
    ZERO,
    Annotation,
    Dashboard,
    Levels,
    Panel,
    Row,
    dashboard_json,
    known,
    last_hour,
    or_unknown,
    or_zero,
    quantile,
    rate,
    share,
)

FOLDER = Path(__file__).parent / "dashboards"
RECORDS_S, WORDS_S = "count:records/s", "count:words/s"
OBJECTIVE_S = 30

FAILED = rate("stream_transactions_total", more=',outcome!="committed"')
RESTORES = "sum by (le) (increase(stream_restore_seconds_bucket{SEL}[1h]))"
TARGETS = "count(count by (job, instance) (stream_ready{SEL}))"
AUDITED = "stream_audit_last_round_timestamp_seconds"
OUTCOMES = {"committed": GREEN, "aborted": ORANGE, "in_doubt": RED}
NO_AUDIT = Levels(bad=1, unknown=ORANGE)

FIRST_SCREEN = Row(
    "Up, keeping up, failing, correct?",
    [
        Panel("Workers", "Workers that Prometheus scrapes; missing are those that were up within the last "
              "hour but are not now. An audit is not a worker.", "none",
              {"up": or_zero(TARGETS),
               "missing": or_zero(f"max_over_time({TARGETS}[1h:1m]) - ({or_zero(TARGETS)})")},
              "stat", 4, Levels(bad=1, low=True), of={"missing": RARE}, runbook="StreamDown"),
        Panel("Ready", "Processes that joined, restored, have partitions and are not fenced; and those that "
              "are not.", "none",
              {"ready": or_zero("sum(stream_ready{SEL})"),
               "not ready": or_zero("count(stream_ready{SEL} == 0)")},
              "stat", 4, Levels(bad=1, low=True), of={"not ready": RARE}, runbook="StreamDown"),
        Panel("Lag", "Maximum age of the oldest unprocessed input, on the worst partition. "
              f"Objective: {OBJECTIVE_S} s.", "s",
              {"lag": or_unknown("max(stream_lag_seconds{SEL}) "
                                 "unless on () max(stream_broker_away{SEL}) > 0")}, "stat", 3,
              Levels(OBJECTIVE_S / 2, OBJECTIVE_S), unknown="not measured", runbook="StreamLagBurnRate"),
        Panel("Traffic", "Input records with a committed outcome, now and earlier.", RECORDS_S,
              {"records": known(rate("stream_records_total"))}, "stat", 4, NEUTRAL, line=True),
        Panel("Rejected", "Share of the input that became dead letters.", "percentunit",
              {"share": known(share(rate("stream_dead_letters_total"), rate("stream_records_total")))},
              "stat", 3, Levels(0.01, 0.05), runbook="StreamDeadLetterRatio"),
        Panel("Failed transactions", "Share that was aborted or is in doubt.", "percentunit",
              {"share": known(share(FAILED, rate("stream_transactions_total")))}, "stat", 3,
              Levels(0.02, 0.1), runbook="StreamTransactionsFail"),
        Panel("Kafka", "Whether every worker reaches it.", "none",
              {"reachable": or_unknown("1 - max(stream_broker_away{SEL})")}, "stat", 3,
              Levels(bad=1, low=True), texts={1: "reachable", 0: "unavailable"}, runbook="StreamBrokerAway"),
        Panel("Differences", "Found by `verify --follow`: anything but 0 breaks the exactly-once guarantee.",
              "none", {"differences": or_unknown("sum(stream_audit_differences{SEL})")}, "stat", 4, NO_AUDIT,
              unknown="no audit", tall=True, runbook="StreamAuditMismatch"),
        Panel("Last audit", "Time since `verify --follow` completed a round.", "s",
              {"ago": or_unknown(f"time() - max(last_over_time({AUDITED}{{SEL}}[1d]))")}, "stat", 4,
              Levels(300, 900, unknown=ORANGE), unknown="no audit", tall=True, runbook="StreamAuditStale"),
        Panel("Lag over time", "The five partitions with the largest lag, and the objective.", "s",
              {"partition {{partition}}": "topk(5, max by (partition) (stream_lag_seconds{SEL}))",
               "objective": f"vector({OBJECTIVE_S})"}, width=8, colours={"objective": RED},
              runbook="StreamLagBurnRate"),
        Panel("Firing alerts", "As evaluated by Prometheus; each has a runbook.", "none",
              {"": 'ALERTS{alertstate="firing",alertname=~"Stream.+",job=~"$job|"}'}, "table", 8,
              unknown="no firing alert"),
    ],
)  # fmt: skip

KEEPS_UP = Row(
    "Does it keep up?",
    [
        Panel("Records", "Input records with a committed outcome, and their outcomes.", RECORDS_S,
              {"records": rate("stream_records_total"), "results": rate("stream_results_total"),
               "dead letters": rate("stream_dead_letters_total")},
              colours={"results": GREEN, "dead letters": ORANGE}),
        Panel("Words", "Words in committed results.", WORDS_S, {"words": rate("stream_words_total")}),
        Panel("Input", "Keys and values polled, including those of aborted batches.", "Bps",
              {"bytes": rate("stream_input_bytes_total")}),
        Panel("Lag in records", "Up to the last stable offset, the five partitions with the most.", "short",
              {"partition {{partition}}": "topk(5, sum by (partition) (stream_lag_records{SEL}))"},
              runbook="StreamLagBurnRate"),
        Panel("Unreported lag", "Lag of partitions for which no worker reports a lag: they have no owner, or "
              "their owner is not a worker.", "short",
              {"partition {{partition}}": "max by (partition) (stream_group_lag_records{SEL}) "
                                          "unless on (partition) stream_lag_records{SEL}"},
              runbook="StreamPartitionNotReported"),
        Panel("Latency", "From a record's timestamp to the commit of its outcome, for the oldest of each "
              "transaction.", "s", {"p50": quantile(0.5, "stream_latency_seconds"),
                                    "p99": quantile(0.99, "stream_latency_seconds")}),
        Panel("Where the loop's time goes", "Seconds per second, by activity; `gather` is mostly waiting.",
              "percentunit", {"{{activity}}": rate("stream_loop_seconds_total", "activity")}, stack=True),
        Panel("Records per transaction", "Grows with the backlog.", "short",
              {"mean": share(rate("stream_batch_size_records_sum"), rate("stream_batch_size_records_count")),
               "p99": quantile(0.99, "stream_batch_size_records")}),
        Panel("Time between polls, 99 %", "The group removes a worker after 300 s without a poll.", "s",
              {"p99": quantile(0.99, "stream_poll_gap_seconds")}),
    ],
)  # fmt: skip

EXACTLY_ONCE = Row(
    "Do transactions commit?",
    [
        Panel("Transactions", "By outcome; after `in_doubt` the producer was replaced.",
              "count:transactions/s", {"{{outcome}}": rate("stream_transactions_total", "outcome")},
              colours=OUTCOMES, runbook="StreamTransactionsFail"),
        Panel("Phases, 99 %", "Time that a batch takes in each phase.", "s",
              {"{{phase}}": quantile(0.99, "stream_batch_phase_seconds", "phase")}),
        Panel("Changed totals", "Changelog records: one per changed signature and transaction.",
              RECORDS_S, {"totals": rate("stream_changelog_records_total")}),
        Panel("Time since the last commit", "At the time of the scrape. Grows when idle; the alert also "
              "requires lag.", "s",
              {"{{instance}}": "max by (instance) ((timestamp(stream_last_commit_timestamp_seconds{SEL}) - "
                               "stream_last_commit_timestamp_seconds{SEL}) "
                               "and (stream_last_commit_timestamp_seconds{SEL} > 0))"},
              runbook="StreamNoCommit"),
        Panel("Age of the open transaction", "At most STREAM_TRANSACTION_TIMEOUT_MS.", "s",
              {"{{instance}}": "max by (instance) (stream_open_transaction_age_seconds{SEL})"}),
        Panel("Offsets not yet stable", "Offsets between the last stable offset and the end.", "short",
              {"{{topic}}": "max by (topic) (stream_last_stable_offset_lag_records{SEL})"},
              runbook="StreamLastStableOffsetStuck"),
    ],
)  # fmt: skip

REJECTED = Row(
    "What is rejected?",
    [
        Panel("Dead letters by reason", "`anagram-stream dead-letters list` shows them.", RECORDS_S,
              {"{{reason}}": rate("stream_dead_letters_total", "reason")}, width=12, stack=True,
              runbook="StreamDeadLetterRatio"),
        Panel("Dead letters, last hour", "By reason.", "none",
              {"{{reason}}": "sum by (reason) (increase(stream_dead_letters_total{SEL}[1h])) > 0"},
              "bargauge", 12, NEUTRAL, runbook="StreamDeadLetterRatio"),
    ],
)  # fmt: skip

RESTARTS = Row(
    "Do partitions move, and resume soon?",
    [
        Panel("Partitions", "Assigned, by worker.", "none",
              {"{{instance}}": "sum by (instance) (stream_assigned_partitions{SEL})"}, stack=True),
        Panel("Rebalances", "Assignments, revocations and losses of partitions, in 5 minutes.", "none",
              {"{{event}}": "sum by (event) (increase(stream_rebalances_total{SEL}[5m]))"},
              runbook="StreamRebalanceStorm"),
        Panel("Rebalance callbacks, 99 %", "Duration of assigning and revoking partitions.", "s",
              {"{{event}}": quantile(0.99, "stream_rebalance_callback_seconds", "event")}),
        Panel("Remaining restore", "Changelog offsets; /healthz/started estimates the end.", "short",
              {"{{instance}}": "sum by (instance) (stream_restore_remaining_offsets{SEL})"},
              runbook="StreamRestoreTooLong"),
        Panel("Restored", "Changelog records applied.", RECORDS_S,
              {"records": rate("stream_restore_records_total")}),
        Panel("Restore, 95 %", "From assignment to running, by partition, in the last hour.", "s",
              {"p95": f"histogram_quantile(0.95, {RESTORES}) >= 0"}),
        Panel("Signatures by partition", "In its store; RocksDB's estimate until it is used. Do not add "
              "them up: a signature may be in several partitions.", "short",
              {"partition {{partition}}": "max by (partition) (stream_store_keys{SEL})"}),
        Panel("Stores on disk", "RocksDB's data files, by worker.", "bytes",
              {"{{instance}}": "sum by (instance) (stream_store_bytes{SEL})"}, stack=True),
        Panel("RocksDB memory", "By purpose.", "bytes",
              {"{{part}}": "sum by (part) (stream_store_memory_bytes{SEL})"}, stack=True),
        Panel("RocksDB jobs", "Running flushes and compactions.", "none",
              {"{{kind}}": "sum by (kind) (stream_store_background_jobs{SEL})"}),
        Panel("Free disk", "Below STREAM_STATE_DIR.", "bytes",
              {"{{instance}}": "min by (instance) (stream_state_disk_free_bytes{SEL})"},
              runbook="StreamDiskAlmostFull"),
    ],
)  # fmt: skip

USUALLY_ZERO = Row(
    "Is anything unusual?",
    [
        Panel("States", "Number of workers or partitions in a state that should not last.", "none",
              {"loop hangs": known("sum(1 - stream_live{SEL})"),
               "not ready": known("sum(1 - stream_ready{SEL})"),
               "waiting for Kafka": known("sum(stream_broker_away{SEL})"),
               "partitions paused, {{reason}}": "sum by (reason) (stream_paused_partitions{SEL})",
               "readers see nothing new": known(
                   "count(stream_last_stable_offset_stalled_seconds{SEL} > 10)"),
               "partition without progress": known("count(stream_group_lag_stalled_seconds{SEL} > 10)"),
               "processes ended": known("sum(1 - stream_process_up{SEL})"),
               "RocksDB writes stopped": known("sum(stream_store_writes_stopped{SEL})"),
               "throttled by Kafka": known("count(stream_client_throttle_seconds{SEL} > 0)"),
               "faults injected": known("sum(stream_faults_injected_on_purpose{SEL})")},
              "state-timeline", 14, ZERO, texts={0: "none"},
              runbook="StreamPartitionsBlocked StreamPartitionNotCounted StreamLoopHangs "
                      "StreamFaultsInjected"),
        Panel("Events in the last hour", "Each has a metric; 0 is normal.", "none",
              {"transactions aborted": or_zero(
                  last_hour("stream_transactions_total", ',outcome="aborted"')),
               "transactions in doubt": or_zero(
                   last_hour("stream_transactions_total", ',outcome="in_doubt"')),
               "stages retried": or_zero(last_hour("stream_retries_total")),
               "partitions lost": or_zero(last_hour("stream_rebalances_total", ',event="lost"')),
               "stores set aside": or_zero(last_hour("stream_stores_set_aside_total")),
               "processes restarted": or_zero(last_hour("stream_process_restarts_total")),
               "failed requests to Kafka": or_zero(last_hour("stream_client_errors_total")),
               "retried requests": or_zero(last_hour("stream_client_retries_total")),
               "requests without a response": or_zero(last_hour("stream_client_timeouts_total")),
               "faults injected": or_zero(last_hour("stream_injected_faults_total")),
               "uncollectable Python objects": or_zero(
                   last_hour("python_gc_objects_uncollectable_total"))},
              "events", 10, RARE, runbook="StreamStoreSetAside StreamProcessCrashes"),
    ],
)  # fmt: skip

KAFKA = Row(
    "Is Kafka slow?",
    [
        Panel("Round trips, 99 %", "To the slowest broker; a fetch without data waits half a second.", "s",
              {"{{client}}": "max by (client) (stream_client_rtt_seconds{SEL})"}),
        Panel("Queues", "Records in librdkafka's queues.", "short",
              {"{{client}}": "sum by (client) (stream_client_queue_records{SEL})"}),
        Panel("Brokers connected", "By client, for the worker with the fewest.", "none",
              {"{{client}}": "min by (client) (stream_client_brokers_up{SEL})"},
              runbook="StreamBrokerAway"),
        Panel("Network", "Bytes from and to brokers.", "Bps",
              {"{{client}} received": rate("stream_client_received_bytes_total", "client"),
               "{{client}} sent": rate("stream_client_sent_bytes_total", "client")}),
    ],
)  # fmt: skip

PROCESSES = Row(
    "Do processes have what they need?",
    [
        Panel("Processor", "Seconds per second.", "percentunit",
              {"{{instance}}": rate("process_cpu_seconds_total", "instance")}, stack=True),
        Panel("Memory", "Resident.", "bytes",
              {"{{instance}}": "sum by (instance) (process_resident_memory_bytes{SEL})"}),
        Panel("Open files", "Share of the limit, for the process that is closest to it.", "percentunit",
              {"{{instance}}": "max by (instance) (process_open_fds{SEL} / (process_max_fds{SEL} > 0))"}),
        Panel("Processes", "Processes of each worker that respond.", "none",
              {"{{instance}}": "sum by (instance) (stream_process_up{SEL})"
                               " or count by (instance) (stream_live{SEL})"},
              runbook="StreamProcessEnded"),
        Panel("Garbage collections", "By generation.", "count:runs/s",
              {"{{generation}}": rate("python_gc_collections_total", "generation"),
               "objects": rate("python_gc_objects_collected_total")}),
        Panel("Uptime", "Time since the last start of each worker, and of its process, which survives "
              "a restart in place.", "s",
              {"{{instance}}": "time() - max by (instance) (stream_started_timestamp_seconds{SEL})",
               "{{instance}} process": "time() - max by (instance) (process_start_time_seconds{SEL})"},
              runbook="StreamWorkerRestarts"),
        Panel("Workers", "Group and instance of each process.", "none",
              {"": "count by (group, worker, instance, process) (stream_worker_info{SEL})"}, "table", 12),
        Panel("Versions", "Running versions, and the number of processes.", "none",
              {"{{version}}, Python {{python}}": "count by (version, python) (stream_build_info{SEL})",
               "{{implementation}} {{version}}": "count by (implementation, version) (python_info{SEL})"},
              "bargauge", 12, NEUTRAL),
    ],
)  # fmt: skip

VIEW = Row(
    "Are responses fresh? (serve)",
    [
        Panel("Age of responses", "Everything that was committed this long ago is covered.", "s",
              {"{{instance}} {{topic}}": "max by (instance, topic) (stream_view_age_seconds{SEL})"},
              runbook="StreamViewStale"),
        Panel("Requests", "By status.", "count:requests/s",
              {"{{status}}": rate("stream_serve_request_seconds_count", "status")}),
        Panel("Request duration, 99 %", "By route; a client may request to wait for an outcome.", "s",
              {"{{route}}": quantile(0.99, "stream_serve_request_seconds", "route")}),
        Panel("Event readers", "By replica.", "none",
              {"{{instance}}": "sum by (instance) (stream_serve_event_readers{SEL})"}),
    ],
)  # fmt: skip

WHAT = Row(
    "What was counted?",
    [
        Panel("Words", "All counted words: the sum of all totals, from `serve`.", "short",
              {"words": or_unknown("max(stream_view_words{SEL})")}, "stat", 6, NEUTRAL,
              unknown="serve is not running"),
        Panel("Signatures", "Signatures with a total, from `serve`.", "short",
              {"signatures": or_unknown("max(stream_view_signatures{SEL})")}, "stat", 6, NEUTRAL,
              unknown="serve is not running"),
        Panel("Texts, last hour", "Texts with a committed outcome.", "short",
              {"texts": known(last_hour("stream_records_total"))}, "stat", 6, NEUTRAL),
        Panel("Rejected, last hour", "Share of the texts that became dead letters.", "percentunit",
              {"share": known(share(last_hour("stream_dead_letters_total"),
                                    last_hour("stream_records_total")))}, "stat", 6, Levels(0.01, 0.05)),
        Panel("Words over time", "In committed results.", WORDS_S, {"words": rate("stream_words_total")},
              width=12),
        Panel("Top signatures", "Words of the signatures with the greatest totals, over all partitions, from "
              "`serve`.", "short",
              {"{{signature}}": "topk(10, max by (signature) (stream_view_top_signature_words{SEL}))"},
              "bargauge", 12, NEUTRAL),
    ],
)  # fmt: skip

HOW = Row(
    "How large, and how fast?",
    [
        Panel("Texts by size", "Size of the values in bytes; a sample of large batches.", "bytes",
              {"{{le}}": "sum by (le) (increase(stream_blob_size_bytes_bucket{SEL}[$__rate_interval]))"},
              "heatmap", 12),
        Panel("Words per text", "On average.", "short",
              {"words": share(rate("stream_words_total"), rate("stream_results_total"))}, width=12),
        Panel("Time until counted", "From a text's timestamp to its committed result, for the oldest text of "
              "each transaction.", "s", {"p50": quantile(0.5, "stream_latency_seconds"),
                                         "p95": quantile(0.95, "stream_latency_seconds")}, width=12),
        Panel("Audited", "Input records that `verify --follow` has checked, and unchecked ones.",
              "short", {"records": "max(stream_audit_records{SEL})",
                        "unchecked": "max(stream_audit_unchecked{SEL})"}, width=12,
              colours={"unchecked": ORANGE}),
        Panel("Results and dead letters", "Read by `serve` since its view was built.", "short",
              {"results": "max(stream_view_results{SEL})",
               "{{reason}}": "max by (reason) (stream_view_dead_letters{SEL})"}, width=12,
              colours={"results": GREEN}),
    ],
)  # fmt: skip

EVENTS = (
    Annotation("Rebalances", ORANGE, "sum by (event) (increase(stream_rebalances_total{SEL}[30s])) > 0",
               "partitions {{event}}"),
    Annotation("Worker starts", "purple", "stream_started_timestamp_seconds{SEL} * 1000",
               "{{instance}} started", at_value=True),
    Annotation("Deploys", "blue", "count by (version) (stream_build_info{SEL}) "
               "unless on (version) count by (version) (stream_build_info{SEL} offset 1m)",
               "version {{version}}"),
)  # fmt: skip

DASHBOARDS = (
    Dashboard(
        "anagram-stream-operations", "Anagram stream: operations",
        "First screen: up, keeping up, failing, correct. A tile is green only if a metric confirms it. Each "
        "row below answers one question; each panel with an alert links to its runbook.",
        (FIRST_SCREEN, KEEPS_UP, EXACTLY_ONCE, REJECTED, RESTARTS, USUALLY_ZERO, KAFKA, PROCESSES, VIEW),
        EVENTS,
    ),
    Dashboard(
        "anagram-stream-business", "Anagram stream: business",
        "What was counted: words, signatures, sizes. Totals over all partitions come from `serve`.",
        (WHAT, HOW), EVENTS,
    ),
)  # fmt: skip


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
