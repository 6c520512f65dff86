"""Drop-ins are imported in a limited process first: what happens there harms nothing, and is told."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from pytest_django import Settings

from agents_app.folders import Folder, find_folders
from agents_app.isolation import probe as probes
from agents_app.isolation.forkserver import PROBE
from agents_app.isolation.frames import receive_frame, send_frame
from agents_app.isolation.probe import AgentReport, Blocked, ProbeFailed, probe
from agents_app.isolation.processes import forkserver
from agents_app.isolation.sandbox import Limits
from agents_app.policy import RESTRICTED, Policy
from tests.agents.confinement import needs_confinement
from tests.agents.dropins import write_agent

HEAD = "from agents import Agent, function_tool\n"
DESK = """
@function_tool
def look_up(word: str) -> str:
    return word
clerk = Agent(name="Clerk", model="small", handoff_description="Does the rest.")
__gateway__ = {"display_name": "Nice"}
agent = Agent(name="Desk", tools=[look_up], handoffs=[clerk], model="big")
"""


@pytest.fixture(autouse=True)
def reports(settings: Settings, tmp_path: Path) -> Path:
    """Where reports are stored; the memory is enough for an import."""
    settings.GATEWAY_DATA_DIR = tmp_path / "data"
    settings.AGENT_PROCESS_MEMORY_MB = 256
    return tmp_path / "data" / "agents" / "probes"


def folder(root: Path, source: str) -> Folder:
    """A folder with this agent.py."""
    write_agent(root / "agents", "Desk", HEAD + source)
    (found,) = find_folders((root / "agents",))
    return found


def reason(root: Path, source: str) -> str:
    """Why the probe of such a folder fails."""
    with pytest.raises(ProbeFailed) as caught:
        probe(folder(root, source), Policy())
    return str(caught.value)


def test_the_report_says_what_is_in_the_folder(tmp_path: Path) -> None:
    desk, clerk = probe(folder(tmp_path, DESK), Policy())

    overrides = {"display_name": "Nice"}
    assert desk == AgentReport("desk", "Desk", "", overrides, ["look_up"], ["big", "small"], ["Clerk"])
    assert clerk == AgentReport("desk-clerk", "Clerk", "Does the rest.", {}, [], ["small"], [])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nothing_like_it", "No module named 'nothing_like_it' (agent.py, line 2)"),
        ("agent = 1", "'agent' must be an Agent, not int"),
        ("import os\nos._exit(7)", "The import ended the process (exit 7)."),
        ("import os\nos.write(3, b'nonsense')\nos._exit(0)", "The import ended the process (exit 0)."),
        ("import os\nos.write(3, b'\\0\\0\\0\\x0d' + b'{\"agents\":[]}')\nos._exit(0)", "1 to 200 agents"),
        ("import os\nos.abort()", "The import ended the process (signal "),
    ],
)
def test_what_fails_is_told(tmp_path: Path, source: str, words: str) -> None:
    assert words in reason(tmp_path, source)


@pytest.mark.parametrize("source", ["a\n" * 250_000, "f'" + "{a}" * 100_000 + "'"], ids=["long", "slow"])
def test_a_check_of_the_source_costs_the_server_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, source: str
) -> None:
    """Python's parser takes a minute, or a gigabyte, for a file of a megabyte."""
    settings.AGENT_PROCESS_MEMORY_MB = 64
    monkeypatch.setattr(probes, "PROBE_CPU_S", 1)

    assert "The import used more than" in reason(tmp_path, source) or "MemoryError" in reason(
        tmp_path, source
    )


def test_what_the_policy_forbids_is_not_imported(tmp_path: Path) -> None:
    found = folder(tmp_path, "import os\nos._exit(7)")

    with pytest.raises(Blocked, match=r"agent\.py, line 2: imports 'os', which the policy does not allow"):
        probe(found, Policy(RESTRICTED))


def test_an_endless_loop_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_CPU_S", 1)

    assert reason(tmp_path, "while True: pass") == "The import used more than 1 s of CPU time."


def test_an_import_that_waits_for_ever_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_S", 3.0)

    assert reason(tmp_path, "import threading\nthreading.Event().wait()") == (
        "The import did not end within 3 s."
    )


@pytest.mark.parametrize(
    "source",
    [
        "x = []\nwhile True: x.append(bytearray(10_000_000))",
        "import mmap\nx = mmap.mmap(-1, 2_000_000_000)\nx.write(b' ' * 2_000_000_000)",
    ],
)
def test_memory_is_limited(tmp_path: Path, source: str) -> None:
    assert any(
        words in reason(tmp_path, source) for words in ("MemoryError", "Cannot allocate", "MB of memory")
    )


@needs_confinement
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os\nraise SystemExit(os.system('echo'))", "SystemExit: 32512"),
        ("import os\nos.fork()", "PermissionError"),
        ("import subprocess\nsubprocess.run(['/bin/true'])", "PermissionError"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 1))", "PermissionError"),
        ("open('/etc/passwd')", "FileNotFoundError"),
        ("open('/proc/1/environ')", "FileNotFoundError"),
        ("import os\nos.listdir(os.environ['DATA'])", "KeyError: 'DATA'"),
        ("open(__file__, 'a')", "Error: [Errno"),
        ("open('/tmp/big', 'wb').write(b' ' * 30_000_000)", "File too large"),
        ("import os\nos.kill(-1, 9)", "PermissionError"),
        ("import agents\nraise SystemExit(agents.sys.modules['os'].system('id'))", "SystemExit: 32512"),
    ],
)
def test_an_import_gains_nothing(tmp_path: Path, source: str, words: str) -> None:
    assert words in reason(tmp_path, source)


def test_no_module_of_the_servers_is_in_the_process(tmp_path: Path) -> None:
    source = """
import sys, os
names = {name.partition(".")[0] for name in sys.modules}
raise SystemExit(sorted(names & {"django", "celery", "security_app", "usage_app", "upstreams_app"}) + sorted(
    set(os.environ) - {"LANG", "HOME", "OPENAI_AGENTS_DISABLE_TRACING", "OPENAI_DEFAULT_MODEL"}))
"""
    assert reason(tmp_path, source) == "SystemExit: [] (agent.py, line 5)"


def test_it_is_the_first_to_go_when_memory_runs_out(tmp_path: Path) -> None:
    source = "import os, threading\nos.write(3, b'\\0\\0\\0\\2{}')\nthreading.Event().wait()"
    child = forkserver.start(
        PROBE, folder(tmp_path, source).path, limits=Limits(256_000_000, 15), linger_s=1.0
    )
    with closing(child):
        child.channel.settimeout(30)
        about = {"name": "Desk", "namespace": "default", "slug": "desk", "digest": ""}
        send_frame(child.channel, {"folder": about, "policy": Policy().plain()})
        assert receive_frame(child.channel) == {}
        assert forkserver._process is not None
        place = Path(f"/proc/{forkserver._process.pid}")
        newest = (place / "task" / place.name / "children").read_text().split()[-1]
        assert Path(f"/proc/{newest}/oom_score_adj").read_text().strip() == "1000"


@needs_confinement
def test_the_threads_of_a_process_are_no_others(tmp_path: Path) -> None:
    source = """
import os, threading
for _ in range(40): threading.Thread(target=threading.Event().wait).start()
os.write(3, b'\\0\\0\\0\\2{}')
threading.Event().wait()
"""
    found = folder(tmp_path, source)
    limits = Limits(256_000_000, 15)
    with ExitStack() as stack:
        for _ in range(2):
            child = forkserver.start(PROBE, found.path, limits=limits, linger_s=1.0)
            stack.callback(child.close)
            child.channel.settimeout(30)
            about = {"name": "Desk", "namespace": "default", "slug": "desk", "digest": ""}
            send_frame(child.channel, {"folder": about, "policy": Policy().plain()})
            assert receive_frame(child.channel) == {}


@needs_confinement
def test_only_the_agents_own_folder_and_code_of_the_product_can_be_read(tmp_path: Path) -> None:
    secret = tmp_path / "data" / "secrets.env"
    secret.parent.mkdir()
    secret.write_text("GATEWAY_SECRET_KEY=x")
    root = Path(probes.__file__).parents[2]

    assert "FileNotFoundError" in reason(tmp_path, f"open({str(secret)!r})")
    text = reason(tmp_path, f"import os\nraise SystemExit(sorted(os.listdir({str(root)!r})))")
    seen = set(text.partition("[")[2].partition("]")[0].replace("'", "").split(", "))
    # Python itself may be there.
    packages = Path(sys.prefix)
    own = {packages.relative_to(root).parts[0]} if packages.is_relative_to(root) else set()
    assert seen - own <= {"agents_app", "gateway_project", "sdk_adapter"}


def test_a_report_is_stored_and_serves_without_a_process(
    tmp_path: Path, reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = folder(tmp_path, DESK)
    first = probe(found, Policy())
    monkeypatch.setattr(probes, "_made", None)

    assert probe(found, Policy()) == first
    assert len(list(reports.glob("*.json"))) == 1
    with pytest.raises(TypeError):
        probe(found, Policy(RESTRICTED))


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    found = folder(
        tmp_path, "import pathlib\n(pathlib.Path(__file__).parent / 'there.bin').read_text()" + DESK
    )
    with pytest.raises(ProbeFailed):
        probe(found, Policy())

    (found.path / "there.bin").write_text("")

    assert probe(found, Policy())


def test_those_who_ask_together_wait_for_one_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    original, found = probes._made, folder(tmp_path, DESK)
    monkeypatch.setattr(
        probes,
        "_made",
        lambda one, policy: made.append(one.name) or original(one, policy),  # type: ignore[func-returns-value]
    )

    threads = [threading.Thread(target=probe, args=(found, Policy())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert made == ["Desk"]


def test_old_reports_are_dropped(tmp_path: Path, reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "MAX_FILES", 3)
    reports.mkdir(parents=True)
    for number in range(5):
        path = reports / f"{number:064}.json"
        path.write_text("{}")
        os.utime(path, (number, number))

    probe(folder(tmp_path, DESK), Policy())

    kept = sorted(path.name for path in reports.glob("*.json"))
    assert len(kept) == 3
    assert {f"{number:064}.json" for number in (3, 4)} < set(kept)


def test_a_broken_report_is_made_anew(tmp_path: Path, reports: Path) -> None:
    found = folder(tmp_path, DESK)
    probe(found, Policy())
    (stored,) = reports.glob("*.json")
    stored.write_text('{"agents": 1}')

    assert len(probe(found, Policy())) == 2


def test_without_a_place_to_store_it_is_probed_all_the_same(tmp_path: Path, reports: Path) -> None:
    reports.parent.mkdir(parents=True)
    reports.write_text("in the way")

    assert len(probe(folder(tmp_path, DESK), Policy())) == 2
