"""The page of the HTTP interfaces: the probes of a worker as it answers them, and OpenAPI of `serve`."""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reference_markdown import (
    Json,
    block,
    bullets,
    code,
    document,
    fields,
    join,
    marked,
    of_schema,
    paragraph,
    section,
    sentences,
    table,
)

from stream.core.schemas import render
from stream.telemetry.health import Health
from stream.telemetry.metrics import Metrics
from stream.telemetry.server import TelemetryServer
from stream.tools.serve.events import OUTCOMES, STATUS, TOTALS
from stream.tools.serve.status_routes import STREAMS_MAX
from stream.worker.clock import SystemClock

OPENAPI = Path(__file__).resolve().parents[2] / "schemas/openapi.v1.json"
PROBES: Mapping[str, str] = {
    "/metrics": "The [metrics](metrics.md), for Prometheus.",
    "/healthz/started": "200 if the worker has joined the group and restored its partitions, otherwise 503. "
                        "`restore_eta_seconds` is the estimated time until all restores end, or null if it "
                        "is not known yet.",
    "/healthz/ready": "200 if the worker processes all assigned partitions, otherwise 503. `reasons` says "
                      "why it is not ready. A worker without a partition is not ready.",
    "/healthz/live": "200 if the last pass of the loop ended less than `turn_seconds_max` seconds ago, "
                     "otherwise 503, with a `reason`.",
}  # fmt: skip
ERRORS: Mapping[str, str] = {
    "400": "The body is not JSON, or not UTF-8.",
    "401": "`STREAM_SERVE_TOKEN` is set, and the header `Authorization: Bearer TOKEN` is missing or has "
           "another token.",
    "403": "`STREAM_SERVE_SUBMIT` is not `true`, or a page of another site made a browser send the request.",
    "404": "`serve` has no result or dead letter of this blob, in the offsets that `freshness` names.",
    "413": "The text is larger than `STREAM_TEXT_BYTES_MAX`, or than the input topic accepts.",
    "415": "The content type is neither `application/json` nor `text/plain`.",
    "422": "A parameter or a field is missing or invalid, or a parameter is given more than once.",
    "503": f"Kafka did not accept the text, or {STREAMS_MAX} clients already read the event stream. The "
           "header `Retry-After` says when to try again.",
}  # fmt: skip
OTHER_PATHS = (
    # path, token, content
    ("/", "no", "A page that shows totals, outcomes and status. Its files are below `/page`."),
    ("/openapi.json", "no", "The OpenAPI document of the API."),
    ("/metrics", "yes", "The [metrics](metrics.md#serve), for Prometheus."),
    ("/healthz/live", "no", "200 while `serve` runs."),
    ("/healthz/ready", "no", ("200 if the view has reached the end of the topics once, otherwise 503: totals "
                              "would be too small.")),
)  # fmt: skip
EVENTS = (
    # event, data, when
    (OUTCOMES, ("`outcomes`: list of [OutcomeOfBlob](#outcomeofblob) without `freshness`, all of one "
                "partition. `skipped`: whether outcomes were left out because of `rate`."),
     "when results or dead letters are committed; the event has an id"),
    (TOTALS, ("`totals`: list of [SignatureTotal](#signaturetotal) that changed. `words`: the sum of all "
              "totals."), "when totals change"),
    (STATUS, "[Status](#status)", "every few seconds"),
    ("gap", "`detail`: why outcomes are missing before the next event", "when outcomes are missing"),
)  # fmt: skip


def page() -> str:
    contract = json.loads(OPENAPI.read_text(encoding="utf-8"))
    return document(
        "HTTP",
        "The probes and metrics of a worker, and the API of `serve`.",
        section("Worker", *_worker()),
        section("API of `serve`", *_api(contract)),
        *(_operation(path, method, operation)
          for path, by_method in contract["paths"].items()
          for method, operation in by_method.items()),
        section("Events", *_events(), level=3),
        section("Errors", *_errors(contract), level=3),
        section("Objects", paragraph("Later versions may add fields: a client must accept unknown fields."),
                level=3),
        *(_object(name, schema) for name, schema in contract["components"]["schemas"].items()),
        section("Other paths of `serve`", table(["path", "token", "content"], _other_paths())),
    )  # fmt: skip


def _worker() -> Iterator[str]:
    yield paragraph(
        "A worker listens on `STREAM_HTTP_HOST` and `STREAM_HTTP_PORT`. If the port is 0, it uses any free "
        "port and logs it. There is no token: do not open the port to others. Any other path returns 404."
    )
    answers = list(_probe_answers())
    yield table(["path", "response"], ([code(path), PROBES[path]] for path, _, _ in answers))
    yield paragraph("For example, while the second of two partitions is restored:")
    for path, status, body in answers:
        if body is not None:
            yield block("text", f"GET {path}", f"{status} {http.client.responses[status]}")
            yield block("json", render(dict(body)).rstrip())
    yield paragraph(
        "With several processes (`worker --processes N`), one port serves all of them. The body has the "
        "response of each process in `processes`, and `reasons` names the processes. `started` and `live` "
        "require all processes that have not ended for good. `ready` requires all processes, except those "
        "without a partition if another process is ready."
    )


def _probe_answers() -> Iterator[tuple[str, int, Json | None]]:
    """Yield path, status and JSON body of each path of a worker that restores a partition."""
    health = Health(started=True)
    health.assigned([0, 1], 0.0)
    health.restored(0)
    health.restore_moved(1, 0, 1_000, 0.0)
    health.restore_moved(1, 250, 1_000, 5.0)
    with TelemetryServer("127.0.0.1", 0, Metrics(), health, SystemClock()) as server:
        _, other = _get(server.port, "/")
        for path in other["paths"]:
            if path == "/metrics":
                yield path, http.client.OK, None
            else:
                yield path, *_get(server.port, path)


def _get(port: int, path: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def _api(contract: Json) -> Iterator[str]:
    yield paragraph(
        contract["info"]["description"],
        "`serve` listens on `STREAM_SERVE_HOST` and `STREAM_SERVE_PORT`. If `STREAM_SERVE_TOKEN` is set, "
        "each request to the API needs the header `Authorization: Bearer TOKEN`. `schemas/openapi.v1.json` "
        "and `/openapi.json` describe the API in a form that programs can read.",
    )
    rows = (
        [f"[{_request(path, method)}](#{_anchor(path, method)})", sentences(operation["description"])[0]]
        for path, by_method in contract["paths"].items()
        for method, operation in by_method.items()
    )
    yield table(["request", "purpose"], rows)


def _request(path: str, method: str) -> str:
    return code(f"{method.upper()} {path}")


def _operation(path: str, method: str, operation: Json) -> str:
    parts = [paragraph(marked(part)) for part in operation["description"].split("\n\n")]
    if "parameters" in operation:
        rows = map(_parameter, operation["parameters"])
        parts.append(table(["parameter", "in", "type", "default", "meaning"], rows))
    if "requestBody" in operation:
        fields_ = _body(operation["requestBody"]["content"])
        head = ["content type", "field", "type", "required", "meaning"]
        parts += [paragraph("Body:"), table(head, fields_)]
    parts += _responses(operation["responses"])
    title = f"{_request(path, method)} {{ #{_anchor(path, method)} }}"
    return section(title, *parts, level=3)


def _anchor(path: str, method: str) -> str:
    return "-".join([method, *path.replace("{", "").replace("}", "").strip("/").split("/")])


def _parameter(parameter: Json) -> Sequence[str]:
    schema = parameter["schema"]
    of_values = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    default = schema.get("default")
    shown = "required" if parameter["required"] else "" if default is None else code(str(default))
    kind = join([of_schema(each) for each in of_values])
    return code(parameter["name"]), parameter["in"], kind, shown, marked(parameter.get("description", ""))


def _body(content: Json) -> Iterator[Sequence[str]]:
    for content_type, of_type in content.items():
        rows = list(fields(of_type["schema"])) or [("", of_schema(of_type["schema"]), "yes", "The text.")]
        for row in rows:
            yield code(content_type), *row


def _responses(responses: Json) -> Iterator[str]:
    rows, errors = [], []
    for status, response in responses.items():
        if status in ERRORS:
            errors.append(f"[{status}](#errors)")
            continue
        ((content_type, content),) = response["content"].items()
        is_default = response["description"] == "Successful Response"
        meaning = "" if is_default else response["description"]
        if content_type == "text/event-stream":
            rows.append([status, "[Events](#events)", meaning])
        else:
            headers = "".join(f" Header `{name}`: {each['description']}"
                              for name, each in response.get("headers", {}).items())  # fmt: skip
            rows.append([status, of_schema(content["schema"]), meaning + headers])
    yield table(["status", "body", "meaning"], rows)
    yield paragraph(f"Errors: {join(errors, 'and')}.")


def _events() -> Iterator[str]:
    yield paragraph(
        "`GET /v1/stream` sends [server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events"
        ".html). The data of each event is a JSON object:"
    )
    yield table(["event", "data", "sent"], ([code(name), *others] for name, *others in EVENTS))
    yield bullets([
        ("The stream begins with an id. A client that sends the last id in the header `Last-Event-ID` "
         "continues after that event, also on another replica. Browsers do so when they reconnect."),
        "Without `Last-Event-ID`, the stream begins with new outcomes.",
        "With `rate`, outcomes above the rate are skipped. Without it, the stream has all outcomes.",
        "If there is no event for some time, the stream sends a comment, so that proxies keep it open.",
    ])  # fmt: skip


def _errors(contract: Json) -> Iterator[str]:
    yield paragraph(
        "An error has the content type `application/problem+json` and the fields of "
        "[RFC 9457](https://www.rfc-editor.org/rfc/rfc9457); see [Problem](#problem)."
    )
    phrases = {
        status: response["description"]
        for by_method in contract["paths"].values()
        for operation in by_method.values()
        for status, response in operation["responses"].items()
        if not status.startswith("2")
    }
    rows = ([status, phrase, ERRORS[status]] for status, phrase in sorted(phrases.items()))
    yield table(["status", "title", "cause"], rows)


def _object(name: str, schema: Json) -> str:
    rows = table(["field", "type", "required", "meaning"], fields(schema))
    return section(name, paragraph(marked(schema.get("description", ""))), rows, level=4)


def _other_paths() -> Iterator[Sequence[str]]:
    return ([code(path), *others] for path, *others in OTHER_PATHS)
