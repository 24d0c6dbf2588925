"""Builds the models of responses from the view and the state of the cluster."""

from collections.abc import Mapping
from typing import Any

from stream import __version__
from stream.tools.serve import models
from stream.tools.serve.freshness import Freshness
from stream.tools.serve.service import Service
from stream.tools.serve.totals import Total
from stream.tools.serve.view import Outcome


def freshness(seen: Freshness) -> models.Freshness:
    return models.Freshness(
        age_ms=None if seen.age_s is None else round(seen.age_s * 1000),
        offsets={topic: dict(offsets) for topic, offsets in seen.offsets.items()},
    )


def signature_total(seen: Total, words: Mapping[str, tuple[str, ...]]) -> models.SignatureTotal:
    return models.SignatureTotal(
        signature=seen.signature, total=seen.total, words=list(words.get(seen.signature, ()))
    )


def outcome(seen: Outcome) -> dict[str, Any]:
    """Return the fields of `models.Outcome`."""
    position = {"topic": seen.topic, "partition": seen.partition, "offset": seen.offset}
    content = "result" if seen.kind == "result" else "dead_letter"
    return {
        "outcome": seen.kind,
        "position": position,
        "timestamp_ms": seen.timestamp_ms,
        content: seen.fields,
    }


def status(service: Service) -> models.Status:
    view, seen = service.view, service.group.seen
    group = seen.group
    topics = (service.settings.count_topic, *view.outcome_topics.values())
    return models.Status(
        version=__version__,
        group=group
        and models.GroupStatus(
            id=service.settings.group_id,
            state=group.state,
            protocol=group.protocol,
            members=len(group.members),
        ),
        partitions=[
            models.PartitionStatus(
                partition=lag.partition,
                committed=lag.committed,
                end=lag.stable,
                lag=lag.lag,
                age_s=lag.age_s,
                member=lag.member.client_id if lag.member else None,
            )
            for lag in seen.lags
        ],
        unknown=seen.unknown,
        workers=[
            models.WorkerStatus(url=each.url, ready=each.ready, reasons=list(each.reasons))
            for each in seen.workers
        ],
        results=view.results,
        dead_letters=[
            models.ReasonCount(reason=reason, number=number)
            for reason, number in view.dead_letters.most_common()
        ],
        words=view.totals.words,
        signatures=view.totals.signatures,
        dictionary_differs=service.digest_differs(),
        submit=service.submitter is not None,
        freshness=freshness(view.freshness(*topics)),
    )
