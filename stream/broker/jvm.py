"""The command lines of the JVM."""

import os
from dataclasses import dataclass
from pathlib import Path

from stream.broker.runtime import Runtime

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

    def broker(self, settings: Path, heap_mib: int, log: Path, recorded: Path) -> list[str]:
        """The broker.

        Args:
            settings: its properties.
            heap_mib: of the JVM.
            log: the file it logs to.
            recorded: takes the archive as it stops, unless there is one.
        """
        return [
            *self._java(),
            *([] if self.archive.exists() else [f"-XX:ArchiveClassesAtExit={recorded}"]),
            f"-Xmx{heap_mib}m",
            "-XX:+ExitOnOutOfMemoryError",  # a broker that limps on would keep the lock and the ports
            f"-Dlog4j2.configurationFile={_LOG4J}",
            f"-Dstream.broker.log={log}",
            "kafka.Kafka",
            str(settings),
        ]

    def storage_tool(self) -> list[str]:
        """Kafka's formatter, its arguments to follow; too short a run for the second compiler to pay off."""
        return [*self._java(), "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool"]

    def _java(self) -> list[str]:
        class_path = os.pathsep.join(map(str, self.runtime.jars))
        archive = [f"-XX:SharedArchiveFile={self.archive}"] if self.archive.exists() else []
        return [
            str(self.runtime.java),
            *archive,
            "-XX:+UseSerialGC",
            "-Djava.awt.headless=true",
            "-cp",
            class_path,
        ]
