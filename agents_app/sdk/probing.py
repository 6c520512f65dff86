"""The task of a probe's process: import a drop-in, and report what is in it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from agents import Agent
from agents_app.folders import Folder, writable
from agents_app.isolation.frames import Frame, receive_frame, send_frame
from agents_app.sdk.client_tools import graph_of
from agents_app.sdk.gateway_tools import gateway_tools_of
from agents_app.sdk.loader import DropInError, Loaded, load

_MAX_NAMES = 200
_MAX_TEXT = 2000


def main(channel: socket.socket, path: str) -> None:
    """Take the folder's description, and send the report, or why there is none."""
    order = receive_frame(channel)
    if order is None:
        return
    try:
        found = load(Folder(path=Path(path), **order["folder"]))
        report: Frame = {"agents": [_report(one) for one in found]}
    except DropInError as error:
        report = {"problem": str(error)}
    send_frame(channel, report)


def _report(loaded: Loaded) -> Frame:
    agent = loaded.agent
    reachable = graph_of(agent)
    return {
        "slug": loaded.slug,
        "name": _text(agent.name),
        "description": _text(agent.handoff_description or ""),
        "overrides": loaded.overrides,
        "tools": [_text(tool.name) for tool in agent.tools[:_MAX_NAMES]],
        "models": sorted({_model_of(one) for one in reachable})[:_MAX_NAMES],
        "members": list(loaded.members)[:_MAX_NAMES],
        "gateway_tools": sorted(gateway_tools_of(agent))[:_MAX_NAMES],
        "handoffs": [_text(one.name) for one in reachable if one is not agent][:_MAX_NAMES],
    }


def _model_of(agent: Agent[Any]) -> str:
    model = agent.model
    return _text(model if isinstance(model, str) else "" if model is None else type(model).__name__)


def _text(value: object) -> str:
    return writable(str(value)[:_MAX_TEXT])
