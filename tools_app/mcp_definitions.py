"""What MCP servers say of their tools: in one form, with a fingerprint, and under a name of the catalogue.

Nothing here talks to a server, and nothing imports the SDK: definitions are plain JSON.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import orjson

from tools_app.errors import ConfigProblem

SEPARATOR = "__"
MAX_NAME_CHARS = 64
# What a definition is pinned by, and all that is kept of it. Icons and `_meta` come and go.
MEMBERS = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
MAX_DEFINITION_BYTES = 131_072
_MAX_NAME_AT_SERVER = 200
_MAX_DESCRIPTION_CHARS = 16_384
_MAX_DEPTH = 64
_SUFFIX_CHARS = 8
_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9_-]")
_ANY_OBJECT: dict[str, Any] = {"type": "object", "properties": {}}
# Keywords whose members are schemas by names of their own.
_NAMED_SCHEMAS = ("properties", "$defs", "definitions", "dependentSchemas")
# Whose values are no schemas.
_VALUES = ("const", "enum", "default", "examples", "required", "dependentRequired", "type")


def kept_definition(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a tool as a server described it; ConfigProblem if it can't be used."""
    kept = {name: given[name] for name in MEMBERS if given.get(name) is not None}
    name = kept.get("name")
    if not isinstance(name, str) or not name or len(name) > _MAX_NAME_AT_SERVER:
        raise ConfigProblem("name", f"A tool needs a name of at most {_MAX_NAME_AT_SERVER} characters.")
    for member in ("title", "description"):
        if not isinstance(kept.get(member, ""), str) or len(kept.get(member, "")) > _MAX_DESCRIPTION_CHARS:
            raise ConfigProblem(member, f"It must be a text of at most {_MAX_DESCRIPTION_CHARS} characters.")
    if depth_of(kept) > _MAX_DEPTH:
        raise ConfigProblem("inputSchema", "It is nested too deeply.")
    try:
        text = canonical(kept)
    except (TypeError, ValueError) as error:
        raise ConfigProblem("inputSchema", "It can't be written as JSON.") from error
    if b"\\u0000" in text:
        raise ConfigProblem("inputSchema", "It holds a NUL, which can't be stored.")
    if len(text) > MAX_DEFINITION_BYTES:
        raise ConfigProblem("inputSchema", f"The definition has more than {MAX_DEFINITION_BYTES} bytes.")
    return kept


def canonical(definition: Mapping[str, Any]) -> bytes:
    """The same bytes for the same definition, however its members are ordered."""
    return orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)


def fingerprint_of(definition: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical name, title, description, schemas and annotations, in hex."""
    return hashlib.sha256(canonical({name: definition.get(name) for name in MEMBERS})).hexdigest()


def exposed_name(server: str, name: str, *, is_taken: bool = False) -> str:
    """The name in the catalogue: `server__tool`, in the characters and the length that models take.

    A name that had to be altered ends in eight characters of its digest, and so does one that is taken:
    two tools never share one.
    """
    plain = _NOT_ALLOWED.sub("_", name)
    whole = f"{server}{SEPARATOR}{plain}"
    if plain == name and len(whole) <= MAX_NAME_CHARS and not is_taken:
        return whole
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_SUFFIX_CHARS]
    return f"{whole[: MAX_NAME_CHARS - _SUFFIX_CHARS - 1]}_{digest}"


def changed_members(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Which members of a definition are others now."""
    return [name for name in MEMBERS if before.get(name) != after.get(name)]


def input_schema(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a tool's arguments, as models are told it."""
    schema = definition.get("inputSchema")
    return schema if isinstance(schema, dict) and schema else _ANY_OBJECT


def checked_schema(schema: Any) -> Any:
    """A schema for the check in the gateway: without regular expressions, which the server checks itself.

    The pattern is a stranger's, the text a model's, and nothing can stop a regular expression once it runs.
    """
    if isinstance(schema, list):
        return [checked_schema(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for name, member in schema.items():
        if name in ("pattern", "patternProperties", "format"):
            continue
        if name in ("additionalProperties", "unevaluatedProperties") and "patternProperties" in schema:
            continue
        if name in _NAMED_SCHEMAS and isinstance(member, dict):
            kept[name] = {inner: checked_schema(one) for inner, one in member.items()}
        else:
            kept[name] = member if name in _VALUES else checked_schema(member)
    return kept


def depth_of(value: object) -> int:
    """How deep lists and objects are nested, without recursion."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        deepest = max(deepest, depth)
        members = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        waiting.extend((member, depth + 1) for member in members)
    return deepest
