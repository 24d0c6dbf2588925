"""schemathesis against a running server: its responses match its own OpenAPI document."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.process import WorkerProcess
from support.serve_process import ServeProcess

SCHEMATHESIS = shutil.which("st", path=str(Path(sys.executable).parent))
EXAMPLES = 50
TOKEN = "a-token"

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(
        SCHEMATHESIS is None, reason="schemathesis is in another environment: hatch run http:api"
    ),
]


def test_responses_match_the_document(stream_env: dict[str, str], tmp_path: Path) -> None:
    env = {**stream_env, "STREAM_SERVE_SUBMIT": "true", "STREAM_SERVE_TOKEN": TOKEN}
    with (
        WorkerProcess(env, tmp_path / "worker.log") as worker,
        ServeProcess(env, tmp_path / "serve.log") as serve,
    ):
        serve.wait_serving()
        worker.wait_ready()
        command = [
            *(str(SCHEMATHESIS), "run", f"{serve.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {TOKEN}"),
            *("--exclude-path", "/v1/stream"),  # it is endless
            *("--exclude-checks", "ensure_resource_availability"),  # 202: its outcome comes later
            *("--max-examples", str(EXAMPLES), "--seed", "18", "--request-timeout", "10", "--no-color"),
        ]
        hooks = {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run(
            command,
            env={**os.environ, **hooks},
            cwd=tmp_path,
            check=False,
            text=True,
            timeout=280,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout[-6000:]
        assert "Tested: 6" in done.stdout
