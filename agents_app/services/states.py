"""Where agents stand: what is decided about them (rows), and what this process has loaded (the snapshot)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agents_app.discovery import LoadedFolder
from agents_app.entry import PROCESS
from agents_app.isolation.processes import limits_of_confinement
from agents_app.models import Agent
from agents_app.registry import FOLDERS, SECTION, AgentsConfig
from security_app.services.configuration import store

LOADED = "loaded"
DISABLED = "disabled"
NOT_LOADED = "not loaded"
GONE = "folder gone"
_PREFIX = "agent "


@dataclass(frozen=True, slots=True)
class AgentState:
    """One agent: its row, and what its code says; the latter is empty unless it is loaded."""

    row: Agent
    state: str
    name: str = ""
    description: str = ""
    digest: str = ""
    created: int = 0
    code_members: tuple[str, ...] = ()
    isolation: str = ""

    @property
    def runs_in(self) -> str:
        """Where its code runs now, in words, and what keeps a process from being confined; "" if nowhere."""
        if self.isolation != PROCESS:
            return "the server's process" if self.isolation else ""
        return f"a process of its own. {limits_of_confinement()}".strip()

    @property
    def member_names(self) -> list[str]:
        """The members that the code has, and then those that only the row knows from a former version."""
        return list(dict.fromkeys([*self.code_members, *self.row.members]))


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a folder, or one agent of it, is not served."""

    folder: str
    message: str


def agent_states(rows: Iterable[Agent]) -> list[AgentState]:
    """The state of each of these rows, in this process."""
    if not store.is_loaded:
        return [AgentState(row, NOT_LOADED) for row in rows]
    sections = store.current.sections
    config: AgentsConfig = sections[SECTION].value
    folders: dict[str, LoadedFolder] = sections[FOLDERS].value
    present = {loaded.folder.name for loaded in folders.values()}
    return [_state(row, config, present) for row in rows]


def agent_problems() -> list[Problem]:
    """What of the folders on disk could not be loaded or served, as this process saw it."""
    if not store.is_loaded:
        return []
    return [
        Problem(item.object.removeprefix(_PREFIX), item.message)
        for item in store.current.sections[SECTION].diagnostics
    ]


def _state(row: Agent, config: AgentsConfig, present: set[str]) -> AgentState:
    entry = config.loaded.get(row.slug)
    if entry is None:
        return AgentState(row, NOT_LOADED if row.is_declared or row.folder in present else GONE)
    state = LOADED if row.is_enabled else DISABLED
    code = (entry.name, entry.description, entry.digest, entry.created, entry.member_names)
    return AgentState(row, state, *code, entry.isolation)
