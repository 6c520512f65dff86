"""Starting our gateway for a measurement, and configuring it through its own API."""

from __future__ import annotations

import http.client
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench.client import Target
from bench.processes import REPOSITORY, Server, StartError, answers, python

MASTER_KEY = "sk-bench-master-0000000000"
VENDOR_KEY = "sk-vendor-0000"
ADMIN, ADMIN_PASSWORD = "bench", "the administrator of the bench"
_REMOVE_LIMITS = "from security_app.models import Limit; Limit.objects.all().delete()"
# What would send the bench to somebody's real database, broker or vendors.
DROPPED_NAMES = ("DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "DJANGO_SETTINGS_MODULE")


@dataclass(frozen=True, slots=True)
class Services:
    """Where the gateway keeps its data; empty means its defaults for one machine."""

    database_url: str = ""
    redis_url: str = ""


def environment(data: Path, port: int, services: Services) -> dict[str, str]:
    """The gateway's environment: this process's, less what would reach real services."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.removesuffix("_FILE") not in DROPPED_NAMES and not name.startswith("GATEWAY_")
    }
    kept |= {
        "GATEWAY_DATA_DIR": str(data),
        # A file that isn't there: else a .env in the repository would be read.
        "GATEWAY_ENV_FILE": str(data / "bench.env"),
        "GATEWAY_MASTER_KEY": MASTER_KEY,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
        "GATEWAY_AGENT_DISCOVERY_PATH": "",
        "DJANGO_SUPERUSER_USERNAME": ADMIN,
        "DJANGO_SUPERUSER_PASSWORD": ADMIN_PASSWORD,
    }
    if services.database_url:
        kept["DATABASE_URL"] = services.database_url
    if services.redis_url:
        kept["REDIS_URL"] = services.redis_url
    return kept


def gateway(
    folder: Path,
    port: int,
    *,
    core: int | None,
    services: Services,
    profile: dict[str, str],
    name: str = "gateway",
) -> Server:
    """Bootstrap an empty gateway with one worker; enter what is returned to start it."""
    data = folder / f"data-{name}"
    data.mkdir()
    log = folder / f"{name}.log"
    variables = environment(data, port, services)
    _manage(("bootstrap",), log, variables)
    # A new installation limits each key, and the load is one key's.
    _manage(("shell", "-v", "0", "-c", _REMOVE_LIMITS), log, variables)
    return Server(
        name=name,
        command=python("manage.py", "serve", "--no-tasks"),
        log=log,
        is_ready=answers(port, "/readyz"),
        core=core,
        environment=variables | profile,
        is_supervisor=True,
        start_s=60.0,
    )


def _manage(arguments: Sequence[str], log: Path, variables: dict[str, str]) -> None:
    with log.open("ab") as output:
        done = subprocess.run(
            python("manage.py", *arguments),
            cwd=REPOSITORY,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=120,
            check=False,
        )
    if done.returncode:
        text = log.read_text(errors="replace")[-3000:]
        raise StartError(f"manage.py {arguments[0]} failed:\n{text}")


def configure(port: int, vendor_port: int, *, models: Sequence[str] = ("bench",)) -> Target:
    """Add the vendor's model `bench` with a price, and a key without limits that may use these models."""
    _post(
        port,
        "/model/new",
        {
            "model_name": "bench",
            "litellm_params": {
                "model": "openai/bench-upstream",
                "api_base": f"http://127.0.0.1:{vendor_port}/v1",
                "api_key": VENDOR_KEY,
            },
            "model_info": {
                "input_cost_per_token": "0.0000001",
                "output_cost_per_token": "0.0000004",
            },
        },
    )
    return Target("gateway", port, key=_key(port, {"models": list(models)}))


def with_limits(port: int) -> Target:
    """A key in a team, with what an administrator would set: limits of both, and a budget of both."""
    wide = {"rpm_limit": 10**9, "tpm_limit": 10**12, "max_budget": "1000000", "budget_duration": "1mo"}
    team = _post(port, "/team/new", {"team_alias": "bench", **wide})["team_id"]
    limits = {"max_parallel_requests": 10_000, "team_id": team, **wide}
    return Target("gateway", port, key=_key(port, {"models": ["bench"], **limits}))


def over_vendors(port: int, vendor_ports: Sequence[int], strategy: str) -> Target:
    """A route of this strategy over the same model of each vendor, and a key for it."""
    for vendor_port in vendor_ports:
        params = {
            "model": "openai/bench-upstream",
            "api_base": f"http://127.0.0.1:{vendor_port}/v1",
            "api_key": VENDOR_KEY,
        }
        _post(port, "/model/new", {"model_name": strategy, "litellm_params": params})
    _post(port, f"/routes/{strategy}", {"strategy": strategy}, method="PATCH")
    return Target("gateway", port, key=_key(port, {"models": [strategy]}), model=strategy)


def with_mcp_server(port: int, url: str) -> str:
    """Add the MCP server `bench`, and a key, which is returned, that may call its tools."""
    _post(port, "/v1/mcp/server", {"server_name": "bench", "url": url, "transport": "http"})
    return _key(port, {})


def _key(port: int, body: dict[str, object]) -> str:
    key = _post(port, "/key/generate", body).get("key")
    if not isinstance(key, str):
        raise StartError("/key/generate answered without a key")
    return key


def _post(port: int, path: str, body: dict[str, object], *, method: str = "POST") -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(
            method,
            path,
            orjson.dumps(body),
            {"authorization": f"Bearer {MASTER_KEY}", "content-type": "application/json"},
        )
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status not in (200, 201):
        raise StartError(f"{path} answered {response.status}: {content[:500]!r}")
    answer = orjson.loads(content)
    if not isinstance(answer, dict):
        raise StartError(f"{path} answered no object")
    return answer
