"""The options of a campaign, and the settings of its workers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stream.config import Settings, load_settings
from stream.tools.chaos.accident import Accident
from stream.tools.chaos.plan import Fault
from stream.tools.chaos.producer import InputSize

SESSION_TIMEOUT_MS = 6_000
TRANSACTION_TIMEOUT_MS = 5_000


@dataclass(frozen=True, slots=True)
class CampaignOptions:
    """The options of a campaign.

    Attributes:
        static: static membership, with the classic protocol.
        size: size of the input.
        faults: faults, injected one after the other.
        seconds: minimum time over which the faults are spread; 0: as long as the recoveries take.
        processes: processes per worker.
        batch_records_max: maximum records per transaction.
        accident: accident that happens once, after half of the faults, if any.
        nodes: number of nodes of the cluster.
    """

    seed: int
    protocol: str
    static: bool
    size: InputSize
    faults: Sequence[Fault]
    seconds: float = 0.0
    workers: int = 3
    processes: int = 1
    partitions: int = 6
    batch_records_max: int = 10_000
    java: Path | None = None
    accident: Accident | None = None
    nodes: int = 1

    def settings(self, folder: Path, bootstrap_servers: str) -> Settings:
        """Return the settings of the workers; `folder` is that of the campaign."""
        chosen = {}
        if self.protocol == "classic":
            config = folder / "classic.properties"
            config.write_text(
                f"session.timeout.ms={SESSION_TIMEOUT_MS}\nheartbeat.interval.ms=500\n", encoding="utf-8"
            )
            chosen["kafka_config"] = config
        return load_settings(
            bootstrap_servers=bootstrap_servers,
            group_protocol=self.protocol,
            static_membership=self.static,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            batch_records_max=self.batch_records_max,
            log_format="json",
            **chosen,
        )
