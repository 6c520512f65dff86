"""curl commands of documents without curl: a shell reads them as for a person, httpx sends them."""

from __future__ import annotations

import argparse
import subprocess

import httpx

from tests.services import TRUSTS_NOBODY

# Shows the words that curl would get.
_CURL = "curl() { printf '%s\\0' \"$@\"; }\n"
_FORM = {"content-type": "application/x-www-form-urlencoded"}


def run_curl(command: str, **variables: str) -> httpx.Response:
    """The answer to a command; unknown options and variables that were not given fail the test."""
    done = subprocess.run(
        ["/bin/sh", "-euc", _CURL + command],
        env=variables,
        capture_output=True,
        check=True,
        text=True,
        timeout=10,
    )
    options = _parser().parse_args(done.stdout.split("\0")[:-1])
    headers = dict(_FORM) if options.body is not None else {}
    headers |= {
        name.lower(): value.strip() for name, _, value in (one.partition(":") for one in options.header)
    }
    method = options.method or ("POST" if options.body is not None else "GET")
    return httpx.request(
        method,
        options.url,
        headers=headers,
        content=options.body,
        timeout=10,
        trust_env=False,
        verify=TRUSTS_NOBODY,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("curl", allow_abbrev=False, add_help=False)
    parser.add_argument("url")
    for flag in ("-s", "-S", "-N"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("-H", action="append", default=[], dest="header")
    parser.add_argument("-d", dest="body")
    parser.add_argument("-X", dest="method")
    return parser
