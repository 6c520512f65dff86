"""What the source files of a drop-in may say: a check of their syntax trees, before anything is imported.

It is hygiene, no sandbox: Python has countless ways to the same object, and a check of names knows a few.
What holds an agent's code in is the process that it runs in (`agents_app.isolation`).
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents_app.entry import IN_PROCESS
from agents_app.folders import source_files, writable

TRUSTED, RESTRICTED = "trusted", "restricted"
EVERYWHERE = "*"
# Counts the rules below: what was checked under other rules is checked anew.
RULES_VERSION = 1
MAX_VIOLATIONS = 5

# The server's own parts, and what reaches into the memory of its process.
_DENIED_MODULES = frozenset(
    {
        *("gateway_project", "security_app", "usage_app", "upstreams_app", "tools_app", "agents_app"),
        *("django", "ctypes", "_ctypes", "gateway_dropins"),
    }
)
# The parts of the gateway that are made for agents.
_FOR_AGENTS = frozenset({"agents_app.tools", "agents_app.sdk.mixture", "sdk_adapter"})
_RESTRICTED_MODULES = _FOR_AGENTS | {
    *("agents", "pydantic", "typing", "typing_extensions", "json", "datetime", "math", "re", "asyncio"),
    *("dataclasses", "collections", "enum", "functools", "itertools", "decimal", "fractions", "random"),
    *("string", "textwrap", "uuid", "time", "zoneinfo", "statistics", "abc", "contextlib", "__future__"),
}
# They change the SDK for the whole process, or are keys and places to send traces to.
_SETTERS = frozenset(
    {
        *("set_default_openai_key", "set_default_openai_client", "set_default_openai_api"),
        *("set_default_openai_responses_transport", "set_default_openai_agent_registration"),
        *("set_default_openai_harness", "set_default_agent_runner", "set_trace_processors"),
        *("add_trace_processor", "set_trace_provider", "set_tracing_export_api_key"),
    }
)
# They hand the machine to a model.
_SHELLS = frozenset(
    {
        *("ShellTool", "LocalShellTool", "ComputerTool", "ApplyPatchTool"),
        *("SandboxAgent", "UnixLocalSandboxClient"),
    }
)
_RESTRICTED_NAMES = frozenset(
    {
        *("eval", "exec", "compile", "globals", "locals", "vars", "open", "input", "breakpoint", "help"),
        *("MCPServerStdio", "set_tracing_disabled", "create_subprocess_shell", "create_subprocess_exec"),
        *("subprocess_shell", "subprocess_exec", "open_connection", "open_unix_connection"),
        *("start_server", "start_unix_server", "create_connection", "create_server"),
    }
)
# Ways from an object to the interpreter.
_INNER_ATTRIBUTES = frozenset(
    {
        *("sys", "builtins", "importlib", "ctypes", "subprocess", "posix", "modules", "popen"),
        *("gi_frame", "gi_code", "cr_frame", "cr_code", "ag_frame", "ag_code", "tb_frame", "tb_next"),
        *("f_globals", "f_locals", "f_builtins", "f_back", "f_code", "co_code", "mro"),
    }
)
_BY_NAME = frozenset({"getattr", "setattr", "delattr", "hasattr"})
_HARMLESS_DUNDERS = frozenset(
    {
        *("__name__", "__doc__", "__file__", "__all__", "__gateway__", "__init__", "__post_init__"),
        *("__version__", "__str__", "__repr__", "__annotations__"),
    }
)
_DUNDER = re.compile(r"__\w+__")
_DUNDER_IN_FORMAT = re.compile(r"\{[^{}]*__\w+")


@dataclass(frozen=True, slots=True)
class Policy:
    """What the drop-ins of a namespace may do, and where they run.

    `allowed` adds to what the mode allows: modules (`httpx`, `xml.etree`) and shells (`agents.ShellTool`).
    `denied` are modules; it beats `allowed`.
    """

    mode: str = TRUSTED
    allowed: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    isolation: str = IN_PROCESS

    @property
    def digest(self) -> str:
        """Stands for everything that a check depends on."""
        parts = [str(RULES_VERSION), self.mode, *sorted(self.allowed), "", *sorted(self.denied)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def plain(self) -> dict[str, Any]:
        """What a check needs, for the process of a probe."""
        return {"mode": self.mode, "allowed": sorted(self.allowed), "denied": sorted(self.denied)}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Policy:
        """The inverse of `plain`."""
        return cls(plain["mode"], frozenset(plain["allowed"]), frozenset(plain["denied"]))


def violations(folder: Path, policy: Policy) -> list[str]:
    """What the folder's files say that the policy forbids, the first few with file and line."""
    found: list[str] = []
    for path in source_files(folder):
        name = writable(path.relative_to(folder).as_posix())
        try:
            tree = ast.parse(path.read_bytes(), filename=path.name)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return [writable(f"{type(error).__name__}: {error}")]
        checker = _Checker(policy)
        for line, problem in sorted(set(checker.problems(tree))):
            found.append(writable(f"{name}, line {line}: {problem}"))
            if len(found) == MAX_VIOLATIONS:
                return found
    return found


class _Checker:
    """Looks at one file. A problem is a line and what is wrong there."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._is_restricted = policy.mode == RESTRICTED
        # Names in this file that stand for modules, or may.
        self._modules: set[str] = set()

    def problems(self, tree: ast.AST) -> Iterator[tuple[int, str]]:
        """What the file may not say."""
        nodes = list(ast.walk(tree))
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._modules |= _module_names(node)
        for node in nodes:
            for problem in self._problems_of(node):
                yield getattr(node, "lineno", 1), problem

    def _problems_of(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            for one in node.names:
                yield from self._of_module(one.name)
        elif isinstance(node, ast.ImportFrom):
            yield from self._of_import_from(node)
        elif isinstance(node, ast.Name):
            yield from self._of_name(node.id)
        elif isinstance(node, ast.Attribute):
            yield from self._of_attribute(node)
        elif self._is_restricted and isinstance(node, ast.Call):
            yield from self._of_call(node)
        elif self._is_restricted and isinstance(node, ast.Constant):
            yield from self._of_text(str(node.value))

    def _of_import_from(self, node: ast.ImportFrom) -> Iterator[str]:
        if node.level:
            # The folder's own files, which are checked themselves.
            return
        module = node.module or ""
        names = [one.name for one in node.names]
        for name in names:
            if problem := next(self._of_module(f"{module}.{name}"), ""):
                yield next(self._of_module(module), problem)
                break
        for name in names:
            yield from self._of_sdk_name(name)
            if self._is_restricted and (name in _RESTRICTED_NAMES or self._is_foreign_module(name)):
                yield f"imports '{name}', which the policy does not allow"
            elif self._is_restricted and name.startswith("_"):
                yield f"imports '{name}', which is private"

    def _of_module(self, name: str) -> Iterator[str]:
        policy = self._policy
        if _covers(policy.denied, name):
            yield f"imports '{name}', which the policy denies"
        elif _covers(policy.allowed, name) or self._is_for_agents(name):
            return
        elif self._is_restricted and not _covers(_RESTRICTED_MODULES, name):
            yield f"imports '{name}', which the policy does not allow"
        elif not self._is_restricted and _covers(_DENIED_MODULES, name):
            yield f"imports '{name}', which is no agent's"

    def _is_for_agents(self, name: str) -> bool:
        return _covers(_FOR_AGENTS, name) and not _covers(self._policy.denied, name)

    def _of_sdk_name(self, name: str) -> Iterator[str]:
        if f"agents.{name}" in self._policy.allowed:
            return
        if name in _SETTERS:
            yield f"uses '{name}', which would change the server for all agents"
        elif name in _SHELLS:
            yield f"uses '{name}', which gives the machine to a model"

    def _of_name(self, name: str) -> Iterator[str]:
        if self._is_restricted and (name in _RESTRICTED_NAMES or _is_inner(name)):
            yield f"uses '{name}'"

    def _of_attribute(self, node: ast.Attribute) -> Iterator[str]:
        name, root = node.attr, _root_of(node)
        if root in self._modules:
            yield from self._of_sdk_name(name)
        if not self._is_restricted:
            return
        is_of_module = root in self._modules
        if _is_inner(name) or name in _INNER_ATTRIBUTES:
            yield f"uses '.{name}'"
        elif is_of_module and (name in _RESTRICTED_NAMES or self._is_foreign_module(name)):
            yield f"uses '{root}.{name}', which the policy does not allow"
        elif is_of_module and name.startswith("_"):
            yield f"uses '{root}.{name}', which is private"

    def _of_call(self, node: ast.Call) -> Iterator[str]:
        if not isinstance(node.func, ast.Name) or node.func.id not in _BY_NAME or len(node.args) < 2:
            return
        name = node.args[1]
        is_plain = isinstance(name, ast.Constant) and isinstance(name.value, str)
        if not is_plain or str(getattr(name, "value", "")).startswith("_"):
            yield f"uses {node.func.id}() with a name that can't be checked"

    def _of_text(self, text: str) -> Iterator[str]:
        if _DUNDER_IN_FORMAT.search(text):
            yield "formats an inner name of Python's"

    def _is_foreign_module(self, name: str) -> bool:
        """Whether it is a module of Python's own that may not be imported: allowed ones hold many."""
        is_module = name in sys.stdlib_module_names
        return is_module and not _covers(_RESTRICTED_MODULES | self._policy.allowed, name)


def _module_names(node: ast.Import | ast.ImportFrom) -> set[str]:
    """The names that an import makes, which may be modules: of the folder's own files none, nor a class."""
    if isinstance(node, ast.ImportFrom) and node.level:
        return set()
    names = {(one.asname or one.name).partition(".")[0] for one in node.names}
    return names if isinstance(node, ast.Import) else {name for name in names if name[0].islower()}


def _covers(modules: frozenset[str] | set[str], name: str) -> bool:
    """Whether a module or one that it is in is among them."""
    parts = name.split(".")
    return any(".".join(parts[:count]) in modules for count in range(1, len(parts) + 1))


def _is_inner(name: str) -> bool:
    return _DUNDER.fullmatch(name) is not None and name not in _HARMLESS_DUNDERS


def _root_of(node: ast.Attribute) -> str:
    """`a` of `a.b.c`."""
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        inner = inner.value
    return inner.id if isinstance(inner, ast.Name) else ""
