"""What a drop-in's folder may hold, and what is said of one that can't be served."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import weakref
from pathlib import Path

import pytest

import agents
from agents_app.folders import find_folders
from agents_app.sdk.loader import ROOT_PACKAGE, DropInError, Loaded, load
from security_app.services.configuration import store

HEAD = "from agents import Agent\n"


@pytest.fixture(autouse=True)
def no_other_drop_ins() -> None:
    """What a test before this one has loaded goes: modules are counted here."""
    store.forget()
    gc.collect()


def write(root: Path, files: dict[str, str], name: str = "Helper") -> Path:
    """A folder with these files."""
    for file, text in files.items():
        path = root / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / name


def load_one(root: Path, **files: str) -> list[Loaded]:
    """The agents of the one folder below a root, which gets these modules first."""
    write(root, {f"{name}.py": text for name, text in files.items()})
    (folder,) = find_folders((root,))
    return load(folder)


def reason(root: Path, **files: str) -> str:
    """Why the one folder below a root can't be loaded."""
    with pytest.raises(DropInError) as caught:
        load_one(root, **files)
    assert not modules()
    return str(caught.value)


def modules() -> list[str]:
    """The modules of drop-ins that this process holds."""
    return [name for name in sys.modules if name.startswith(ROOT_PACKAGE + ".")]


def test_agent_is_served_by_the_folders_name(tmp_path: Path) -> None:
    (found,) = load_one(tmp_path, agent=HEAD + "agent = Agent(name='A')")

    assert (found.slug, found.agent.name) == ("helper", "A")


@pytest.mark.parametrize("prefix", ["", "async "])
def test_build_agent_makes_the_agent(tmp_path: Path, prefix: str) -> None:
    (found,) = load_one(tmp_path, agent=HEAD + f"{prefix}def build_agent(): return Agent(name='Built')")

    assert (found.slug, found.agent.name) == ("helper", "Built")


def test_other_agents_are_served_under_their_names(tmp_path: Path) -> None:
    source = "Second_One = Agent(name='B')\nagent = Agent(name='A')\nalias = agent\n_hidden = Agent(name='C')"

    found = load_one(tmp_path, agent=HEAD + source)

    assert [(one.slug, one.agent.name) for one in found] == [("helper", "A"), ("helper-second_one", "B")]


def test_a_folder_without_a_main_agent_serves_its_others(tmp_path: Path) -> None:
    (found,) = load_one(tmp_path, agent=HEAD + "writer = Agent(name='W')")

    assert found.slug == "helper-writer"


def test_relative_imports_reach_modules_packages_and_plain_folders(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "__init__.py": "NAME = 'A'",
            "helpers.py": "from .tools import words\nNAME = words.NAME",
            "tools/__init__.py": "from . import words",
            "tools/words.py": "NAME = 'B'",
            "plain/more.py": "from ..tools.words import NAME",
            "agent.py": HEAD + "from . import NAME, helpers\nfrom .plain.more import NAME as third\n"
            "agent = Agent(name=NAME + helpers.NAME + third)",
        },
    )

    (found,) = load_one(tmp_path)

    assert found.agent.name == "ABB"


def test_nothing_is_written_beside_the_sources(tmp_path: Path) -> None:
    write(tmp_path, {"tools/__init__.py": "X = 1"})

    load_one(tmp_path, agent=HEAD + "from .tools import X\nagent = Agent(name='A')")

    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"Helper/agent.py", "Helper/tools/__init__.py"}


def test_the_sdk_is_what_agents_means(tmp_path: Path) -> None:
    source = "import agents\nagent = agents.Agent(name=agents.__file__)"

    (found,) = load_one(tmp_path, agent=source)

    assert found.agent.name == agents.__file__


def test_overrides_are_read(tmp_path: Path) -> None:
    gateway = {"namespace": "team-1", "display_name": "Nice", "description": "Helps.", "model": "m"}
    source = f"__gateway__ = {gateway}\nagent = Agent(name='A')\nother = Agent(name='B')"

    main, other = load_one(tmp_path, agent=HEAD + source)

    assert main.overrides == gateway
    assert other.overrides == {"namespace": "team-1", "model": "m"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("[]", "must be a dict"),
        ("{'model': 1}", "must be a dict of texts"),
        ("{'modell': 'm', 1: 'x'}", "no member 1, modell"),
        ("{'namespace': 'Team'}", "'namespace' may have"),
        ("{'namespace': 'a/b'}", "'namespace' may have"),
        ("{'namespace': ''}", "'namespace' may have"),
        ("{'upstream': 'u'}", "'upstream' needs a 'model'"),
    ],
)
def test_wrong_overrides_are_refused(tmp_path: Path, value: str, words: str) -> None:
    assert words in reason(tmp_path, agent=HEAD + f"__gateway__ = {value}\nagent = Agent(name='A')")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = = 1", "SyntaxError: invalid syntax (agent.py, line 1)"),
        ("\nimport nothing_like_it", "No module named 'nothing_like_it' (agent.py, line 2)"),
        ("from . import nothing", "ImportError"),
        ("agent = 1", "'agent' must be an Agent, not int"),
        ("def build_agent(): pass", "build_agent() must return an Agent, not NoneType"),
        ("async def build_agent(): raise ValueError('no')", "ValueError: no (agent.py, line 1)"),
        ("def build_agent(name): pass", "TypeError"),
        ("x = 1", "has neither 'agent' nor 'build_agent()'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("from agents import Agent; Agent(name=1)", "TypeError"),
        ("class E(Exception):\n def __str__(self): raise TypeError\nraise E", "E (agent.py, line 3)"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, source: str, words: str) -> None:
    assert words in reason(tmp_path, agent=source)


def test_an_interrupt_by_an_agents_code_ends_nothing(tmp_path: Path) -> None:
    found: list[str] = []

    thread = threading.Thread(
        target=lambda: found.append(reason(tmp_path, agent="raise KeyboardInterrupt('stop')"))
    )
    thread.start()
    thread.join()

    assert found == ["KeyboardInterrupt: stop (agent.py, line 1)"]


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    write(outside, {"secret.py": "NAME = 'x'"}, name="package")
    folder = write(root, {"agent.py": HEAD + "from .package.secret import NAME\nagent = Agent(name=NAME)"})
    (folder / "package").symlink_to(outside / "package")

    assert "No module named" in reason(root)

    (folder / "package").unlink()
    (folder / "package.py").symlink_to(outside / "package" / "secret.py")
    (found,) = find_folders((root,))
    assert found.problem == "package.py is a link that leads out of the folder"


def test_a_linked_folder_shows_no_code_that_nobody_looks_at(tmp_path: Path) -> None:
    """Hidden files are in no digest, and not checked by the policy."""
    files = {"agent.py": HEAD + "from .shown.code import NAME\nagent = Agent(name=NAME)"}
    folder = write(tmp_path, files | {".hidden/code.py": "NAME = 'x'"})
    (folder / "shown").symlink_to(".hidden")

    assert "No module named" in reason(tmp_path)


def test_what_agents_set_for_the_whole_process_is_put_back(tmp_path: Path) -> None:
    from agents.models import _openai_shared as shared

    source = """
import os
import agents

class Spy(agents.TracingProcessor):
    on_trace_start = on_trace_end = on_span_start = on_span_end = lambda self, one: None
    shutdown = force_flush = lambda self, *given: None

agents.set_trace_processors([Spy()])
agents.set_default_openai_key("sk-theirs")
agents.set_default_openai_api("chat_completions")
os.environ["OPENAI_DEFAULT_MODEL"] = "gpt-5"
agent = agents.Agent(name="A")
"""
    load_one(tmp_path, agent=source)

    assert shared.get_default_openai_key() is None
    assert shared.get_use_responses_by_default()
    assert os.environ["OPENAI_DEFAULT_MODEL"] == "gateway-default"
    assert not agents.tracing.get_trace_provider()._multi_processor._processors  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no-such-package-of-ours>=1\n", "'no-such-package-of-ours>=1' is not installed"),
        ("pydantic<1\n", "'pydantic<1' is wanted, and 2."),
        ("# tools\n-r more.txt\n", "'-r more.txt' is no plain requirement"),
    ],
)
def test_a_requirement_that_is_not_met_is_named(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path, {"requirements.txt": text})

    found = reason(tmp_path, agent=HEAD + "agent = Agent(name='A')")

    assert found.startswith("requirements.txt: ")
    assert words in found


def test_requirements_that_are_met_change_nothing(tmp_path: Path) -> None:
    text = "pydantic>=2  # ours\n\n# more\nopenai-agents\nnothing; python_version < '3'\n"
    write(tmp_path, {"requirements.txt": text})

    assert load_one(tmp_path, agent=HEAD + "agent = Agent(name='A')")


def test_a_generation_is_importable_as_long_as_something_holds_it(tmp_path: Path) -> None:
    write(tmp_path, {"late.py": "NAME = 'first'"})
    source = "def late():\n from .late import NAME\n return NAME\nagent = Agent(name='A')\nagent.late = late"
    old = load_one(tmp_path, agent=HEAD + source)
    assert old[0].agent.late() == "first"  # type: ignore[attr-defined]
    write(tmp_path, {"late.py": "NAME = 'second'"})

    new = load_one(tmp_path)

    assert new[0].agent.late() == "second"  # type: ignore[attr-defined]
    assert old[0].agent.late() == "first"  # type: ignore[attr-defined]
    old.clear()
    assert len({name.split(".")[1] for name in modules()}) == 1
    new.clear()
    assert not modules()


def test_a_hundred_generations_leave_nothing_behind(tmp_path: Path) -> None:
    write(
        tmp_path, {"tools.py": "from agents import function_tool\n@function_tool\ndef f() -> str: return ''"}
    )
    gone: list[weakref.ref[object]] = []
    before = len(sys.modules)
    for number in range(100):
        source = f"from .tools import f\nagent = Agent(name='A{number}', tools=[f])"
        (found,) = load_one(tmp_path, agent=HEAD + source)
        gone.append(weakref.ref(found.agent))
        del found

    gc.collect()

    assert [ref() for ref in gone if ref() is not None] == []
    assert len(sys.modules) <= before + 5
    assert not modules()


async def test_loading_within_a_loops_thread_pool_works(tmp_path: Path) -> None:
    source = (
        HEAD + "import asyncio\nasync def build_agent():\n await asyncio.sleep(0)\n return Agent(name='A')"
    )

    (found,) = await asyncio.to_thread(load_one, tmp_path, agent=source)

    assert found.agent.name == "A"
