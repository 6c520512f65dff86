"""The ASGI application: inference doors go to the lean handler, everything else to Django."""

from __future__ import annotations

import os
from typing import cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings.base")

from django.conf import settings
from django.core.asgi import get_asgi_application

_django_handler = get_asgi_application()

# These need configured apps.
from gateway_project.api.exchange import Message, Receive, Send  # noqa: E402
from gateway_project.api_handler import ApiHandler  # noqa: E402
from gateway_project.django_guard import Application, DjangoGuard  # noqa: E402
from gateway_project.https_only import HttpsOnly  # noqa: E402
from gateway_project.lifecycle import lifecycle  # noqa: E402
from usage_app.consumers import live_socket  # noqa: E402
from usage_app.services.live import SOCKET_PATH  # noqa: E402

api_handler = ApiHandler()
django_application = DjangoGuard(cast("Application", _django_handler))
# Every WebSocket there is, by its path. Each one itself refuses whom it is not for.
web_sockets: dict[str, Application] = {SOCKET_PATH: live_socket}


async def _serve_http(scope: Message, receive: Receive, send: Send) -> None:
    if api_handler.find(scope["path"]) is not None:
        await api_handler(scope, receive, send)
    else:
        await lifecycle.ensure_started()
        await django_application(dict(scope), receive, send)


# Decided once: a request pays nothing for what is off.
serve_http: Application = HttpsOnly(_serve_http, api_handler) if settings.HTTPS_ONLY else _serve_http


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """Route one connection."""
    kind = scope["type"]
    if kind == "http":
        await serve_http(scope, receive, send)
    elif kind == "lifespan":
        await _lifespan(receive, send)
    elif kind == "websocket" and scope["path"] in web_sockets:
        await lifecycle.ensure_started()
        await web_sockets[scope["path"]](scope, receive, send)
    elif kind == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4404})


async def _lifespan(receive: Receive, send: Send) -> None:
    """Start and stop with the server (https://asgi.readthedocs.io/en/latest/specs/lifespan.html)."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                await lifecycle.start()
            except Exception as error:  # noqa: BLE001  (the server reports it and exits)
                await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
                return
            await send({"type": "lifespan.startup.complete"})
        else:
            await lifecycle.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
