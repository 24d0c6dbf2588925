"""The folder of a broker: formatted once, used by one broker at a time.

data_dir/
  embedded.json      the Kafka version and the node that formatted it
  lock               held while a broker uses the folder
  kafka/             Kafka's own data
  run/               server.properties, server.log (bounded), console.log (output of the JVM), tmp/

The folder of a cluster of several nodes has such a folder for each node, and the file `cluster.json`:

data_dir/
  cluster.json       the Kafka version, the number of nodes and the cluster id
  node-1/, node-2/, …
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stream.broker.failure import not_started
from stream.broker.locks import locked, try_lock
from stream.broker.properties import render
from stream.errors import Misconfigured, Refused

CLUSTER_MARK = "cluster.json"
_FORMAT_TIMEOUT_S = 60


class Storage:
    """The folder of one broker.

    Attributes:
        folder: the data_dir.
        log_dir: the folder of Kafka's data.
        run_dir: the folder of settings and logs.
        settings: the file of the broker's properties.
        log: the log of the broker.
        console: the output of its JVM.
        recorded: the recorded archive of loaded classes.
        tmp: temporary files of the JVM, because its native libraries would stay in /tmp after a kill.
    """

    def __init__(self, folder: Path, kafka: str, nodes: int = 1) -> None:
        """`nodes` is the number of nodes of the broker's cluster."""
        self.folder = folder.expanduser().absolute()
        self.log_dir = self.folder / "kafka"
        self.run_dir = self.folder / "run"
        self.settings = self.run_dir / "server.properties"
        self.log = self.run_dir / "server.log"
        self.console = self.run_dir / "console.log"
        self.recorded = self.run_dir / "classes.jsa"
        self.tmp = self.run_dir / "tmp"
        self._nodes = nodes
        self._kafka = kafka
        self._mark = self.folder / "embedded.json"

    def lock(self) -> int:
        """Create the folder if it is missing and lock it; return a descriptor for the caller to close.

        Raises:
            Misconfigured: the folder cannot be written.
            Refused: another broker uses the folder, or it belongs to a cluster of several nodes.
        """
        if self._nodes == 1:
            self._check_cluster()
        try:
            self.run_dir.mkdir(parents=True, exist_ok=True)
            descriptor = try_lock(self.folder / "lock")
        except OSError as error:
            raise Misconfigured(
                f"the broker's data_dir cannot be written: {error}",
                "choose a data_dir that this user can write to",
            ) from error
        if descriptor is None:
            raise Refused(
                f"another broker uses {self.folder}", "stop that broker, or choose another data_dir"
            )
        return descriptor

    def format(
        self,
        node_id: str,
        properties: Callable[[Path], Mapping[str, str]],
        tool: Sequence[str],
        cluster: str | None = None,
    ) -> None:
        """Format a new folder, atomically, so that an interrupted run leaves nothing behind.

        Args:
            node_id: `node.id` of the broker.
            properties: returns the broker's properties for a log folder.
            tool: the command that runs Kafka's StorageTool.
            cluster: the id of the cluster; by default a new one.

        Raises:
            Refused: the folder was formatted for another Kafka version, node or cluster size.
            StreamError: Kafka could not format the folder.
        """
        mark: dict[str, object] = {"kafka": self._kafka, "node.id": node_id}
        if self._nodes > 1:
            mark["nodes"] = self._nodes
        if self.log_dir.exists() or (self.folder / "meta.properties").exists():
            self._check(mark)
            return
        formatting = self.folder / "formatting"
        shutil.rmtree(formatting, ignore_errors=True)
        settings = self.run_dir / "format.properties"
        settings.write_text(render(properties(formatting)), "ascii")
        self._run([*tool, "format", "--config", str(settings), "--cluster-id", cluster or cluster_id()])
        self._mark.write_text(json.dumps(mark), "utf-8")
        formatting.replace(self.log_dir)

    def prepare(self, properties: Mapping[str, str]) -> int:
        """Write the properties and delete leftovers of the last run; return the size of the log in bytes."""
        self.settings.write_text(render(properties), "ascii")
        self.recorded.unlink(missing_ok=True)
        shutil.rmtree(self.tmp, ignore_errors=True)
        self.tmp.mkdir()
        return self.log.stat().st_size if self.log.exists() else 0

    def _check_cluster(self) -> None:
        """Refuse the folder of a cluster, or of one of its nodes."""
        for folder in (self.folder, self.folder.parent if self.folder.name.startswith("node-") else None):
            if folder and (folder / CLUSTER_MARK).exists():
                claim_cluster(folder, self._kafka, self._nodes)

    def _check(self, mark: Mapping[str, object]) -> None:
        try:
            formatted_as = json.loads(self._mark.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            raise Refused(
                f"{self.folder} has Kafka data that this package did not format",
                "choose another data_dir, or set STREAM_BOOTSTRAP_SERVERS to the broker of this data",
            ) from None
        if formatted_as != mark:
            raise Refused(
                f"{self.folder} was formatted as {formatted_as}, but this broker is {mark}",
                f"choose another data_dir, or delete the data: rm -r '{self.folder}'",
            )

    def _run(self, command: Sequence[str]) -> None:
        try:
            result = subprocess.run(
                command,
                cwd=self.run_dir,
                capture_output=True,
                text=True,
                timeout=_FORMAT_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise not_started("the broker's folder could not be formatted", str(error)) from error
        if result.returncode != 0:
            raise not_started("the broker's folder could not be formatted", result.stdout + result.stderr)


class TemporaryFolder:
    """A folder that is deleted with this object, or when this process ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="anagram-stream-broker-"))
        self.delete = weakref.finalize(self, _delete, self.path, os.getpid())


def _delete(folder: Path, owner_pid: int) -> None:
    if os.getpid() == owner_pid:  # a forked child has a copy of the object but does not own the folder
        shutil.rmtree(folder, ignore_errors=True)


def claim_cluster(folder: Path, kafka: str, nodes: int) -> str:
    """Return the id of the cluster whose nodes have their folders in `folder`; mark a new folder as its own.

    Raises:
        Misconfigured: the folder cannot be written.
        Refused: the folder has the data of another Kafka version or number of nodes.
    """
    folder = folder.expanduser().absolute()
    mark = folder / CLUSTER_MARK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "cluster.lock", lambda: None):
            if (folder / "embedded.json").exists() or (folder / "kafka").exists():
                raise _another_size(folder, "the data of one node", kafka, nodes, "--nodes 1")
            if not mark.exists():
                new = {"kafka": kafka, "nodes": nodes, "cluster.id": cluster_id()}
                arriving = mark.with_suffix(".new")
                arriving.write_text(json.dumps(new), "utf-8")
                arriving.replace(mark)
            marked = json.loads(mark.read_text("utf-8"))
    except OSError as error:
        raise Misconfigured(
            f"the cluster's data_dir cannot be written: {error}",
            "choose a data_dir that this user can write to",
        ) from error
    if (marked["kafka"], marked["nodes"]) != (kafka, nodes):
        has = f"the data of {marked['nodes']} nodes with Kafka {marked['kafka']}"
        options = f"--nodes {marked['nodes']} --kafka {marked['kafka']}"
        raise _another_size(folder, has, kafka, nodes, options)
    return str(marked["cluster.id"])


def _another_size(folder: Path, has: str, kafka: str, nodes: int, options: str) -> Refused:
    return Refused(
        f"{folder} has {has}; the broker does not start with {nodes} {'node' if nodes == 1 else 'nodes'} and "
        f"Kafka {kafka}, and the data is unchanged",
        f"start the broker with {options}, choose another data_dir, or delete the data: rm -r '{folder}'",
    )


def cluster_id() -> str:
    """Return a new cluster id: 16 bytes in URL-safe base64, without a leading `-` (which marks an option)."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass  # terminates: 1 of 64 ids starts with `-`
    return text
