"""The command lines of the JVM."""

import os
from dataclasses import dataclass
from pathlib import Path

from stream.broker.runtime import Runtime
from stream.broker.storage import Storage

# For a broker that lives for minutes and shares two cores with its clients. The second compiler takes twice
# the CPU time over the first half minute, and then saves a sixth at most. G1 takes half as much memory again.
_FLAGS = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",  # a kill would leave its file in /tmp
    "-Xlog:disable",  # hundreds of warnings about what the archive leaves out
    "-Xlog:all=error:stderr",
    "-Djava.awt.headless=true",
)
_LOG4J = Path(__file__).with_name("log4j2.properties")


@dataclass(frozen=True, slots=True)
class Jvm:
    """How Java is run.

    Attributes:
        runtime: the java and the class path.
        archive: of loaded classes; need not exist yet.
    """

    runtime: Runtime
    archive: Path

    def broker(self, storage: Storage, heap_mib: int) -> list[str]:
        """The broker on this folder; without an archive it records one as it stops."""
        return [
            *self._java(),
            *([] if self.archive.exists() else [f"-XX:ArchiveClassesAtExit={storage.recorded}"]),
            f"-Xmx{heap_mib}m",
            "-XX:+ExitOnOutOfMemoryError",  # a broker that limps on would keep the lock and the ports
            f"-Djava.io.tmpdir={storage.tmp}",
            f"-Dlog4j2.configurationFile={_LOG4J}",
            f"-Dstream.broker.log={storage.log}",
            "kafka.Kafka",
            str(storage.settings),
        ]

    def storage_tool(self) -> list[str]:
        """Kafka's formatter, its arguments to follow."""
        return [*self._java(), "kafka.tools.StorageTool"]

    def _java(self) -> list[str]:
        class_path = os.pathsep.join(map(str, self.runtime.jars))
        archive = [f"-XX:SharedArchiveFile={self.archive}"] if self.archive.exists() else []
        return [str(self.runtime.java), *archive, *_FLAGS, "-cp", class_path]
