"""`make smoke`: asks a running gateway for its health and its models. Needs nothing but Python.

GATEWAY_URL names the server (default http://127.0.0.1:8000), GATEWAY_API_KEY a key of it.
"""

from __future__ import annotations

import json
import os
import sys
from urllib.error import URLError
from urllib.request import Request, urlopen


def fetch(url: str, key: str) -> object:
    """The JSON of one GET; URLError if it is not answered with success."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with urlopen(Request(url, headers=headers), timeout=10) as response:  # noqa: S310  (the operator's own URL)
        return json.loads(response.read() or b"null")


def main() -> int:
    """Prints one line for each question; 1 if one was not answered well."""
    base = os.environ.get("GATEWAY_URL", "http://127.0.0.1:8000").rstrip("/")
    key = os.environ.get("GATEWAY_API_KEY", "")
    failures = 0
    for path in ("/health", "/v1/models"):
        try:
            answer = fetch(base + path, key)
        except (URLError, ValueError, TimeoutError) as error:
            failures += 1
            print(f"FAIL {path}: {error}")
        else:
            print(f"ok   {path}: {json.dumps(answer)[:200]}")
    if failures and not key:
        print("GATEWAY_API_KEY is not set; /v1/models needs a key.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
