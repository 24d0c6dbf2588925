"""Limits how long a schemathesis request waits for an outcome: `wait` allows 30 s, by design."""

from typing import Any

import schemathesis

WAIT_MS = 50


@schemathesis.hook  # type: ignore[untyped-decorator, unused-ignore]
def before_call(_: Any, case: Any, __: Any) -> None:
    wait = (case.query or {}).get("wait")
    if isinstance(wait, int) and WAIT_MS < wait <= 30_000:
        case.query["wait"] = WAIT_MS
