"""What an upstream on Bedrock needs besides an address and a credential, and where Bedrock is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from upstreams_app.kinds import KINDS
from upstreams_app.options import WrongOption
from upstreams_app.options import check_options as check_described

# bedrock-runtime.eu-west-1.amazonaws.com, and private endpoints: vpce-….bedrock-runtime.eu-west-1.vpce.…
_HOST = re.compile(r"(?:^|\.)bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")
# Other hosts under these domains may be any customer's own.
_OURS = re.compile(
    r"(?:^|\.)bedrock(?:-runtime)?(?:-fips)?\.[a-z0-9-]+\.(?:vpce\.)?amazonaws\.(?:com|com\.cn|eu)\Z"
)


def check_options(options: Mapping[str, Any]) -> None:
    """ValueError, in words for an administrator, unless the options are known and right."""
    kind = KINDS["bedrock"]
    check_described(kind.label, kind.options, options)
    for name in ("external_id", "session_name"):
        if name in options and "role_arn" not in options:
            raise WrongOption("external_id and session_name go with role_arn.", option=name)


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
    return parts.scheme == "https" and _OURS.search(parts.hostname or "") is not None
