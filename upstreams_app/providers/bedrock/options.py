"""What an upstream on Bedrock needs besides an address and a credential, and where Bedrock is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_TEXTS = ("region", "role_arn", "external_id", "session_name", "profile")
_REGION = re.compile(r"[a-z]{2,5}(-[a-z]+){1,3}-\d{1,2}")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+", re.ASCII)
# Of an assumed role's session (STS, AssumeRole).
_SESSION = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
_PROFILE = re.compile(r"[\w+=,.@:/ -]{1,128}", re.ASCII)
# bedrock-runtime.eu-west-1.amazonaws.com, and private endpoints: vpce-….bedrock-runtime.eu-west-1.vpce.…
_HOST = re.compile(r"(?:^|\.)bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")


def check_options(options: Mapping[str, Any]) -> None:
    """ValueError, in words for an administrator, unless the options are known and right."""
    for name, value in options.items():
        if name == "structured_outputs":
            if not isinstance(value, bool):
                raise ValueError("structured_outputs is true or false.")
        elif name not in _TEXTS:
            raise ValueError(
                f"There is no option '{name}'; there are {', '.join(_TEXTS)}, structured_outputs."
            )
        elif not isinstance(value, str) or not value:
            raise ValueError(f"{name} is a text.")
    _match(options, "region", _REGION, "an AWS region, such as us-east-1")
    _match(options, "role_arn", _ROLE, "the ARN of an IAM role")
    _match(options, "session_name", _SESSION, "2 to 64 letters, digits and =,.@-")
    _match(options, "external_id", _EXTERNAL_ID, "2 to 1224 letters, digits and =,.@:/-")
    _match(options, "profile", _PROFILE, "the name of a profile")
    if {"external_id", "session_name"} & options.keys() and "role_arn" not in options:
        raise ValueError("external_id and session_name go with role_arn.")


def _match(options: Mapping[str, Any], name: str, pattern: re.Pattern[str], expected: str) -> None:
    if name in options and not pattern.fullmatch(options[name]):
        raise ValueError(f"{name} must be {expected}.")


def runtime_url(options: Mapping[str, Any]) -> str:
    """Where models are called; "" without a region."""
    region = options.get("region", "")
    return f"https://bedrock-runtime.{region}.{_domain(region)}" if region else ""


def control_url(options: Mapping[str, Any], base_url: str) -> str:
    """Where models are listed: at AWS another host than theirs; "" where it is the upstream's own address."""
    region = region_of(options, base_url)
    return f"https://bedrock.{region}.{_domain(region)}" if region and is_amazons(base_url) else ""


def _domain(region: str) -> str:
    """The domain of a region's partition."""
    if region.startswith("cn-"):
        return "amazonaws.com.cn"
    return "amazonaws.eu" if region.startswith("eusc-") else "amazonaws.com"


def region_of(options: Mapping[str, Any], url: str) -> str:
    """The region that signatures name: that of the URL's host, else the option; "" if neither tells."""
    found = _HOST.search(urlsplit(url).hostname or "") if is_amazons(url) else None
    return found[1] if found else str(options.get("region", ""))


def is_amazons(url: str) -> bool:
    """Whether a URL leads to AWS, over TLS: only there goes a key that the machine has for Bedrock."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "https" and host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"))
