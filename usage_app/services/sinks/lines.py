"""How records look to receivers: as `GET /spend/logs` shows them, or as OTLP's log records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from gateway_project.core.clock import utc_now
from gateway_project.core.codec import dumps
from usage_app.services.sinks.batches import Batch
from usage_app.services.spend import plain_record

_INFO, _ERROR = (9, "INFO"), (17, "ERROR")
_EVENT_NAME = "agent_gateway.usage"
# Names of the OpenTelemetry semantic conventions for generative AI where there is one.
_ATTRIBUTES = {
    "operation": "gen_ai.operation.name",
    "model": "gen_ai.request.model",
    "upstream_model": "gen_ai.response.model",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "agent": "gen_ai.agent.name",
}


def json_lines(batch: Batch) -> bytes:
    """A line of JSON for each record."""
    return b"".join(dumps(plain_record(dict(record))) + b"\n" for record in batch.records)


def otlp_logs(batch: Batch) -> bytes:
    """An `ExportLogsServiceRequest` in OTLP's JSON form (OpenTelemetry protocol 1.x, "OTLP/HTTP")."""
    observed = _nanoseconds(utc_now())
    resource = [_attribute("service.name", "agent-gateway"), _attribute("service.version", settings.VERSION)]
    scope = {"name": _EVENT_NAME, "attributes": [_attribute("batch.id", batch.id)]}
    logs = [_log(record, observed) for record in batch.records]
    return dumps(
        {"resourceLogs": [{"resource": {"attributes": resource}, "scopeLogs": [_scoped(scope, logs)]}]}
    )


def _scoped(scope: dict[str, Any], logs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"scope": scope, "logRecords": logs}


def _log(record: dict[str, Any], observed: str) -> dict[str, Any]:
    number, text = _ERROR if record["status"] >= 500 else _INFO
    moment = _nanoseconds(record["at"])
    plain = plain_record(dict(record))
    return {
        "timeUnixNano": moment,
        "observedTimeUnixNano": observed,
        "severityNumber": number,
        "severityText": text,
        "eventName": _EVENT_NAME,
        "body": {"stringValue": f"{plain['operation']} {plain['model']} {plain['status']}"},
        "attributes": [
            _attribute(_ATTRIBUTES.get(name, f"agent_gateway.{name}"), value)
            for name, value in plain.items()
            if value not in (None, "", [], {})
        ],
    }


def _attribute(key: str, value: Any) -> dict[str, Any]:
    return {"key": key, "value": _value(value)}


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        # 64-bit numbers are texts in protobuf's JSON.
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": value if isinstance(value, str) else dumps(value).decode()}


def _nanoseconds(moment: Any) -> str:
    return str(round(moment.timestamp() * 1000) * 1_000_000)
