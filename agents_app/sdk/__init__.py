"""The OpenAI Agents SDK, prepared: nothing else imports it, and this only where there is an agent.

Importing the SDK takes seconds of CPU time and 90 MB.
"""

from __future__ import annotations

import os

from agents_app.entry import UNNAMED_MODEL

# Read when an agent is made. Without it an agent that names no model gets the settings of OpenAI's newest
# (`reasoning_effort`, `verbosity`), which other upstreams refuse.
os.environ["OPENAI_DEFAULT_MODEL"] = UNNAMED_MODEL

from agents.models import _openai_shared, openai_agent_registration
from agents.tracing import setup as tracing_setup

from agents import run
from agents_app.sdk.nested import GatewayRunner
from agents_app.sdk.tracing import RunTraces

run.set_default_agent_runner(GatewayRunner())
# The SDK's own posts prompts to OpenAI as soon as it finds a key.
tracing_setup.GLOBAL_TRACE_PROVIDER = RunTraces()

# What the SDK's `set_default_…` functions write to, for the whole process, as it was before any drop-in.
_DEFAULTS = [
    (module, name, getattr(module, name))
    for module, names in (
        (
            _openai_shared,
            (
                "_default_openai_key",
                "_default_openai_client",
                "_use_responses_by_default",
                "_default_openai_responses_transport",
                "_use_responses_websocket_by_default",
            ),
        ),
        (openai_agent_registration, ("_default_agent_registration",)),
        (run, ("DEFAULT_AGENT_RUNNER",)),
        (tracing_setup, ("GLOBAL_TRACE_PROVIDER",)),
    )
    for name in names
]


def assert_ours() -> None:
    """Put back what code of an agent may have changed for the whole process when it was imported."""
    os.environ["OPENAI_DEFAULT_MODEL"] = UNNAMED_MODEL
    for module, name, value in _DEFAULTS:
        setattr(module, name, value)


assert_ours()
