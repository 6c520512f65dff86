"""What compose.yaml uses of its specification, as a JSON Schema; anything else is refused."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "array", "items": _TEXT, "uniqueItems": True}
_ARGUMENTS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_DURATION = {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(us|ms|s|m|h))+$"}
_SIZE = {"type": "string", "pattern": r"^[0-9]+[bkmg]$"}
_CONDITION = {"enum": ["service_started", "service_healthy", "service_completed_successfully"]}


def _object(members: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members, "additionalProperties": False, **more}


def _named(value: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "patternProperties": {"^[a-zA-Z0-9._-]+$": value},
        "additionalProperties": False,
    }


_HEALTHCHECK = {
    "oneOf": [
        _object({"disable": {"const": True}}, required=["disable"]),
        _object(
            {
                "test": {
                    "type": "array",
                    "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}],
                    "items": {"type": "string"},
                    "minItems": 2,
                },
                "interval": _DURATION,
                "timeout": _DURATION,
                "start_period": _DURATION,
                "retries": {"type": "integer", "minimum": 1},
            },
            required=["test"],
        ),
    ]
}
_SERVICE = _object(
    {
        "image": _TEXT,
        "build": _TEXT,
        "user": _TEXT,
        "command": _ARGUMENTS,
        "entrypoint": _ARGUMENTS,
        "environment": {"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}},
        "ports": {"type": "array", "items": {"type": "string", "pattern": r"^[0-9.]+:[0-9]+:[0-9]+$"}},
        "volumes": {"type": "array", "items": {"type": "string", "pattern": r"^(\./)?[a-z]+:/[a-z/]+$"}},
        "tmpfs": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^/[a-z/]+(:[a-z]+=[0-9a-z]+.*)?$"},
        },
        "networks": _TEXTS,
        "secrets": _TEXTS,
        "profiles": _TEXTS,
        "depends_on": _named(_object({"condition": _CONDITION}, required=["condition"])),
        "healthcheck": _HEALTHCHECK,
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "read_only": {"type": "boolean"},
        "cap_drop": _TEXTS,
        "security_opt": _TEXTS,
        "shm_size": _SIZE,
        "stop_signal": {"type": "string", "pattern": "^SIG[A-Z]+$"},
        "stop_grace_period": _DURATION,
        "logging": _object({"driver": _TEXT, "options": {"type": "object"}}, required=["driver"]),
    },
    anyOf=[{"required": ["image"]}, {"required": ["build"]}],
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        "services": _named(_SERVICE),
        "networks": _named(_object({"internal": {"type": "boolean"}})),
        "volumes": _named(_object({})),
        "secrets": _named(_object({"file": _TEXT}, required=["file"])),
    },
    "patternProperties": {"^x-": {}},
    "additionalProperties": False,
    "required": ["services"],
}
