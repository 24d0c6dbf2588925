"""A PostgreSQL server for a test, as a child process."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.topics import wait_until

from stream.broker import tcp
from stream.broker.process import GuardedProcess
from stream.broker.properties import ADDRESS

USER = "postgres"  # also a system user: the server refuses to run as root
_AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
_START_S_MAX = 60
_QUERY_S_MAX = 30


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server.

    Attributes:
        programs: the folder of its programs.
    """

    programs: Path
    port: int

    @property
    def url(self) -> str:
        return f"jdbc:postgresql://{ADDRESS}:{self.port}/postgres"

    def psql(self, sql: str) -> "subprocess.CompletedProcess[str]":
        options = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", ADDRESS, "-p", str(self.port), "-U", USER]
        return subprocess.run(
            [self.programs / "psql", *options, "postgres"],
            input=sql, capture_output=True, text=True, timeout=_QUERY_S_MAX, check=False,
        )  # fmt: skip

    def run(self, sql: str) -> str:
        """Run SQL and return what psql prints."""
        done = self.psql(sql)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        printed = self.run(f"SELECT coalesce(json_agg(r), '[]') FROM ({query.strip().rstrip(';')}) r")
        rows: list[dict[str, Any]] = orjson.loads(printed)
        return rows

    def has_table(self, name: str) -> bool:
        return self.run(f"SELECT to_regclass('{name}') IS NOT NULL").strip() == "t"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server with an empty database; skip the test if PostgreSQL is not installed."""
    server = Postgres(_programs(), tcp.free_port())
    as_user = _AS_USER if os.geteuid() == 0 else ()
    with tempfile.TemporaryDirectory(prefix="anagram-stream-postgres-") as scratch:
        folder = Path(scratch)
        if as_user:
            shutil.chown(folder, USER, USER)
        initdb = [str(server.programs / "initdb"), "-D", str(folder / "data"), "-U", USER, "-A", "trust"]
        options = ["-E", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run([*as_user, *initdb, *options], check=True, capture_output=True, cwd=folder)
        settings = {"listen_addresses": ADDRESS, "unix_socket_directories": "", "fsync": "off"}
        process = GuardedProcess(
            [*as_user, str(server.programs / "postgres"), "-D", str(folder / "data"), "-p", str(server.port)]
            + [f"--{name}={value}" for name, value in settings.items()],
            folder=folder, console=folder / "console", scratch=folder,
        )  # fmt: skip

        def answers() -> bool:
            assert process.poll() is None, (folder / "console").read_text()
            return server.psql("SELECT 1").returncode == 0

        try:
            wait_until(answers, _START_S_MAX)
            yield server
        finally:
            process.stop()


def _programs() -> Path:
    programs = _newest()
    if programs is None:
        pytest.skip("no PostgreSQL is installed: apt-get install postgresql")
    return programs


def _newest() -> Path | None:
    """Return the program folder of Debian's newest PostgreSQL, else of the one on the PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    on_path = shutil.which("postgres")
    folders = [*reversed(versions), *([Path(on_path).resolve().parent] if on_path else [])]
    return next((path for path in folders if all((path / p).exists() for p in ("postgres", "psql"))), None)
