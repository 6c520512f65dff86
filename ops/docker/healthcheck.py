"""Ends with 0 if the server of this container is ready: GET /readyz on its own port, by Python alone."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 4.0


def main() -> int:
    """0 for ready, 1 with the reason on standard error for anything else."""
    url = f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/readyz"
    # The environment's proxies are for upstreams.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT_S) as response:
            return 0 if response.status == 200 else 1
    except (OSError, urllib.error.URLError) as error:
        print(f"{url}: {error}", file=sys.stderr)  # noqa: T201  (Docker keeps it for a person)
        return 1


if __name__ == "__main__":
    sys.exit(main())
