"""The OpenAI Agents SDK, prepared: nothing else imports it, and this only where there is an agent.

Importing the SDK takes seconds of CPU time and 90 MB.
"""

from __future__ import annotations

import os

# Read when an agent is made. Without it an agent that names no model gets the settings of OpenAI's newest
# (`reasoning_effort`, `verbosity`), which other upstreams refuse.
DEFAULT_MODEL = "gateway-default"
os.environ["OPENAI_DEFAULT_MODEL"] = DEFAULT_MODEL

import agents  # noqa: E402


def assert_ours() -> None:
    """Put back what code of an agent may have changed for the whole process when it was imported."""
    os.environ["OPENAI_DEFAULT_MODEL"] = DEFAULT_MODEL
    # The SDK's own processor posts prompts to OpenAI as soon as it finds a key.
    agents.set_trace_processors([])


assert_ours()
