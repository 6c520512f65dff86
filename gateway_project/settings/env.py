"""Reading the environment: django-environ with `NAME_FILE` secrets, and our own parsers.

The parsers are pure functions so that each can be tested without a process environment.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from gateway_project.core.clock import parse_duration
from gateway_project.core.crypto import Ring, parse_ring

Environment = environ.FileAwareEnv
_DATABASE_SCHEMES = ("sqlite", "postgresql", "postgres", "psql", "pgsql")
_REDIS_SCHEMES = ("redis", "rediss")


def parse_port(text: str, *, name: str) -> int:
    """A TCP port, 1–65535."""
    try:
        port = int(text)
    except ValueError:
        port = 0
    if not 1 <= port <= 65_535:
        raise ImproperlyConfigured(f"{name} must be a port from 1 to 65535, not '{text}'.")
    return port


def parse_positive(text: str, *, name: str) -> int:
    """A whole number of at least one."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise ImproperlyConfigured(f"{name} must be a whole number of at least 1, not '{text}'.")
    return number


def parse_whole(text: str, *, name: str) -> int:
    """A whole number, zero or more."""
    if not (text.isascii() and text.isdecimal()):
        raise ImproperlyConfigured(f"{name} must be a whole number of at least 0, not '{text}'.")
    return int(text)


def parse_seconds(text: str, *, name: str) -> float:
    """A finite duration in seconds, zero or more."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 86_400:
        raise ImproperlyConfigured(f"{name} must be seconds from 0 to 86400, not '{text}'.")
    return seconds


def parse_period(text: str, *, name: str) -> timedelta:
    """A duration such as `15m`, `24h` or `7d`."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}.") from error


def parse_size(text: str, *, name: str) -> int:
    """Bytes, also as `512K`, `20M`, `1G` (powers of 1024)."""
    factors = {"K": 1024, "M": 1024**2, "G": 1024**3}
    digits, factor = (text[:-1], factors[text[-1].upper()]) if text[-1:].upper() in factors else (text, 1)
    try:
        size = int(digits) * factor
    except ValueError:
        size = 0
    if size < 1:
        raise ImproperlyConfigured(f"{name} must be a size such as 1048576, 512K or 20M, not '{text}'.")
    return size


def parse_key_ring(text: str, *, name: str) -> Ring:
    """A ring of 32-byte secrets, `id:base64,…`, current first; empty text is an empty ring."""
    try:
        return parse_ring(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}.") from error


def parse_database_url(text: str, *, name: str) -> dict[str, Any]:
    """Django's settings of the database that `sqlite:///path` or `postgresql://…` names."""
    _require_scheme(text, _DATABASE_SCHEMES, "sqlite:/// or postgresql://", name=name)
    try:
        config: dict[str, Any] = Environment.db_url_config(text)
    except ValueError:
        raise _unreadable(name) from None
    return config


def parse_redis_url(text: str, *, name: str) -> str:
    """The address of Valkey or Redis: `redis://…`, with TLS `rediss://…`, or empty where there is none."""
    if text:
        _require_scheme(text, _REDIS_SCHEMES, "redis:// or rediss://", name=name)
        try:
            _ = urlsplit(text).port
        except ValueError:
            raise _unreadable(name) from None
    return text


def channel_prefix(redis_url: str) -> str:
    """What names of published messages begin with: unlike keys, Valkey keeps them apart by name alone."""
    parts = urlsplit(redis_url)
    number = parse_qs(parts.query).get("db", [parts.path.strip("/")])[0]
    return f"gateway.{number or 0}."


def _require_scheme(text: str, schemes: tuple[str, ...], expected: str, *, name: str) -> None:
    scheme, separator, _ = text.partition("://")
    if scheme not in schemes or not separator:
        found = f", not with {scheme}://" if separator else ""
        raise ImproperlyConfigured(f"{name} must start with {expected}{found}.")


def _unreadable(name: str) -> ImproperlyConfigured:
    """Without the value, and without the parser's words: either may hold a part of the password."""
    return ImproperlyConfigured(
        f"{name} can't be read as a URL. Is the port a number, and are special characters of the password "
        "percent-encoded?"
    )


def parse_origins(items: list[str], *, name: str) -> list[str]:
    """Origins such as `https://chat.example.org`, `tauri://localhost`, or the single word `*`."""
    origins = []
    for item in items:
        try:
            parts = urlsplit(item)
        except ValueError:
            parts = urlsplit("")
        if item != "*" and (not parts.scheme or not parts.netloc or parts.path not in ("", "/")):
            raise ImproperlyConfigured(f"{name}: '{item}' is not an origin such as https://chat.example.org.")
        origins.append(item.rstrip("/"))
    return origins


def parse_prefixes(items: list[str], *, name: str) -> list[str]:
    """Beginnings of names of environment variables, such as `TEAM_`; none is empty, which would be all."""
    for item in items:
        if not item.isascii() or not item.replace("_", "").isalnum():
            raise ImproperlyConfigured(f"{name}: '{item}' does not begin a name such as TEAM_.")
    return items


def read_dotenv(path: Path) -> None:
    """Add the lines of a `.env` file to the environment; what is set already wins."""
    if path.is_file():
        environ.Env.read_env(str(path), overwrite=False)


def parse_choice(text: str, choices: tuple[str, ...], *, name: str) -> str:
    """One of some words."""
    word = text.strip().lower()
    if word not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not '{text}'.")
    return word


def parse_pairs(items: list[str], *, name: str) -> dict[str, str]:
    """Pairs such as `platform-admins=administrator`; the right side is one of ours."""
    pairs = {}
    for item in items:
        theirs, separator, ours = (part.strip() for part in item.rpartition("="))
        if not separator or not theirs or not ours:
            raise ImproperlyConfigured(f"{name}: '{item}' is no pair such as platform-admins=administrator.")
        pairs[theirs] = ours
    return pairs
