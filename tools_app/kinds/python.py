"""Tools that are functions of Python modules on this machine: those that the operator's setting names."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from django.conf import settings

from gateway_project.core.ids import public_id
from tools_app.entry import ToolCall
from tools_app.errors import ConfigProblem
from tools_app.kinds import ANY_OBJECT, refuse_unknown_members

_MEMBER = "callable"
_REFERENCE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z]\w*)\Z", re.ASCII)
# Threads of calls that run over their time are not free before the function returns.
_THREADS = 32
_pool = ThreadPoolExecutor(_THREADS, "python-tool")


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a function with the parameters `(arguments, context)` is told of its call."""

    tool: str
    agent: str
    call_id: str
    request_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function that may be called. `takes_context`: with `arguments=` and `context=`."""

    call: Callable[..., Any]
    is_async: bool
    takes_context: bool


class PythonKind:
    """`{"callable": "module:function"}`; the arguments are keyword arguments."""

    id = "python"
    default_parameters = ANY_OBJECT

    def default_description(self, config: Mapping[str, Any]) -> str:
        """None: a model can't know what a function is for."""
        return ""

    def prepare(self, config: Mapping[str, Any], parameters: Mapping[str, Any]) -> Function:
        """The function, imported."""
        refuse_unknown_members(config, (_MEMBER,))
        reference = config.get(_MEMBER)
        named = _REFERENCE.match(reference) if isinstance(reference, str) else None
        if named is None:
            raise ConfigProblem(_MEMBER, "Give module:function, such as tooling.local_tools:add.")
        if not any(fnmatchcase(named[0], pattern) for pattern in settings.TOOL_MODULES):
            raise ConfigProblem(_MEMBER, f"GATEWAY_TOOL_MODULES does not allow '{named[0]}'.")
        found = _imported(named[1], named[2])
        names = set(_parameters_of(found))
        return Function(found, inspect.iscoroutinefunction(found), names == {"arguments", "context"})

    def check(self, prepared: Function) -> None:
        """Nothing more."""

    async def invoke(self, call: ToolCall) -> object:
        """Async functions run on the loop, others in a thread."""
        function: Function = call.tool.prepared
        bound = partial(function.call, **_arguments(function, call))
        if function.is_async:
            made: Any = bound()
        else:
            # As asyncio.to_thread, but with threads of their own number.
            run = partial(contextvars.copy_context().run, _result, bound)
            made = await asyncio.get_running_loop().run_in_executor(_pool, run)
        if not inspect.isawaitable(made):
            return made
        try:
            return await made
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError("the tool wanted to end the process") from error


def _arguments(function: Function, call: ToolCall) -> dict[str, Any]:
    if not function.takes_context:
        return call.arguments
    principal = call.context.principal
    context = ToolContext(
        tool=call.tool.name,
        agent=call.agent,
        call_id=call.call_id,
        request_id=public_id("req", call.context.request_id),
        user_id=principal.user_id if principal is not None else "",
    )
    return {"arguments": call.arguments, "context": context}


def _result(bound: Callable[[], Any]) -> Any:
    try:
        return bound()
    except Exception as error:
        if isinstance(error, StopIteration):
            # A future can't hold it: who waits would wait for ever.
            raise RuntimeError("the tool raised StopIteration") from error
        raise
    except BaseException as error:
        raise RuntimeError("the tool wanted to end the process") from error


def _imported(module_name: str, name: str) -> Callable[..., Any]:
    """The function; only one that the module itself, or a module below it, defines.

    What a module has merely imported (`from os import system`) nobody meant to allow.
    """
    # A module that is new on the disk is to be found.
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise ConfigProblem(_MEMBER, f"The module '{module_name}' can't be imported: {reason}") from error
    except BaseException as error:
        raise ConfigProblem(_MEMBER, f"The module '{module_name}' can't be imported.") from error
    found = getattr(module, name, None)
    if found is None:
        raise ConfigProblem(_MEMBER, f"The module '{module_name}' has no '{name}'.")
    home = str(getattr(found, "__module__", ""))
    if not callable(found) or inspect.isclass(found):
        raise ConfigProblem(_MEMBER, f"'{module_name}:{name}' is no function.")
    if home != module_name and not home.startswith(f"{module_name}."):
        raise ConfigProblem(_MEMBER, f"'{name}' is not defined in '{module_name}', but only imported there.")
    checked: Callable[..., Any] = found
    return checked


def _parameters_of(function: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []
