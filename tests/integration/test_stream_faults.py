"""STREAM_FAULTS on a real broker: stages fail at the rates of the original, and counts stay exact."""

import json
from pathlib import Path
from urllib.request import urlopen

import pytest
from support.process import WorkerProcess
from support.topics import produce, read, results, totals, wait_until

from stream.core.decide import Decider
from stream.dictionary import load_index
from stream.exercise.faults import ORIGINAL

pytestmark = pytest.mark.broker

BLOBS = 300
TEXT = "Listen, silent cat: stop the post, spot the pots!"


@pytest.fixture
def faulty_env(stream_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Settings that make stages fail as in the original, with delays scaled to 5%."""
    plan = tmp_path / "plan.json"
    plan.write_text(ORIGINAL.with_options(seed=7, scale=0.05).model_dump_json())
    return {**stream_env, "STREAM_FAULTS": str(plan), "STREAM_FAULTS_ACCEPTED": "true"}


def test_counts_equal_those_without_faults(faulty_env: dict[str, str], tmp_path: Path) -> None:
    produce(faulty_env, [(f"k{n}", TEXT) for n in range(BLOBS)])
    with WorkerProcess(faulty_env, tmp_path / "log") as worker:
        wait_until(lambda: len(read(faulty_env, "result")) == BLOBS, 120)
        (warning,) = worker.events("FAULTS ARE INJECTED ON PURPOSE")
        assert warning["level"] == "warning"
        assert warning["seed"] == 7
        with urlopen(worker.events("telemetry listens")[0]["address"] + "/metrics") as response:
            metrics = response.read().decode()
        assert worker.stop() == 0
    decision = Decider(load_index(None)).decide(TEXT)
    assert {json.dumps(result["anagram_counts"], sort_keys=True) for result in results(faulty_env)} == {
        json.dumps(dict(decision.anagram_counts), sort_keys=True)
    }
    assert totals(faulty_env) == {key: n * BLOBS for key, n in decision.deltas.items()}
    assert read(faulty_env, "dead-letter") == []
    for stage in ("filter_input", "get_words", "find_anagrams", "permutations"):
        has_faults = stage != "permutations"  # the worker does not need permutations
        injected = f'stream_injected_faults_total{{kind="value-error",stage="{stage}"}}'
        for figure in (injected, f'stream_retries_total{{stage="{stage}"}}'):
            assert (f"{figure} 0.0" not in metrics) == has_faults, figure
            assert figure in metrics


def test_faults_without_acceptance_are_refused_before_any_connection(
    stream_env: dict[str, str], tmp_path: Path
) -> None:
    env = {**stream_env, "STREAM_FAULTS": "original", "STREAM_BOOTSTRAP_SERVERS": "localhost:1"}
    with WorkerProcess(env, tmp_path / "log") as worker:
        assert worker.wait(30) == 2
    assert "STREAM_FAULTS_ACCEPTED=true" in (tmp_path / "log").read_text()


def test_missing_plan_is_refused_before_any_connection(stream_env: dict[str, str], tmp_path: Path) -> None:
    env = {**stream_env, "STREAM_FAULTS": "orignal", "STREAM_FAULTS_ACCEPTED": "true"}
    with WorkerProcess({**env, "STREAM_BOOTSTRAP_SERVERS": "localhost:1"}, tmp_path / "log") as worker:
        assert worker.wait(30) == 2
    assert "cannot read orignal" in (tmp_path / "log").read_text()
