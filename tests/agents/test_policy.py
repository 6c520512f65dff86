"""What the source of a drop-in may say: hygiene with file and line, before anything is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents_app.policy import MAX_VIOLATIONS, RESTRICTED, TRUSTED, Policy, violations
from tests.agents.dropins import write_agent

RESTRICTED_POLICY = Policy(RESTRICTED)
HONEST = '''
from __future__ import annotations
import asyncio, dataclasses, json, random
from datetime import datetime
from agents import Agent, ModelSettings, Runner, function_tool, handoff
from agents.extensions import handoff_filters
from agents_app.tools import use_gateway_tool
from pydantic import BaseModel, Field
from .prices import table

__gateway__ = {"namespace": "sales"}

class Quote(BaseModel):
    """A quote of {price} each."""
    price: float = Field(gt=0)
    code: str = ""

    def __init__(self, **given):
        super().__init__(**given)

@function_tool
async def quote(item: str) -> str:
    """A price."""
    await asyncio.sleep(0)
    copied = Quote(price=table.get(item, random.random())).model_copy()
    return json.dumps(getattr(copied, "code")) + f"{copied.price:.2f} {datetime.now():%H}"

if __name__ == "__main__":
    print(table)
agent = Agent(name="Desk", tools=[quote], output_type=Quote)
'''


def found(root: Path, source: str, policy: Policy = RESTRICTED_POLICY) -> list[str]:
    """What is wrong with an agent.py of this text."""
    return violations(write_agent(root, "Desk", source), policy)


@pytest.mark.parametrize("policy", [Policy(TRUSTED), RESTRICTED_POLICY])
def test_an_honest_agent_may_be_what_it_is(tmp_path: Path, policy: Policy) -> None:
    assert found(tmp_path, HONEST, policy) == []


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import os", "imports 'os', which the policy does not allow"),
        ("import os.path as p", "imports 'os.path', which the policy does not allow"),
        ("from os import system", "imports 'os', which the policy does not allow"),
        ("from agents import sys", "imports 'sys', which the policy does not allow"),
        ("from random import _os", "imports '_os', which is private"),
        ("from agents import Agent, MCPServerStdio", "imports 'MCPServerStdio', which the policy does not"),
        ("from agents_app import models", "imports 'agents_app', which the policy does not allow"),
        ("from agents_app.tools import x; from django.conf import settings", "imports 'django.conf'"),
        ("x = eval('1')", "uses 'eval'"),
        ("run = exec", "uses 'exec'"),
        ("open('/etc/passwd')", "uses 'open'"),
        ("__import__('os').system('id')", "uses '__import__'"),
        ("__builtins__", "uses '__builtins__'"),
        ("().__class__.__bases__", "uses '.__bases__'"),
        ("getattr(1, '__class__')", "uses getattr() with a name that can't be checked"),
        ("getattr(1, 'a' + 'b')", "uses getattr() with a name that can't be checked"),
        ("'{0.__class__}'.format(1)", "formats an inner name of Python's"),
        ("(lambda: 1).f_globals", "uses '.f_globals'"),
        ("import asyncio; asyncio.create_subprocess_shell('id')", "uses 'asyncio.create_subprocess_shell'"),
        ("import random; random._os.system('id')", "uses 'random._os', which is private"),
    ],
)
def test_a_restricted_agent_is_refused_with_the_line(tmp_path: Path, source: str, problem: str) -> None:
    first = found(tmp_path, f"from agents import Agent\n\n{source}\n")[0]

    assert first.startswith(f"agent.py, line 3: {problem}")


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.system('id')",
        "import os\nKEY = os.environ['OPENAI_API_KEY']",
        "import agents\nagents.sys.modules['os'].system('id')",
    ],
)
def test_a_restricted_agent_has_no_way_to_the_system_that_a_reader_would_see(
    tmp_path: Path, source: str
) -> None:
    assert found(tmp_path, source)
    assert found(tmp_path, source, Policy(TRUSTED)) == []


@pytest.mark.parametrize("policy", [Policy(TRUSTED), RESTRICTED_POLICY])
@pytest.mark.parametrize(
    "source",
    [
        "import agents\nagents.set_default_openai_key('sk-1')",
        "from agents import set_default_openai_client",
        "from agents.tracing import set_trace_processors",
        "from agents import LocalShellTool",
        "import agents.tool as t\nt.ShellTool(executor=None)",
        "from security_app.models import ApiKey",
        "import ctypes",
    ],
)
def test_nobody_changes_the_server_or_hands_out_a_shell(tmp_path: Path, source: str, policy: Policy) -> None:
    assert len(found(tmp_path, source, policy)) == 1


def test_what_an_operator_allows_is_allowed_and_what_they_deny_is_not(tmp_path: Path) -> None:
    source = "import httpx\nfrom agents import ShellTool\nimport os.path"

    allowed = Policy(RESTRICTED, frozenset({"httpx", "agents.ShellTool", "os"}))
    denied = Policy(TRUSTED, frozenset({"httpx", "agents.ShellTool"}), frozenset({"os"}))

    assert found(tmp_path, source, allowed) == []
    assert found(tmp_path, source, denied) == ["agent.py, line 3: imports 'os.path', which the policy denies"]


def test_all_files_of_the_folder_are_looked_at(tmp_path: Path) -> None:
    folder = write_agent(tmp_path, "Desk", "from .tools import words")
    (folder / "tools").mkdir()
    (folder / "tools" / "words.py").write_text("\n\nimport subprocess")

    assert violations(folder, RESTRICTED_POLICY) == [
        "tools/words.py, line 3: imports 'subprocess', which the policy does not allow"
    ]


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    assert len(found(tmp_path, "import os\n" * 100)) == MAX_VIOLATIONS


@pytest.mark.parametrize(
    ("source", "words"),
    [("x = = 1", "SyntaxError: invalid syntax (agent.py, line 1)"), ("x = '\0'", "null bytes")],
)
def test_what_is_no_python_is_refused(tmp_path: Path, source: str, words: str) -> None:
    (problem,) = found(tmp_path, source, Policy(TRUSTED))

    assert words in problem


def test_no_nesting_brings_the_check_down(tmp_path: Path) -> None:
    for source in ("(" * 5000 + ")" * 5000, "x = " + "-" * 20_000 + "1", "x = 1" + "+1" * 20_000):
        assert isinstance(found(tmp_path, source), list)


def test_the_digest_stands_for_what_a_check_depends_on() -> None:
    policies = [
        Policy(),
        Policy(RESTRICTED),
        Policy(allowed=frozenset({"os"})),
        Policy(denied=frozenset({"os"})),
    ]

    assert len({one.digest for one in policies}) == len(policies)
    assert Policy(isolation="process").digest == Policy().digest
