"""A client of `anagram-stream serve`: submit texts, wait for results, query totals, follow outcomes.

    from stream.client import Client

    with Client("http://localhost:8000") as client:
        position = client.submit("listen to the silent tinsel")
        print(client.result(position, timeout_s=10).anagram_counts)
        print(client.total("listen"))

`AsyncClient` has the same methods as coroutines. Requires the extra `client`.
"""

from stream.client.asynchronous import AsyncClient
from stream.client.protocol import (
    Answered,
    ClientError,
    NoOutcome,
    Outcome,
    Position,
    TextRejected,
    Unreachable,
)
from stream.client.synchronous import Client

__all__ = [
    "Answered",
    "AsyncClient",
    "Client",
    "ClientError",
    "NoOutcome",
    "Outcome",
    "Position",
    "TextRejected",
    "Unreachable",
]
