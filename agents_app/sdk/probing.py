"""The task of a probe's process: check a drop-in's files, import it, and report what is in it.

The check is done here, too, as Python's parser may take much time and memory for a file that was made for it.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from agents import Agent
from agents_app.folders import Folder, writable
from agents_app.isolation.frames import Frame, receive_frame, send_frame
from agents_app.policy import Policy, violations
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
    send_frame(channel, _examined(Folder(path=Path(path), **order["folder"]), Policy.of(order["policy"])))


def _examined(folder: Folder, policy: Policy) -> Frame:
    """None of the folder's code has run before the check is over."""
    try:
        if found := violations(folder.path, policy):
            return {"violations": found}
        return {"agents": [_report(one) for one in load(folder)]}
    except DropInError as error:
        return {"problem": str(error)}
    except (OSError, ValueError) as error:
        return {"problem": writable(str(error))}


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
