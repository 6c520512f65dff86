"""One server process: uvicorn on a socket that `manage.py serve` opened, with a drain before it stops."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from types import FrameType
from typing import TYPE_CHECKING

from gateway_project.collector import spare

if TYPE_CHECKING:
    import uvicorn

# What this process has read by the time it serves. Code of agents, and whatever it starts, needs none of it.
_SECRETS = (
    "GATEWAY_SECRET_KEY",
    "GATEWAY_ENCRYPTION_KEYS",
    "GATEWAY_KEY_PEPPERS",
    "GATEWAY_MASTER_KEY",
    "DATABASE_URL",
    "REDIS_URL",
    "DJANGO_SUPERUSER_PASSWORD",
    "GATEWAY_OIDC_CLIENT_SECRET",
    "EMAIL_URL",
)


def main(arguments: list[str]) -> None:
    """Serve until SIGTERM; started by `manage.py serve` with the number of an inherited socket."""
    parser = argparse.ArgumentParser(prog="gateway_project.server")
    parser.add_argument("--fd", type=int, required=True)
    options = parser.parse_args(arguments)
    spare()
    os.environ["GATEWAY_PROCESS"] = "server"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings.base")

    import uvicorn
    from django.conf import settings

    from gateway_project.processes import NOT_AGAIN
    from gateway_project.sole_server import sole_server

    class Server(uvicorn.Server):
        """Tells readiness first, and goes on serving until the balancer has noticed."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """First signal: drain. The delay over, uvicorn stops accepting and waits for streams."""
            from gateway_project.lifecycle import lifecycle

            is_first = not lifecycle.is_draining
            lifecycle.drain()
            if is_first and settings.DRAIN_DELAY_S:
                loop = asyncio.get_running_loop()
                loop.call_later(settings.DRAIN_DELAY_S, super().handle_exit, sig, frame)
            else:
                super().handle_exit(sig, frame)

    config = _configuration()
    # The settings are read: the lines above needed them.
    for name in (*_SECRETS, *settings.VENDOR_KEY_NAMES):
        os.environ.pop(name, None)
    # A terminal's Ctrl-C reaches `manage.py serve` alone, which sends one SIGTERM to each process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        Server(config).run(sockets=[socket.socket(fileno=options.fd)])
    except SystemExit:
        # uvicorn's way to say that it could not start.
        if sole_server.is_refused:
            sys.exit(NOT_AGAIN)
        raise


def _configuration() -> uvicorn.Config:
    """What uvicorn serves, and how. Imported late: settings are read from the environment first."""
    import uvicorn
    from django.conf import settings

    from gateway_project.protocol import JoiningProtocol
    from gateway_project.websocket import MAX_MESSAGE_BYTES, PatientProtocol

    return uvicorn.Config(
        "gateway_project.asgi:application",
        loop="uvloop",
        http=JoiningProtocol,
        ws=PatientProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        # Compressing for a page costs the event loop more than the bytes are worth.
        ws_per_message_deflate=False,
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=bool(settings.TRUSTED_PROXIES),
        forwarded_allow_ips=settings.TRUSTED_PROXIES or None,
        # Longer than clients keep idle connections, so that they close them and not we under a request.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.STREAM_DRAIN_S),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
