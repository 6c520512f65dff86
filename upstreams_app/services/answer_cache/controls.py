"""What a client says about kept answers: in the body's `cache`, as LiteLLM has it, or in `cache-control`."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from gateway_project.core.codec import RawFields, loads
from gateway_project.core.errors import InvalidRequest
from upstreams_app.cache_policy import MAX_TTL_S

_FIELD: Final = "cache"
_FLAGS: Final = ("no-cache", "no-store", "use-cache")
_MAX_AGES: Final = ("s-maxage", "s-max-age")
_MAX_NAMESPACE_CHARS: Final = 128
_NAMES: Final = (*_FLAGS, "ttl", *_MAX_AGES, "namespace")


class Controls(NamedTuple):
    """Whether a kept answer is wanted, how old it may be, and whether and how long to keep the new one."""

    is_wanted: bool = True
    may_be_kept: bool = True
    is_asked_for: bool = False
    ttl_s: int | None = None
    max_age_s: int | None = None
    namespace: str = ""


NOTHING_SAID: Final = Controls()


def take_controls(fields: RawFields, header: bytes | None) -> Controls:
    """What the request says; the body's object is taken out, for it is no vendor's business.

    InvalidRequest names what is wrong with it. Words of the header that say nothing to us are passed over.
    """
    raw = fields.pop(_FIELD, None)
    controls = NOTHING_SAID if raw is None else _of_object(_read(raw))
    return controls if header is None else _with_header(controls, header)


def _read(raw: msgspec.Raw) -> Any:
    try:
        return loads(memoryview(raw))
    except ValueError as error:
        message = "'cache' holds a number that is out of range, or half of a character."
        raise InvalidRequest(message, param=_FIELD) from error


def _of_object(value: Any) -> Controls:
    if value is None:
        return NOTHING_SAID
    if not isinstance(value, dict):
        raise InvalidRequest("'cache' must be an object.", param=_FIELD)
    for name in value:
        if name not in _NAMES:
            known = ", ".join(_NAMES)
            raise InvalidRequest(f"'cache' has {known}, and no '{name[:50]}'.", param=f"{_FIELD}.{name[:50]}")
    no_cache, no_store, use_cache = (_flag(value, name) for name in _FLAGS)
    max_ages = [age for name in _MAX_AGES if (age := _seconds(value, name)) is not None]
    ttl_s = _seconds(value, "ttl")
    return Controls(
        is_wanted=not no_cache,
        may_be_kept=not no_store and ttl_s != 0,
        is_asked_for=use_cache,
        ttl_s=ttl_s,
        max_age_s=min(max_ages, default=None),
        namespace=_namespace(value),
    )


def _flag(value: dict[str, Any], name: str) -> bool:
    flag = value.get(name)
    if flag is not None and not isinstance(flag, bool):
        raise InvalidRequest(f"'{_FIELD}.{name}' must be true or false.", param=f"{_FIELD}.{name}")
    return bool(flag)


def _seconds(value: dict[str, Any], name: str) -> int | None:
    seconds = value.get(name)
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_TTL_S:
        message = f"'{_FIELD}.{name}' must be a number of seconds from 0 to {MAX_TTL_S}."
        raise InvalidRequest(message, param=f"{_FIELD}.{name}")
    return int(seconds)


def _namespace(value: dict[str, Any]) -> str:
    namespace = value.get("namespace")
    if namespace is None:
        return ""
    if not isinstance(namespace, str) or len(namespace) > _MAX_NAMESPACE_CHARS:
        message = f"'{_FIELD}.namespace' must be a text of at most {_MAX_NAMESPACE_CHARS} characters."
        raise InvalidRequest(message, param=f"{_FIELD}.namespace")
    return namespace


def _with_header(controls: Controls, header: bytes) -> Controls:
    """RFC 9111, section 5.2.1, as far as it says something to a cache of answers."""
    for word in header.decode("latin-1").lower().split(","):
        name, _, text = (part.strip() for part in word.partition("="))
        if name == "no-cache":
            controls = controls._replace(is_wanted=False)
        elif name == "no-store":
            controls = controls._replace(may_be_kept=False)
        elif name in ("max-age", "s-maxage") and text.isascii() and text.isdigit():
            age = min(int(text[:12]), MAX_TTL_S)
            known = controls.max_age_s
            controls = controls._replace(max_age_s=age if known is None else min(age, known))
    return controls
