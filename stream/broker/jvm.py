"""The command lines that start the JVM."""

import os
from dataclasses import dataclass
from pathlib import Path

from stream.broker.runtime import Runtime
from stream.broker.storage import Storage

# For a broker that runs for minutes and shares two cores with its clients. The second compiler doubles the
# CPU time of the first half minute and later saves at most a sixth. G1 takes 50 % more memory.
_FLAGS = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",  # its file in /tmp would survive a kill
    "-Xlog:disable",  # hundreds of warnings about classes missing from the archive
    "-Xlog:all=error:stderr",
    "-Djava.awt.headless=true",
)
_LOG4J2 = "log4j2.configurationFile", Path(__file__).with_name("log4j2.properties")
_LOG4J = "log4j.configuration", Path(__file__).with_name("log4j.properties")  # before Kafka 4


@dataclass(frozen=True, slots=True)
class Jvm:
    """Builds command lines for one java and class path.

    Attributes:
        archive: the archive of loaded classes; it need not exist yet.
    """

    runtime: Runtime
    archive: Path

    def broker(self, storage: Storage, heap_mib: int, *, records: bool) -> list[str]:
        """Return the command of the broker; one that `records` writes the archive when it stops."""
        log_option, log_settings = _LOG4J if self.runtime.kafka.startswith("3.") else _LOG4J2
        return [
            *self._java(),
            *([f"-XX:ArchiveClassesAtExit={storage.recorded}"] if records else []),
            f"-Xmx{heap_mib}m",
            "-XX:+ExitOnOutOfMemoryError",  # a crippled broker would keep the lock and the ports
            f"-Djava.io.tmpdir={storage.tmp}",
            f"-D{log_option}={log_settings.as_uri()}",
            f"-Dstream.broker.log={storage.log}",
            "kafka.Kafka",
            str(storage.settings),
        ]

    def storage_tool(self) -> list[str]:
        """Return the command of Kafka's StorageTool, without its arguments."""
        return [*self._java(), "kafka.tools.StorageTool"]

    def _java(self) -> list[str]:
        class_path = os.pathsep.join(map(str, self.runtime.jars))
        archive = [f"-XX:SharedArchiveFile={self.archive}"] if self.archive.exists() else []
        return [str(self.runtime.java), *archive, *_FLAGS, "-cp", class_path]
